"""A meter's PromQL, read far enough that matchers can be put into every selector and macros be replaced.

What leaves here is written anew from what was understood: no comment, no unread character gets through, so a
text can neither close a bracket of ours nor hide a selector from us. PromQL that is not understood is refused
with its place, even where some server would take it; whether functions and types fit is for Prometheus to
say. Knows neither matchers nor what the macros stand for.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

MACROS: Final = ("$step", "$delta(selector)", "$held(selector)", "$pod_workload")
DEEPEST: Final = 50
"""How many brackets may be open at once; far more than anybody can read."""

_DURATION = r"(?:[0-9]+(?:ms|[smhdwy]))+(?![A-Za-z0-9_])"
_SPAN = rf"(?:{_DURATION}|\$step)"
_TOKENS = re.compile(
    rf"""(?P<blank>[ \t\r\n]+|\#[^\r\n]*)
    |(?P<string>"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*'|`[^`]*`)
    |(?P<macro>\$[A-Za-z0-9_]*)
    |(?P<duration>{_DURATION})
    |(?P<number>0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_.]))
    |(?P<range>\[[ \t\r\n]*{_SPAN}[ \t\r\n]*(?::[ \t\r\n]*(?:{_SPAN}[ \t\r\n]*)?)?\])
    |(?P<word>[A-Za-z_:][A-Za-z0-9_:]*)
    |(?P<sign>==|=~|!=|!~|>=|<=|[-+*/%^<>=(){{}},@])""",
    re.VERBOSE | re.ASCII,
)
_AGGREGATIONS: Final = frozenset(
    (
        *("sum", "avg", "count", "min", "max", "group", "stddev", "stdvar", "topk", "bottomk", "quantile"),
        *("count_values", "limitk", "limit_ratio"),
    )
)
_SIGNS: Final = ("+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">=", "<=")
_OPERATORS: Final = frozenset((*_SIGNS, "and", "or", "unless", "atan2"))
_NUMBERS: Final = frozenset(("inf", "nan"))
_RESERVED: Final = frozenset(
    (
        *("and", "or", "unless", "atan2", "bool", "on", "ignoring", "group_left", "group_right"),
        *("by", "without", "offset", "start", "end"),
    )
)
_MATCHES: Final = frozenset(("=", "!=", "=~", "!~"))


class Match(NamedTuple):
    """One entry between the braces as it was written; a quoted metric name has no operator and no value."""

    label: str
    operator: str = ""
    value: str = ""

    @property
    def names_a_metric(self) -> bool:
        return not self.operator or (self.label == "__name__" and self.operator in ("=", "=~"))


@dataclass(frozen=True, slots=True)
class Selector:
    """`name{matches}`; `name` is "" where the metric is named inside the braces. No range, no offset."""

    name: str
    matches: tuple[Match, ...] = ()

    def narrowed(self, *more: str) -> str:
        """The selector as PromQL, with more matchers, such as `cluster="eu-1"`."""
        return f"{self.name}{{{','.join([*map(''.join, self.matches), *more])}}}"


@dataclass(frozen=True, slots=True)
class Macro:
    """`step` is a number, `duration` the same with its unit, put into `frame`; `delta` and `held` have a
    selector.
    """

    name: Literal["step", "duration", "delta", "held", "pod_workload"]
    selector: Selector | None = None
    frame: str = "{}"


Part = str | Selector | Macro


@dataclass(frozen=True, slots=True)
class Query:
    """The query in order: text that stays, selectors that get matchers, and macros."""

    parts: tuple[Part, ...]

    @property
    def macros(self) -> frozenset[str]:
        """The names of the macros in it."""
        return frozenset(part.name for part in self.parts if isinstance(part, Macro))

    @property
    def is_plain(self) -> bool:
        """A selector and nothing else, so that its series are those that were scraped."""
        return len(self.parts) == 1 and isinstance(self.parts[0], Selector)


def read(text: str) -> Query:
    """The query of this text; raises ``ValueError`` with the place of what is not understood."""
    return Query(tuple(_Reader(text).read()))


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


_END: Final = "end"


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._scan())
        self._next = 0
        self._depth = 0
        self._parts: list[Part] = []

    def read(self) -> Iterator[Part]:
        self._expression()
        if self._token.kind != _END:
            raise self._odd("an operator or the end should be here")
        plain: list[str] = []
        for part in self._parts:
            if isinstance(part, str):
                plain.append(part)
                continue
            if plain:
                yield " ".join([*plain, ""])
            yield part
            plain = [""]
        if "".join(plain):
            yield " ".join(plain)

    def _scan(self) -> Iterator[_Token]:
        at = 0
        while at < len(self._text):
            found = _TOKENS.match(self._text, at)
            if found is None:
                raise self._fault(at, f"{self._text[at]!r} should not be here; is a quote or bracket open?")
            if found.lastgroup != "blank":
                yield _Token(found.lastgroup or "", found[0], at)
            at = found.end()
        yield _Token(_END, "", at)

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    @property
    def _word(self) -> str:
        """The token, if it is a word or sign, as PromQL compares it; strings are never words."""
        return self._token.text.lower() if self._token.kind in ("word", "sign") else ""

    def _take(self) -> _Token:
        token = self._token
        self._next += token.kind != _END
        return token

    def _keep(self) -> None:
        self._parts.append(self._take().text)

    def _expect(self, sign: str) -> None:
        if self._word != sign:
            raise self._odd(f"{sign!r} should be here")
        self._take()

    def _expression(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._odd(f"more than {DEEPEST} brackets are open")
        self._operand()
        while self._word in _OPERATORS:
            self._keep()
            self._joining()
            self._operand()
        self._depth -= 1

    def _joining(self) -> None:
        """`bool on (…) group_left (…)` between an operator and what it joins."""
        if self._word == "bool":
            self._keep()
        if self._word in ("on", "ignoring"):
            self._keep()
            self._labels()
        if self._word in ("group_left", "group_right"):
            self._keep()
            if self._word == "(":
                self._labels()

    def _operand(self) -> None:
        while self._word in ("+", "-"):
            self._keep()
        match self._token.kind:
            case "number" | "duration" | "string":
                self._keep()
            case "macro":
                self._macro()
            case "word" if self._word in _NUMBERS:
                self._keep()
            case "word" if self._word in _AGGREGATIONS:
                self._aggregation()
            case "word" if self._tokens[self._next + 1].text == "(" and self._word not in _RESERVED:
                self._call()
            case "word":
                self._parts.append(self._selector())
            case "sign" if self._word == "(":
                self._arguments(several=False)
            case "sign" if self._word == "{":
                self._parts.append(self._selector())
            case _:
                raise self._odd("a metric, a number or an expression should be here")
        self._times()

    def _aggregation(self) -> None:
        self._keep()
        self._grouping()
        self._arguments(several=True)
        self._grouping()

    def _grouping(self) -> None:
        if self._word in ("by", "without"):
            self._keep()
            self._labels()

    def _call(self) -> None:
        if self._word == "info":
            raise self._odd("info() reads a metric that is not named; join it with on and group_left")
        if ":" in self._token.text:
            raise self._odd("a function has no colon in its name")
        self._keep()
        self._arguments(several=True)

    def _arguments(self, *, several: bool) -> None:
        self._expect("(")
        self._parts.append("(")
        while self._word != ")":
            self._expression()
            if not several or self._word != ",":
                break
            self._keep()
        self._expect(")")
        self._parts.append(")")

    def _labels(self) -> None:
        self._expect("(")
        names = []
        while self._token.kind in ("word", "string"):
            names.append(self._take().text)
            if self._word != ",":
                break
            self._take()
        self._expect(")")
        self._parts.append(f"({', '.join(names)})")

    def _times(self) -> None:
        """Ranges and offsets behind an operand."""
        while True:
            if self._token.kind == "range":
                self._range(self._take().text)
            elif self._word == "offset":
                self._keep()
                if self._word in ("+", "-"):
                    self._keep()
                if self._token.text == "$step":
                    self._take()
                    self._parts.append(Macro("duration"))
                elif self._token.kind in ("duration", "number"):
                    self._keep()
                else:
                    raise self._odd("a duration such as 5m should be here")
            elif self._word == "@":
                raise self._odd("a meter is read at each instant as it passes; remove @")
            else:
                return

    def _range(self, text: str) -> None:
        text = "".join(text.split())
        self._parts.append(Macro("duration", frame=text.replace("$step", "{}")) if "$" in text else text)

    def _selector(self) -> Selector:
        name = ""
        if self._token.kind == "word":
            if self._word in _RESERVED | _AGGREGATIONS | _NUMBERS:
                named = f'{{__name__="{self._token.text}"}}'
                raise self._odd(f"this is a word of PromQL; where it is meant as a metric, write {named}")
            name = self._take().text
        if self._word != "{":
            if not name:
                raise self._odd("a selector such as requests_total should be here")
            return Selector(name)
        opening = self._take()
        matches = tuple(self._matches())
        if not name and not any(match.names_a_metric for match in matches):
            raise self._fault(opening.at, "the selector must name a metric")
        return Selector(name, matches)

    def _matches(self) -> Iterator[Match]:
        while self._word != "}":
            if self._token.kind not in ("word", "string"):
                raise self._odd("a label or '}' should be here")
            label = self._take()
            if self._token.text in _MATCHES and self._token.kind == "sign":
                operator = self._take().text
                if self._token.kind != "string":
                    raise self._odd("a quoted value should be here")
                yield Match(label.text, operator, self._take().text)
            elif label.kind == "string":
                yield Match(label.text)
            else:
                raise self._odd("one of = != =~ !~ should be here")
            if self._word != ",":
                break
            self._take()
        self._expect("}")

    def _macro(self) -> None:
        token = self._take()
        match token.text:
            case "$step":
                self._parts.append(Macro("step"))
            case "$pod_workload":
                self._parts.append(Macro("pod_workload"))
            case "$delta" | "$held":
                self._expect("(")
                selector = self._selector()
                if self._word != ")":
                    raise self._odd(f"{token.text} takes one selector, without a range, and then ')'")
                self._take()
                self._parts.append(Macro("delta" if token.text == "$delta" else "held", selector))
            case _:
                raise self._fault(token.at, f"{token.text} is no macro; there are {', '.join(MACROS)}")

    def _odd(self, reason: str) -> ValueError:
        token = self._token
        found = repr(token.text[:40]) if token.text else "the end"
        return self._fault(token.at, f"at {found}: {reason}")

    def _fault(self, at: int, reason: str) -> ValueError:
        before = self._text[:at]
        line, column = before.count("\n") + 1, at - before.rfind("\n")
        return ValueError(f"is PromQL that cannot be read, line {line}, column {column}: {reason}")
