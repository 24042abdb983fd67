"""A block of Prometheus's database, written straight: a past of a million series in half a minute.

promtool reads text, a line for each sample; here a series costs what its labels cost, however long its past
is. Series with the same samples share their chunks, which nothing forbids: Prometheus decodes them for each
series all the same. The format is that of Prometheus's `tsdb/docs/format`, index version 2.
"""

import json
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import pack
from typing import BinaryIO, Final, NamedTuple

SAMPLES_PER_CHUNK: Final = 120
_INDEX_MAGIC: Final = b"\xba\xaa\xd7\x00\x02"
_CHUNKS_MAGIC: Final = b"\x85\xbd\x40\xdd\x01\x00\x00\x00"
_ULID: Final = "01J000000000000000000000BE"


class Constant(NamedTuple):
    """One series: its labels with `__name__`, and the key of its samples in `pasts`."""

    labels: Mapping[str, str]
    samples: object


Past = tuple[Sequence[int], Sequence[float]]


@dataclass(frozen=True, slots=True)
class _Run:
    """The chunks of one past: where the first is, and the rest of what the index says of them; of how many
    samples, the first and the last of which are at these times.
    """

    samples: int
    span: tuple[int, int]
    count: int
    first: bytes
    rest: bytes


def write_block(
    data: Path, series: Iterable[Constant], pasts: Iterable[tuple[object, Past]]
) -> tuple[int, int]:
    """A block in the data directory; how many series and samples it has.

    `pasts` are ascending times in milliseconds and as many values, each with the key that series name it by.
    """
    block = data / _ULID
    (block / "chunks").mkdir(parents=True)
    with (block / "chunks" / "000001").open("wb") as file:
        file.write(_CHUNKS_MAGIC)
        runs = {key: _write_run(file, *past) for key, past in pasts}
    ordered = sorted((tuple(sorted(one.labels.items())), one.samples) for one in series)
    with (block / "index").open("wb") as file:
        _write_index(file, ordered, runs)
    samples = sum(runs[key].samples for _, key in ordered)
    chunks = sum(runs[key].count for _, key in ordered)
    meta = {
        "ulid": _ULID,
        "minTime": min(run.span[0] for run in runs.values()),
        "maxTime": max(run.span[1] for run in runs.values()) + 1,
        "stats": {"numSamples": samples, "numSeries": len(ordered), "numChunks": chunks},
        "compaction": {"level": 1, "sources": [_ULID]},
        "version": 1,
    }
    (block / "meta.json").write_text(json.dumps(meta))
    return len(ordered), samples


