"""Counts the bytes of tensors while torch works on them, for tensors with values and without alike."""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from napari_myelin.core.heap import LARGEST


class Ledger(TorchDispatchMode):
    """Knows, while it is on, how many bytes of tensors there are and the most there were.

    It sees what every operation returns, in the backward pass too, and when the last reference to it goes.

    Parameters
    ----------
    largest
        Bytes of a block from which on the C library gives it back at once when it is freed.

    Attributes
    ----------
    live, peak
        Bytes now, and the most.
    kept
        At the peak, those in blocks that the C library keeps when they are freed (below ``largest``).
    """

    def __init__(self, largest: int = LARGEST) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._largest = largest
        self.live = self.peak = self.kept = 0
        self._small = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do the operation, and count what it returns."""
        out = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._count, out)
        return out

    def beside(self, size: int) -> None:
        """Count bytes that are there for a moment, beside the tensors, and not in any of them."""
        self._highest(self.live + size)

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._sizes:
            return
        self._sizes[key] = size
        self._add(size)
        # a storage's number is given out again once it is gone
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self._add(-self._sizes.pop(key))

    def _add(self, size: int) -> None:
        self.live += size
        self._small += size if abs(size) < self._largest else 0
        self._highest(self.live)

    def _highest(self, size: int) -> None:
        if size > self.peak:
            self.peak, self.kept = size, self._small
