"""Freed memory stays with a process that trains, and goes back afterwards."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from napari_myelin.core import heap

# in a process of its own: what another test has left in the heap would be handed out first
SCRIPT = """
import ctypes, json, re, resource
from pathlib import Path
from napari_myelin.core.heap import kept

BLOCK = 64 * 2**20
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.malloc.argtypes = [ctypes.c_size_t]
library.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

def pages():
    "Take a block, fill it, free it: the pages that the system handed out for it."
    before = faults()
    block = library.malloc(BLOCK)
    library.memset(block, 1, BLOCK)
    library.free(block)
    return faults() - before

before = resident()
own = [pages() for _ in range(3)]
with kept():
    with kept():  # another training, which ends before this one
        first = pages()
    again = [pages() for _ in range(3)]
    held = resident() - before
print(json.dumps({"own": own, "first": first, "again": again, "held": held / BLOCK,
                  "after": (resident() - before) / BLOCK, "usual": pages()}))
"""


@pytest.mark.skipif(heap._library() is None, reason="another C library")
def test_a_large_block_is_handed_out_page_by_page_once_while_memory_is_kept_and_goes_back_afterwards() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert min(told["own"]) > 1000  # 16,384 of 4 kB, where none is larger
    assert told["first"] > 1000
    assert max(told["again"]) < 100
    assert told["held"] > 0.9
    assert told["after"] < 0.2
    assert told["usual"] > 1000  # and nothing is kept any more
