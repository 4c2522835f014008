"""Where a step takes its subjects from: arrays mapped from the disk, or on the device where all of them fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from napari_myelin.core.data.cache import CohortCache
from napari_myelin.core.data.regions import LESION
from napari_myelin.core.runtime import sent

SHARE = 0.9  # of the free memory that training and cohort may take: a tenth is left for what is not known


def cohort_bytes(subjects: int, shape: Sequence[int], modalities: int) -> int:
    """Return what so many subjects take on the device, on a grid of ``shape`` voxels, with M MR images."""
    i, j, k = shape
    return subjects * i * j * k * (4 * (modalities + 1) + 2)


def room_beside(need: int, free: int) -> int:
    """Return the bytes that are left for the cohort where ``free`` are free and a step needs ``need``."""
    return int(SHARE * free) - need


@dataclass(frozen=True)
class SubjectTensors:
    """A subject on the network's grid.

    ``mri`` (1, M, I, J, K) in channels-last memory and ``dvr`` (1, 1, I, J, K), z-scored; ``regions`` and ``brain``
    (1, 1, I, J, K), uint8 and bool. ``labels`` is the regions' array (I, J, K) on the CPU.
    """

    mri: torch.Tensor
    dvr: torch.Tensor
    regions: torch.Tensor
    brain: torch.Tensor
    labels: np.ndarray

    def lesion_voxels(self) -> np.ndarray:
        """Return the indices (n, 3) of the lesions' voxels; the device is not asked, so that nothing waits for it."""
        return np.argwhere(self.labels == LESION)


class Shelf:
    """A cohort's arrays, subject by subject.

    Parameters
    ----------
    cache
        Scored.
    device
        Where steps compute.
    """

    def __init__(self, cache: CohortCache, device: torch.device) -> None:
        self.cache, self.device = cache, device
        self._there: dict[str, SubjectTensors] = {}
        self._stays = False

    def settle(self, keys: Sequence[str], room: int) -> bool:
        """Keep the subjects ``keys`` on the device from now on, if they all fit into ``room`` bytes; return whether.

        On a CPU the mapped files are the memory: the system holds of them what fits.
        """
        size = cohort_bytes(len(keys), self.cache.grid.shape, len(self.cache.modalities))
        self._stays = self.device.type != "cpu" and size <= room
        return self._stays

    def clear(self) -> None:
        """Give back what is kept on the device, and keep nothing any more."""
        self._there.clear()
        self._stays = False

    def take(self, key: str) -> SubjectTensors:
        """Return a subject on the device.

        Raises
        ------
        MyelinError
            If its arrays are not there.
        """
        if key in self._there:
            return self._there[key]
        scored = self.cache.load(key)
        arrays = (scored.mri[None], *(each[None, None] for each in (scored.dvr, scored.regions, scored.brain)))
        mri, dvr, regions, brain = (sent(torch.from_numpy(array), self.device) for array in arrays)
        subject = SubjectTensors(mri, dvr, regions, brain, scored.regions)
        if self._stays:
            self._there[key] = subject
        return subject
