"""Freed memory stays with a process that trains, and goes back afterwards."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from napari_myelin.core import heap
from napari_myelin.core.heap import give_back, kept

pytestmark = pytest.mark.skipif(heap._library() is None, reason="another C library")
BLOCK = 64 * 2**20


def faults() -> int:
    """Return the pages that the system has handed to this thread so far."""
    import resource

    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt


def pages_of_a_block() -> int:
    before = faults()
    torch.empty(BLOCK, dtype=torch.uint8).fill_(1)
    return faults() - before


def resident() -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def test_a_large_block_is_handed_out_page_by_page_once_and_not_each_time() -> None:
    give_back()
    own = [pages_of_a_block() for _ in range(3)]
    with kept():
        with kept():  # of another training, which ends before this one
            # several, because an aligned block seldom fits into the very place that one of its size has left
            held = [torch.ones(BLOCK, dtype=torch.uint8) for _ in range(6)]
            del held
        again = [pages_of_a_block() for _ in range(3)]
    assert min(own) > 1000  # 16,384 of 4 kB, where none is larger
    assert max(again) < 1000


def test_what_was_kept_goes_back_to_the_system() -> None:
    give_back()
    before = resident()
    with kept():
        blocks = [torch.ones(BLOCK, dtype=torch.uint8) for _ in range(3)]
        del blocks
        assert resident() - before > 2.5 * BLOCK
    assert resident() - before < 0.5 * BLOCK
