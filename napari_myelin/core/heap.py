"""Large blocks of memory that are freed stay with the process while it trains, and go back to the system afterwards.

The C library of Linux gives a block above 32 MB back as soon as it is freed, and the next one of that size is handed
out anew, page by page, each filled with zeros by the system: a fifth of the time of a step (docs/performance.md).
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

# of <malloc.h>
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
LARGEST = 2**27  # bytes; larger blocks, of which there are few, still come and go: they would lie idle for too long
USUAL = 2**25  # bytes: where the C library itself ends up, with twice as much kept at the end of the heap

_users = 0
_lock = threading.RLock()  # a training that nobody listens to any more may end in the middle of anything


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    # other C libraries of Linux know neither
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


def keep_freed() -> None:
    """Let blocks of up to `LARGEST` bytes stay with the process from now on, where the C library can."""
    if (library := _library()) is not None:
        library.mallopt(MMAP_THRESHOLD, LARGEST)
        library.mallopt(TRIM_THRESHOLD, 2**31 - 1)


def give_back() -> None:
    """Give what is free back to the system, now and from now on."""
    if (library := _library()) is not None:
        library.mallopt(MMAP_THRESHOLD, USUAL)
        library.mallopt(TRIM_THRESHOLD, 2 * USUAL)
    trim()


def trim() -> None:
    """Give what is free back to the system now."""
    if (library := _library()) is not None:
        library.malloc_trim(0)


@contextmanager
def kept() -> Iterator[None]:
    """Keep freed memory within a block; it goes back when the last of several blocks has ended, in whatever thread."""
    global _users
    with _lock:
        _users += 1
        keep_freed()
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                give_back()
