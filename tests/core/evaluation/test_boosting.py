"""Gradient boosting sees a voxel's surroundings, and what no line can follow."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_myelin.core.evaluation.baselines import LinearFit
from napari_myelin.core.evaluation.boosting import BoostingFit, drawn, neighbourhood

SHAPE, SPACING = (16, 18, 14), (2.0, 2.0, 2.0)
BRAIN = np.zeros(SHAPE, dtype=bool)
BRAIN[2:-2, 2:-2, 2:-2] = True
NOWHERE = np.zeros(SHAPE, dtype=bool)


def brain_of(seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    random = np.random.default_rng(seed)
    mtr = np.where(BRAIN, random.normal(50, 10, SHAPE), 0).astype(np.float32)
    around = gaussian_filter(mtr, 1.5) / np.maximum(gaussian_filter(BRAIN.astype(np.float32), 1.5), 1e-3)
    return {"MTR": mtr}, np.where(BRAIN, 1 + 0.05 * np.abs(around - 50), 0).astype(np.float32)


def test_the_average_around_a_voxel_is_over_the_brain_alone() -> None:
    constant = {"MTR": np.where(BRAIN, np.float32(7), 0)}
    assert neighbourhood(constant, SPACING, BRAIN, BRAIN) == pytest.approx(7, rel=1e-4)


def test_it_learns_from_the_neighbourhood_what_a_line_on_the_voxel_cannot() -> None:
    fit, line, random = BoostingFit(seed=0), LinearFit(["MTR"]), np.random.default_rng(0)
    for seed in range(4):
        mri, dvr = brain_of(seed)
        fit.add(*drawn(mri, dvr, SPACING, BRAIN, NOWHERE, voxels=2000, random=random))
        line.add(np.stack(list(mri.values())), dvr, BRAIN)
    mri, dvr = brain_of(9)
    predicted = fit.solve().predict(mri, SPACING, BRAIN)
    assert not predicted[~BRAIN].any()
    error = np.mean((predicted - dvr)[BRAIN] ** 2)
    assert error < 0.5 * np.mean((line.solve().predict(mri, BRAIN) - dvr)[BRAIN] ** 2)


def test_every_lesion_voxel_is_learnt_from_and_the_seed_decides_the_others() -> None:
    lesion = np.zeros(SHAPE, dtype=bool)
    lesion[5:8, 5:8, 5:8] = True
    mri, dvr = brain_of(1)
    marked = np.where(lesion, np.float32(5), dvr)
    models = []
    for seed in (3, 3, 4):
        fit = BoostingFit(seed)
        fit.add(*drawn(mri, marked, SPACING, BRAIN, lesion, voxels=100, random=np.random.default_rng(seed)))
        models.append(fit.solve().predict(mri, SPACING, BRAIN))
    assert (models[0] == models[1]).all()
    assert (models[0] != models[2]).any()
    # 27 lesion voxels of 5 among 127: the mean of all predictions at them lies far above the rest's
    assert models[0][lesion].mean() > models[0][BRAIN & ~lesion].mean() + 0.5
