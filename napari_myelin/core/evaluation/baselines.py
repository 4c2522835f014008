"""The voxelwise linear baseline: a network that does not beat it has learnt nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


class LinearFit:
    """Least squares of the DVR on the MR maps of the same voxel, from sums alone, subject after subject.

    Parameters
    ----------
    modalities
        Names of the maps, in order.
    """

    def __init__(self, modalities: Sequence[str]) -> None:
        self.modalities = tuple(modalities)
        size = len(self.modalities) + 1
        self._gram = np.zeros((size, size))
        self._right = np.zeros(size)

    def add(self, mri: np.ndarray, dvr: np.ndarray, mask: np.ndarray) -> None:
        """Take a subject's voxels into account.

        Parameters
        ----------
        mri
            (M, I, J, K), in the maps' own units.
        dvr
            (I, J, K).
        mask
            bool (I, J, K): the brain.
        """
        design = np.vstack([np.ones(int(mask.sum())), *(channel[mask] for channel in mri)]).astype(np.float64)
        self._gram += design @ design.T
        self._right += design @ dvr[mask].astype(np.float64)

    def sums(self) -> list[list[float]]:
        """Return what was added up so far, for JSON."""
        return [*self._gram.tolist(), self._right.tolist()]

    def add_sums(self, sums: Sequence[Sequence[float]]) -> None:
        """Add what another fit of the same maps returned from `sums`."""
        *gram, right = sums
        self._gram += np.asarray(gram)
        self._right += np.asarray(right)

    def solve(self) -> LinearBaseline:
        """Return the baseline; where maps are collinear the smallest coefficients are taken."""
        # columns of very different size (MTR in %, RD in 10^-3 mm2/s) are scaled before they are inverted
        scale = np.sqrt(np.diag(self._gram))
        scale[scale == 0] = 1.0
        solved = np.linalg.lstsq(self._gram / np.outer(scale, scale), self._right / scale, rcond=None)[0] / scale
        return LinearBaseline(self.modalities, tuple(float(value) for value in solved))


@dataclass(frozen=True)
class LinearBaseline:
    """``dvr = c0 + sum_m c_m mri_m`` inside the brain, 0 outside.

    Parameters
    ----------
    modalities
        Names of the maps, in order.
    coefficients
        Intercept, then one a modality, in DVR per unit of the map.
    """

    modalities: tuple[str, ...]
    coefficients: tuple[float, ...]

    def predict(self, mri: Mapping[str, np.ndarray], brain: np.ndarray) -> np.ndarray:
        """Return the predicted DVR (I, J, K), float32.

        Parameters
        ----------
        mri
            Each modality's map (I, J, K), in its own unit.
        brain
            bool (I, J, K).
        """
        out = np.full(brain.shape, self.coefficients[0], dtype=np.float32)
        for name, coefficient in zip(self.modalities, self.coefficients[1:], strict=True):
            out += np.float32(coefficient) * mri[name].astype(np.float32)
        out[~brain] = 0
        return out

    def to_dict(self) -> dict[str, Any]:
        """Return the baseline for JSON."""
        return {"modalities": list(self.modalities), "coefficients": list(self.coefficients)}

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> LinearBaseline:
        """Return what `to_dict` wrote."""
        return cls(tuple(table["modalities"]), tuple(float(value) for value in table["coefficients"]))
