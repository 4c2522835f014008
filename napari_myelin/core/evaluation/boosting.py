"""Gradient boosting on a voxel and its blurred neighbourhood: the strongest voxelwise baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.ensemble import HistGradientBoostingRegressor

BLURS = (1.5, 3.0, 6.0)  # SD in mm


def neighbourhood(
    mri: Mapping[str, np.ndarray], spacing: Sequence[float], brain: np.ndarray, where: np.ndarray
) -> np.ndarray:
    """Return the features of voxels: each map's value there, and its average around it at three scales.

    Parameters
    ----------
    mri
        Each map (I, J, K), in its own unit.
    spacing
        mm.
    brain
        bool (I, J, K): averages are over voxels inside it, so that its edge is not pulled towards the background.
    where
        bool (I, J, K): N voxels, inside the brain.

    Returns
    -------
    ndarray
        (N, 4 M), float32.
    """
    columns = [array[where] for array in mri.values()]
    for blur in BLURS:
        sigma = [blur / edge for edge in spacing]
        weight = np.maximum(gaussian_filter(brain.astype(np.float32), sigma), 1e-3)[where]
        columns += [gaussian_filter(np.where(brain, array, 0), sigma)[where] / weight for array in mri.values()]
    return np.stack(columns, axis=1).astype(np.float32)


def drawn(
    mri: Mapping[str, np.ndarray],
    dvr: np.ndarray,
    spacing: Sequence[float],
    brain: np.ndarray,
    lesion: np.ndarray,
    *,
    voxels: int,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what a subject teaches: the features (N, 4 M) and DVR (N) of its lesion voxels and of others at random.

    Every lesion voxel is there: lesions are a few per cent of a brain, and what they look like is the question.

    Parameters
    ----------
    mri, spacing, brain
        As for `neighbourhood`.
    dvr
        (I, J, K).
    lesion
        bool (I, J, K).
    voxels
        To draw from the brain beside the lesions, all of it where it has fewer.
    random
        Decides which.
    """
    others = np.flatnonzero(brain & ~lesion)
    where = brain & lesion
    where.ravel()[random.choice(others, size=min(voxels, others.size), replace=False)] = True
    return neighbourhood(mri, spacing, brain, where), dvr[where]


class BoostingFit:
    """A gradient-boosted regressor of the DVR (scikit-learn), subject after subject.

    Parameters
    ----------
    seed
        Of the regressor.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._features: list[np.ndarray] = []
        self._targets: list[np.ndarray] = []

    def add(self, features: np.ndarray, targets: np.ndarray) -> None:
        """Take into account what was `drawn` from a subject: features (N, 4 M) and DVR (N)."""
        self._features.append(features)
        self._targets.append(targets)

    def solve(self) -> Boosting:
        """Return the trained regressor; needs one subject or more."""
        regressor = HistGradientBoostingRegressor(
            max_iter=300, learning_rate=0.06, min_samples_leaf=40, early_stopping=False, random_state=self.seed
        )
        regressor.fit(np.concatenate(self._features), np.concatenate(self._targets))
        return Boosting(regressor)


class Boosting:
    """The trained regressor, in memory only: it is refitted in seconds, and a pickle could run code when opened."""

    def __init__(self, regressor: HistGradientBoostingRegressor) -> None:
        self.regressor = regressor

    def predict(self, mri: Mapping[str, np.ndarray], spacing: Sequence[float], brain: np.ndarray) -> np.ndarray:
        """Return the predicted DVR (I, J, K), float32, 0 outside the brain.

        Parameters
        ----------
        mri, spacing, brain
            As for `neighbourhood`.
        """
        out = np.zeros(brain.shape, dtype=np.float32)
        out[brain] = self.regressor.predict(neighbourhood(mri, spacing, brain, brain))
        return out
