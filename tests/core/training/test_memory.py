"""How much memory training takes, against counts by hand."""

from __future__ import annotations

import pytest

from napari_myelin.core.options import Options
from napari_myelin.core.options_file import options_from
from napari_myelin.core.training.memory import training_bytes, what_fits

SHAPE = (32, 32, 32)
VOXELS = 32**3


def options(**network: object) -> Options:
    return options_from({"network": network, "loss": {"adversarial": False}})


def test_what_back_propagation_keeps_is_counted_by_hand() -> None:
    # two layers of 8 maps: the image and each layer's output are kept, 4 bytes a value
    kept = 4 * VOXELS * (5 + 8 + 8)
    weights = 4 * ((343 * 5 * 8 + 8) + (343 * 8 * 8 + 8) + (8 + 1))
    way_back = 2 * 4 * VOXELS * 2 * 8
    need = training_bytes(options(generator="two_layer", maps=8), SHAPE, 4)
    # weights, gradient and two moments; the kernels are also among what is kept
    assert need == pytest.approx(kept + 4 * weights + way_back + weights, rel=0.01)


def test_a_batch_multiplies_what_is_kept_and_not_the_weights() -> None:
    base = {"network": {"maps": 4}, "loss": {"adversarial": False}}
    one, two, three = (
        training_bytes(options_from({**base, "training": {"batch": batch}}), SHAPE, 4) for batch in (1, 2, 3)
    )
    assert two - one == three - two
    assert two < 2 * one


def test_more_voxels_and_an_adversary_take_more() -> None:
    small = training_bytes(options(maps=4), SHAPE, 4)
    assert 7 < training_bytes(options(maps=4), (64, 64, 64), 4) / small < 8.5
    assert training_bytes(options_from({"network": {"maps": 4}}), SHAPE, 4) > small


def test_advice_names_the_largest_halving_that_fits() -> None:
    full = options_from({"network": {"maps": 32}})
    need = {maps: training_bytes(options_from({"network": {"maps": maps}}), SHAPE, 4) for maps in (4, 8, 16)}
    assert "--maps 8 --batch 1 would fit on 32 x 32 x 32" in what_fits(full, SHAPE, 4, need[8] + 1)
    assert "--maps 4 " in what_fits(full, SHAPE, 4, need[8] - 1)
    assert "take a larger --spacing" in what_fits(full, SHAPE, 4, 1)
