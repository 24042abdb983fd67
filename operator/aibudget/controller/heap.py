"""The C library's heap, told what process this is: large blocks are given back as soon as they are free.

glibc maps a large block by itself, and takes what was freed once as a reason to keep the next one in the
heap. An answer of Prometheus is read in such blocks, between values that stay: what they leave are holes, 81
MiB of them at 100,000 pods. A heap for each thread keeps holes, too, that others cannot use. Other C
libraries have no such settings and are left alone. Knows nothing of what is kept in memory.
"""

import ctypes
from typing import Final

M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
"""As in glibc's malloc.h."""
LARGE_BYTES: Final = 128 * 1024
"""What glibc begins with. To have set it is what keeps it from rising."""


def give_back_large_blocks() -> None:
    """For the whole process, from now on; before its threads are started."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
    mallopt(M_ARENA_MAX, 1)
