"""What memory a device has, whether it ran out, and how it is given back."""

from __future__ import annotations

import contextlib
import gc
import os

import torch

from napari_myelin.core.heap import trim

# of torch, and of cuDNN and cuBLAS, which do not say it in so many words: no algorithm is left that has room to work
_WORDS = (
    *("out of memory", "can't allocate memory", "not enough memory", "_alloc_failed", "allocation_failed"),
    *("unable to find an engine to execute this computation", "unable to find a valid cudnn algorithm"),
)


def release_memory() -> None:
    """Give memory that nobody uses any more back to the device, after a failure too."""
    gc.collect()
    trim()
    if torch.cuda.is_available():
        with contextlib.suppress(RuntimeError):  # a GPU that failed answers every call with the same error
            torch.cuda.empty_cache()


def out_of_memory(error: BaseException) -> bool:
    """Return whether ``error`` is the device or the machine running out of memory, however torch says it."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(each in str(error).lower() for each in _WORDS)


def free_memory(device: torch.device) -> int:
    """Return the bytes that ``device`` still has for us."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # Windows and macOS have no such count
        return 0
