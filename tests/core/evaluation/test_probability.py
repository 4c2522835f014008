"""A prediction that says its uncertainty: which voxels are demyelinated, and which share of a lesion."""

from __future__ import annotations

import numpy as np
import pytest

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.evaluation.demyelination import lesion_table
from napari_myelin.core.evaluation.probability import demyelinated_probability, expected_share, predicted_threshold


def test_a_prediction_is_below_when_the_measured_dvr_is_likely_enough_to_be() -> None:
    random = np.random.default_rng(4)
    prediction, sd = np.array([0.9, 1.0, 1.05, 1.1, 1.2]), np.array([0.1, 0.1, 0.2, 0.1, 0.05])
    below = predicted_threshold(1.0, sd, 0.3)
    # by drawing what might be measured
    chance = (prediction + sd * random.standard_normal((200_000, 5)) < 1.0).mean(axis=0)
    np.testing.assert_array_equal(prediction < below, chance > 0.3)
    assert (prediction < below).tolist() == [True, True, True, False, False]
    assert predicted_threshold(1.0, None, 0.3) == 1.0
    assert predicted_threshold(1.0, sd, 0.5) == 1.0
    np.testing.assert_allclose(predicted_threshold(np.full(5, 1.0), sd, 0.3), below)


def test_the_best_probability_for_dice_is_half_of_it() -> None:
    # voxels whose chance to be below is known: the Dice of every cut, against the cut at half of the best
    random = np.random.default_rng(5)
    chance = random.beta(0.6, 2.0, 100_000)
    measured = random.random(chance.size) < chance
    cuts = np.linspace(0.05, 0.8, 76)
    dice = [2 * (measured & (chance > cut)).sum() / (measured.sum() + (chance > cut).sum()) for cut in cuts]
    assert cuts[int(np.argmax(dice))] == pytest.approx(max(dice) / 2, abs=0.03)


def test_the_probability_is_the_share_of_what_might_be_measured() -> None:
    random = np.random.default_rng(6)
    prediction, sd = np.array([0.9, 1.0, 1.05, 1.2]), np.array([0.1, 0.1, 0.2, 0.05])
    drawn = (prediction + sd * random.standard_normal((400_000, 4)) < 1.0).mean(axis=0)
    np.testing.assert_allclose(demyelinated_probability(prediction, 1.0, sd), drawn, atol=0.003)
    # by hand: one SD below is .8413, at the threshold a half
    assert demyelinated_probability(np.array([0.9, 1.0]), 1.0, sd[:2]) == pytest.approx([0.8413, 0.5], abs=1e-4)
    # a threshold a voxel, and no doubt at all
    assert demyelinated_probability(np.array([0.9, 0.9]), np.array([1.0, 0.8]), np.zeros(2)).tolist() == [1.0, 0.0]


def test_the_expected_share_is_what_measurements_have_on_average() -> None:
    random = np.random.default_rng(7)
    prediction, sd = random.normal(1.05, 0.05, 300), random.uniform(0.05, 0.15, 300)
    measured = prediction + sd * random.standard_normal((2000, 300))
    assert expected_share(prediction, 1.0, sd) == pytest.approx((measured < 1.0).mean(), abs=0.003)
    # the voxels chosen for their overlap are many more, those below with the prediction alone fewer
    chosen = (prediction < predicted_threshold(1.0, sd, 0.3)).mean()
    assert expected_share(prediction, 1.0, None) < expected_share(prediction, 1.0, sd) < chosen
    assert np.isnan(expected_share(prediction[:0], 1.0, sd[:0]))


def test_a_lesions_share_is_the_expected_one_where_an_sd_is_given() -> None:
    lesion = np.zeros((4, 4, 4), dtype=bool)
    lesion[1, 1, 1:3] = True
    dvr, sd = np.full((4, 4, 4), 1.2, dtype=np.float32), np.full((4, 4, 4), 0.1, dtype=np.float32)
    dvr[1, 1, 1], dvr[1, 1, 2] = 0.9, 1.0
    (row,) = lesion_table(Volume(dvr, np.eye(4)), lesion, 1.0, sd)
    assert row.demyelinated == pytest.approx((0.8413 + 0.5) / 2, abs=1e-4)
    (same,) = lesion_table(Volume(dvr, np.eye(4)), lesion, np.ones((4, 4, 4)), sd)
    assert same.demyelinated == pytest.approx(row.demyelinated)
    (plain,) = lesion_table(Volume(dvr, np.eye(4)), lesion, 1.0)
    assert plain.demyelinated == 0.5