def _write_run(file: BinaryIO, times: Sequence[int], values: Sequence[float]) -> _Run:
    first, rest, before = b"", bytearray(), (0, 0)
    for start in range(0, len(times), SAMPLES_PER_CHUNK):
        part = times[start : start + SAMPLES_PER_CHUNK]
        chunk = b"\x01" + xor_chunk(part, values[start : start + SAMPLES_PER_CHUNK])
        at = file.tell()
        file.write(_uvarint(len(chunk) - 1) + chunk + pack(">I", crc32c(chunk)))
        if not first:
            first = _varint(part[0]) + _uvarint(part[-1] - part[0]) + _uvarint(at)
        else:
            rest += _uvarint(part[0] - before[0]) + _uvarint(part[-1] - part[0]) + _varint(at - before[1])
        before = (part[-1], at)
    count = -(-len(times) // SAMPLES_PER_CHUNK)
    return _Run(len(times), (times[0], times[-1]), count, first, bytes(rest))


def xor_chunk(times: Sequence[int], values: Sequence[float]) -> bytes:
    """Samples as Gorilla's compression has them; what stays the same takes two bits."""
    out = _Bits(pack(">H", len(times)) + _varint(times[0]) + pack(">d", values[0]))
    delta, before, window = 0, _bits_of(values[0]), (64, 0)
    for number in range(1, len(times)):
        wider = times[number] - times[number - 1]
        if number == 1:
            out.whole(_uvarint(wider))
        else:
            _write_time(out, wider - delta)
        delta, now = wider, _bits_of(values[number])
        window = _write_value(out, before ^ now, window)
        before = now
    return out.bytes()


def _write_time(out: "_Bits", change: int) -> None:
    if change == 0:
        out.put(0, 1)
        return
    for prefix, length, size in ((0b10, 2, 14), (0b110, 3, 17), (0b1110, 4, 20), (0b1111, 4, 64)):
        if size == 64 or -((1 << (size - 1)) - 1) <= change <= 1 << (size - 1):
            out.put(prefix, length)
            out.put(change & ((1 << size) - 1), size)
            return


def _write_value(out: "_Bits", change: int, window: tuple[int, int]) -> tuple[int, int]:
    """`window` is how many leading and trailing zeros the last written change had."""
    if not change:
        out.put(0, 1)
        return window
    leading, trailing = min(64 - change.bit_length(), 31), (change & -change).bit_length() - 1
    if window[0] <= leading and window[1] <= trailing and window[0] < 64:
        out.put(0b10, 2)
    else:
        window = (leading, trailing)
        significant = 64 - leading - trailing
        out.put(0b11, 2)
        out.put(leading, 5)
        out.put(significant & 63, 6)
    out.put(change >> window[1], 64 - window[0] - window[1])
    return window


class _Bits:
    """Bits in the order they are written, after whole bytes."""

    def __init__(self, start: bytes) -> None:
        self._bits = int.from_bytes(b"\x01" + start, "big")
        self._length = 8 * len(start)

    def put(self, value: int, length: int) -> None:
        self._bits = self._bits << length | value
        self._length += length

    def whole(self, values: bytes) -> None:
        self.put(int.from_bytes(values, "big"), 8 * len(values))

    def bytes(self) -> bytes:
        self.put(0, -self._length % 8)
        return self._bits.to_bytes(self._length // 8 + 1, "big")[1:]


Ordered = Sequence[tuple[tuple[tuple[str, str], ...], object]]


def _write_index(file: BinaryIO, ordered: Ordered, runs: Mapping[object, _Run]) -> None:
    symbols = sorted({text for labels, _ in ordered for pair in labels for text in pair})
    number = {text: _uvarint(place) for place, text in enumerate(symbols)}
    file.write(_INDEX_MAGIC)
    toc = [file.tell()]
    _write_section(file, pack(">I", len(symbols)) + b"".join(map(_text, symbols)))
    _align(file, 16)
    toc.append(file.tell())
    suffixes = {key: _Suffix(run.rest) for key, run in runs.items()}
    pairs: dict[tuple[str, str], array[int]] = defaultdict(lambda: array("I"))
    everything = array("I")
    for labels, key in ordered:
        _align(file, 16)
        reference = file.tell() // 16
        everything.append(reference)
        entry = bytearray(_uvarint(len(labels)))
        for pair in labels:
            pairs[pair].append(reference)
            entry += number[pair[0]] + number[pair[1]]
        entry += _uvarint(runs[key].count) + runs[key].first
        suffix = suffixes[key]
        file.write(_uvarint(len(entry) + len(suffix.content)) + entry + suffix.content)
        file.write(pack(">I", suffix.after(crc32c(entry))))
    _align(file, 4)
    start = file.tell()
    entries = [(("", ""), _write_postings(file, everything))]
    entries += [(pair, _write_postings(file, pairs[pair])) for pair in sorted(pairs)]
    table = file.tell()
    rows = (b"\x02" + _text(name) + _text(value) + _uvarint(at) for (name, value), at in entries)
    _write_section(file, pack(">I", len(entries)) + b"".join(rows))
    # No label indices: since version 2 nobody reads them.
    contents = pack(">6Q", *toc, start, table, start, table)
    file.write(contents + pack(">I", crc32c(contents)))


def _write_postings(file: BinaryIO, references: "array[int]") -> int:
    at = file.tell()
    swapped = array("I", references)
    swapped.byteswap()
    _write_section(file, pack(">I", len(references)) + swapped.tobytes())
    return at


def _write_section(file: BinaryIO, content: bytes) -> None:
    file.write(pack(">I", len(content)) + content + pack(">I", crc32c(content)))


def _align(file: BinaryIO, size: int) -> None:
    file.write(b"\x00" * (-file.tell() % size))


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _uvarint(len(encoded)) + encoded


def _uvarint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varint(value: int) -> bytes:
    return _uvarint(value << 1 if value >= 0 else (~value << 1) | 1)


def _bits_of(value: float) -> int:
    return int.from_bytes(pack(">d", value), "big")


def _crc_table() -> Iterator[int]:
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 if crc & 1 else crc >> 1
        yield crc


_CRC: Final = tuple(_crc_table())


def crc32c(content: bytes | bytearray) -> int:
    """Castagnoli's checksum."""
    return _fed(0xFFFFFFFF, content) ^ 0xFFFFFFFF


def _fed(crc: int, content: bytes | bytearray) -> int:
    table = _CRC
    for byte in content:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc


class _Suffix:
    """Bytes that end many texts: their part in the checksum is found once, by its linearity."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._own = crc32c(content)
        self._bits = [self._shifted(1 << bit) for bit in range(32)]

    def _shifted(self, crc: int) -> int:
        return _fed(crc, b"\x00" * len(self.content))

    def after(self, crc: int) -> int:
        """The checksum of a text with this checksum, followed by these bytes."""
        result = self._own
        for bit, part in enumerate(self._bits):
            if crc >> bit & 1:
                result ^= part
        return result
