"""Smooth gains: a map is multiplied in its own unit, smoothly, where a field reaches it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_accurate

from napari_myelin.core.data.normalisation import Normalisation
from napari_myelin.core.errors import UsageError
from napari_myelin.core.options import TrainingOptions
from napari_myelin.core.options_file import options_from, preset
from napari_myelin.core.training.cubes import cut
from napari_myelin.core.training.fields import field_zeros, with_field
from napari_myelin.core.training.stage import Position, make_sample
from napari_myelin.core.training.step import Sample

NAMES = ("MTR", "FA", "T1w", "RD")
MEAN, SD = {"MTR": 30.0, "FA": 0.2, "T1w": 100.0, "RD": 0.7}, {"MTR": 20.0, "FA": 0.1, "T1w": 40.0, "RD": 0.5}


def constants() -> Normalisation:
    return Normalisation(mean=MEAN, sd=SD, low={}, high={}, brain_mean={}, brain_sd={})


def scored(raw: np.ndarray) -> torch.Tensor:
    """(N, M, I, J, K) in the maps' units, as z-scores."""
    return torch.from_numpy(np.stack([constants().z(name, raw[:, m]) for m, name in enumerate(NAMES)], 1))


def ratios(raw: np.ndarray, inside: torch.Tensor, sd: float, seed: int = 0) -> np.ndarray:
    """What each voxel was multiplied by, in the map's unit."""
    moved = with_field(scored(raw), inside, sd, field_zeros(constants(), NAMES), np.random.default_rng(seed))
    back = np.stack([constants().back(name, moved[:, m].numpy()) for m, name in enumerate(NAMES)], 1)
    return np.asarray(back / raw, dtype=np.float64)


def test_a_field_multiplies_maps_in_their_own_unit_inside_the_brain_and_spares_the_diffusion() -> None:
    raw = np.random.default_rng(1).uniform(0.5, 60, (3, 4, 8, 8, 8)).astype(np.float32)
    inside = torch.ones(3, 1, 8, 8, 8, dtype=torch.bool)
    inside[:, :, 0] = False
    gain = ratios(raw, inside, 0.1)
    np.testing.assert_allclose(gain[:, :, 0], 1, rtol=1e-4)
    np.testing.assert_allclose(gain[:, [1, 3]], 1, rtol=1e-4)
    assert np.abs(gain[:, [0, 2], 1:] - 1).max() > 0.05
    # every value of a map is moved by the field at its place and by nothing of its own: trilinear in between corners
    for cube in gain[:, [0, 2], 1:].reshape(6, 7, 8, 8):
        i, j, k = np.meshgrid(*(np.arange(n) for n in cube.shape), indexing="ij")
        design = np.stack([np.ones_like(i), i, j, k, i * j, i * k, j * k, i * j * k], -1).reshape(-1, 8)
        fit = np.linalg.lstsq(design, cube.ravel(), rcond=None)[0]
        np.testing.assert_allclose(design @ fit, cube.ravel(), atol=2e-4)


def test_a_field_has_the_sd_asked_for_at_corners_three_quarters_in_the_middle_and_differs_between_maps_and_cubes() -> (
    None
):
    raw = np.full((4000, 4, 3, 3, 3), 30, dtype=np.float32)
    gain = ratios(raw, torch.ones(4000, 1, 3, 3, 3, dtype=torch.bool), 0.04)[:, [0, 2]] - 1
    # 4000 draws: the SD of an SD is 1.1 %
    np.testing.assert_allclose(gain[:, :, ::2, ::2, ::2].std(0), 0.04, rtol=0.06)
    np.testing.assert_allclose(gain[:, :, 1, 1, 1].std(0), 0.04 * 0.75, rtol=0.06)  # (1/2 + 1/2 * 1/8) ** .5
    np.testing.assert_allclose(gain[:, :, 0, 1, 0].std(0), 0.04 * 0.75**0.5, rtol=0.06)  # an edge: (1/2 + 1/4) ** .5
    assert abs(np.corrcoef(gain[:, 0, 1, 1, 1], gain[:, 1, 1, 1, 1])[0, 1]) < 0.06
    np.testing.assert_allclose(gain.mean((0, 2, 3, 4)), 0, atol=0.003)


