"""z-scores: constants from the training subjects, in one pass, kept with the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Normalisation:
    """Constants by channel (a modality or ``dvr``), in the map's own unit.

    ``mean`` and ``sd`` are over all voxels of all training subjects on the network's grid, background included
    (paper, section 3.1); ``low`` and ``high`` their extremes; ``brain_mean`` and ``brain_sd`` over the voxels that
    are not 0, to tell a map of another unit or range.
    """

    mean: dict[str, float]
    sd: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    brain_mean: dict[str, float]
    brain_sd: dict[str, float]

    def z(self, name: str, array: np.ndarray, harmonise: bool = False) -> np.ndarray:
        """Return the z-score of a map.

        Parameters
        ----------
        name
            The channel.
        array
            Any shape, in the map's unit.
        harmonise
            Scale the map first so that its mean over the voxels that are not 0 is that of the training subjects.
        """
        if harmonise and (array != 0).any():
            array = array * np.float32(self.brain_mean[name] / array[array != 0].mean(dtype=np.float64))
        return (array - np.float32(self.mean[name])) / np.float32(self.sd[name])

    def back(self, name: str, array: np.ndarray) -> np.ndarray:
        """Return a z-scored map in its own unit."""
        return array * np.float32(self.sd[name]) + np.float32(self.mean[name])

    def zero(self, name: str) -> float:
        """Return the z-score of 0."""
        return -self.mean[name] / self.sd[name]

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Return the constants for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Normalisation:
        """Return what `to_dict` wrote."""
        return cls(**{name: dict(table[name]) for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared deviations of some voxels, and their extremes; they add up."""

    count: int
    mean: float
    squares: float
    low: float
    high: float

    @classmethod
    def of(cls, array: np.ndarray) -> Moments:
        """Return the moments of an array's voxels, in float64."""
        if array.size == 0:
            return cls(0, 0.0, 0.0, np.inf, -np.inf)
        mean = float(array.mean(dtype=np.float64))
        squares = float(np.square(array - np.float64(mean)).sum(dtype=np.float64))
        return cls(array.size, mean, squares, float(array.min()), float(array.max()))

    def __add__(self, other: Moments) -> Moments:
        # Chan, Golub & LeVeque 1979: exact, and stable where sums of squares are not
        count = self.count + other.count
        if count == 0:
            return self
        delta = other.mean - self.mean
        mean = self.mean + delta * other.count / count
        squares = self.squares + other.squares + delta * delta * self.count * other.count / count
        return Moments(count, mean, squares, min(self.low, other.low), max(self.high, other.high))

    @property
    def sd(self) -> float:
        """Population standard deviation; 1 where every voxel is the same, so that dividing by it does no harm."""
        sd = float(np.sqrt(self.squares / self.count)) if self.count else 0.0
        return sd if sd > 0 else 1.0


def normalisation(parts: Iterable[Mapping[str, tuple[Moments, Moments]]]) -> Normalisation:
    """Return the constants of several subjects.

    Parameters
    ----------
    parts
        For each subject and channel, the moments of all voxels and of those that are not 0.
    """
    total: dict[str, tuple[Moments, Moments]] = {}
    for part in parts:
        for name, (whole, brain) in part.items():
            total[name] = (total[name][0] + whole, total[name][1] + brain) if name in total else (whole, brain)
    return Normalisation(
        mean={name: whole.mean for name, (whole, _) in total.items()},
        sd={name: whole.sd for name, (whole, _) in total.items()},
        low={name: whole.low for name, (whole, _) in total.items()},
        high={name: whole.high for name, (whole, _) in total.items()},
        brain_mean={name: brain.mean for name, (_, brain) in total.items()},
        brain_sd={name: brain.sd for name, (_, brain) in total.items()},
    )
