"""What was read in large blocks leaves no holes in the heap of the operator's process."""

import ctypes
import subprocess
import sys

import pytest

FREED_AND_ASKED_AGAIN = """
import ctypes, sys
from aibudget.controller.heap import LARGE_BYTES, give_back_large_blocks

class Told(ctypes.Structure):
    _fields_ = [(str(place), ctypes.c_size_t) for place in range(10)]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Told
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]

def mapped():
    return getattr(libc.mallinfo2(), "4")

if sys.argv[1] == "told":
    give_back_large_blocks()
libc.free(libc.malloc(16 << 20))
before = mapped()
libc.malloc(2 * LARGE_BYTES)
print(mapped() > before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="the C library is not glibc")
@pytest.mark.parametrize(("told", "apart"), [("told", "True"), ("untold", "False")])
def test_a_block_is_apart_also_after_a_larger_one_was_freed(told: str, apart: str) -> None:
    """By itself glibc keeps such blocks in the heap as soon as one of them was freed."""
    process = [sys.executable, "-c", FREED_AND_ASKED_AGAIN, told]
    assert subprocess.run(process, capture_output=True, text=True, check=True).stdout.strip() == apart
