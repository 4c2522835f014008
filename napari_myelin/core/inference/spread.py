"""How far predictions lie apart, and what a model says of its own error: the uncertainty of a map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Spread:
    """Standard deviation over maps that come one after the other, voxel by voxel (Welford 1962)."""

    def __init__(self) -> None:
        self.count = 0
        self._mean = np.zeros(())
        self._squares = np.zeros(())

    def add(self, array: np.ndarray) -> None:
        """Take one more map into account."""
        self.count += 1
        delta = array - self._mean
        self._mean = self._mean + delta / self.count
        self._squares = self._squares + delta * (array - self._mean)

    def sd(self) -> np.ndarray:
        """Return the sample standard deviation, float32; needs two maps."""
        return np.asarray(np.sqrt(self._squares / (self.count - 1)), dtype=np.float32)


def uncertainty(spread: Spread, variances: Sequence[np.ndarray]) -> np.ndarray | None:
    """Return the SD of what may be measured, (I, J, K) float32: that of the mixture of all models.

    The variance of their means and the mean of their own variances add up (law of total variance).

    Parameters
    ----------
    spread
        Of the predicted maps, over draws and models; one map alone has none.
    variances
        Of each model that predicts its own, (I, J, K) in DVR squared.
    """
    between = spread.sd() if spread.count > 1 else None
    if not variances:
        return between
    own = np.mean(np.stack(variances), axis=0)
    return np.asarray(np.sqrt(own if between is None else own + np.square(between)), dtype=np.float32)
