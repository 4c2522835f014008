"""Constants in one pass equal those of everything at once."""

from __future__ import annotations

import numpy as np
import pytest

from napari_myelin.core.data.normalisation import Moments, Normalisation, normalisation


def parts(arrays: list[np.ndarray]) -> list[dict[str, tuple[Moments, Moments]]]:
    return [{"FA": (Moments.of(array), Moments.of(array[array != 0]))} for array in arrays]


def test_constants_of_several_subjects_are_those_of_all_their_voxels() -> None:
    random = np.random.default_rng(0)
    arrays = [random.normal(1000 + n, 0.01, (5, 6, 7)).astype(np.float32) for n in range(4)]
    arrays[1][:2] = 0
    constants = normalisation(parts(arrays))
    everything = np.concatenate([array.ravel() for array in arrays]).astype(np.float64)
    assert constants.mean["FA"] == pytest.approx(everything.mean(), rel=1e-9)
    assert constants.sd["FA"] == pytest.approx(everything.std(), rel=1e-7)
    assert (constants.low["FA"], constants.high["FA"]) == (everything.min(), everything.max())
    inside = everything[everything != 0]
    assert constants.brain_mean["FA"] == pytest.approx(inside.mean(), rel=1e-9)
    assert constants.brain_sd["FA"] == pytest.approx(inside.std(), rel=1e-6)


def test_z_and_back_are_inverse_and_a_constant_map_does_no_harm() -> None:
    array = np.random.default_rng(1).normal(40, 5, (4, 4, 4)).astype(np.float32)
    constants = normalisation(parts([array]))
    scored = constants.z("FA", array)
    assert scored.mean() == pytest.approx(0, abs=1e-4)
    assert scored.std() == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(constants.back("FA", scored), array, rtol=1e-5)
    flat = normalisation(parts([np.full((3, 3, 3), 2.0, dtype=np.float32)]))
    np.testing.assert_array_equal(flat.z("FA", np.full(3, 2.0, dtype=np.float32)), 0)
    assert Normalisation.from_dict(constants.to_dict()) == constants


def test_harmonised_maps_do_not_depend_on_the_scanners_scale() -> None:
    random = np.random.default_rng(2)
    array = np.where(random.random((6, 6, 6)) < 0.5, random.normal(40, 5, (6, 6, 6)), 0).astype(np.float32)
    constants = normalisation(parts([array]))
    np.testing.assert_allclose(constants.z("FA", array, harmonise=True), constants.z("FA", array), atol=1e-5)
    other = constants.z("FA", 0.7 * array, harmonise=True)
    np.testing.assert_allclose(other, constants.z("FA", array), atol=1e-5)
    nothing = np.zeros_like(array)
    np.testing.assert_array_equal(constants.z("FA", nothing, harmonise=True), constants.z("FA", nothing))