def test_maps_of_the_diffusion_stay_as_they_are_however_they_are_written() -> None:
    assert field_zeros(constants(), ("fa", "MTR", "Rd")) == (None, -1.5, None)
    zeros = field_zeros(constants(), ("FA", "RD"))
    assert zeros == (None, None)
    mri = torch.randn(2, 2, 4, 4, 4)
    inside = torch.ones(2, 1, 4, 4, 4, dtype=torch.bool)
    assert torch.equal(with_field(mri, inside, 0.1, zeros, np.random.default_rng(0)), mri)


def test_a_training_sample_has_the_field_on_the_maps_that_it_reaches_whatever_their_order() -> None:
    names, shape = ("FA", "MTR", "RD", "T1w"), (1, 1, 16, 16, 16)
    subject = SimpleNamespace(
        mri=torch.rand(1, 4, *shape[2:]),
        dvr=torch.rand(shape),
        regions=torch.zeros(shape, dtype=torch.uint8),
        brain=torch.ones(shape, dtype=torch.bool),
        lesion_voxels=lambda: np.zeros((0, 3), int),
    )
    ground: Any = SimpleNamespace(take=lambda key: subject, normalisation=constants())
    samples = []
    for field in (0.0, 0.1):
        own = {"data": {"modalities": names}, "network": {"refiners": 0}, "training": {"field": field}}
        options = options_from(own, tiny_accurate(jitter=0.0, symmetry="none"))
        cascade: Any = SimpleNamespace(condition=lambda stage, before: before)
        fabric: Any = None
        samples.append(make_sample(ground, cascade, "sub-01", Position(), options, fabric))
    plain, moved = (sample.mri for sample in samples)
    assert torch.equal(plain[:, [0, 2]], moved[:, [0, 2]])
    for channel, name in ((1, "MTR"), (3, "T1w")):
        gain = constants().back(name, moved[:, channel].numpy()) / constants().back(name, plain[:, channel].numpy())
        # smooth: neighbours are multiplied by nearly the same, whatever their values
        assert np.abs(np.diff(gain, axis=1)).max() < 0.1
        assert 0.01 < np.abs(gain - 1).max() < 0.6
        assert np.ptp(gain) > 0.01


def test_cubes_whose_maps_are_not_all_accounted_for_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        with_field(torch.zeros(1, 2, 4, 4, 4), torch.ones(1, 1, 4, 4, 4) > 0, 0.1, (0.0,), np.random.default_rng(0))


def test_a_refiner_that_predicts_whole_volumes_is_not_shown_fields_that_its_sketch_did_not_see() -> None:
    given = {"network": {"refiners": 1}, "training": {"field": 0.1, "crop": 16}}
    with pytest.raises(UsageError, match="field needs a window where Refiners are"):
        options_from(given, preset("demo"))
    assert options_from({**given, "training": {"field": 0.1, "crop": 16, "window": 16}}, preset("demo"))


def test_cubes_are_cut_where_they_were_and_only_the_field_is_added() -> None:
    shape = (1, 1, 24, 24, 24)
    mri, dvr = torch.rand(1, 4, *shape[2:]), torch.rand(shape)
    brain = torch.zeros(shape, dtype=torch.bool)
    brain[:, :, 4:20] = True
    subject = Sample(mri, dvr, torch.zeros(shape, dtype=torch.uint8), brain, torch.zeros(shape), seed=0)
    zeros = field_zeros(constants(), NAMES)
    plain, moved, again = (
        cut(subject, TrainingOptions(crop=16, crops=3, field=sd), 0, 1, "sub-01", zeros=zeros) for sd in (0, 0.1, 0.1)
    )
    for name in ("dvr", "regions", "weights"):
        assert torch.equal(getattr(plain, name), getattr(moved, name))
    assert torch.equal(moved.mri, again.mri)
    outside = (plain.weights == 0).expand_as(plain.mri)
    assert torch.equal(plain.mri[outside], moved.mri[outside])
    assert torch.equal(plain.mri[:, [1, 3]], moved.mri[:, [1, 3]])
    assert (plain.mri[:, [0, 2]] != moved.mri[:, [0, 2]])[~outside[:, [0, 2]]].all()
