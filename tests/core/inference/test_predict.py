"""Prediction: on the subject's own grid, reproducible, with a spread that is a standard deviation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Progress
from napari_myelin.core.inference.model import Model, load_model
from napari_myelin.core.inference.predict import dropping, network_inputs, predict, predict_in_steps
from napari_myelin.core.inference.spread import Spread
from napari_myelin.core.networks.unet import ConvBlock


class Sum(nn.Module):
    """A stage that adds up its channels times given weights: what it predicts can be worked by hand."""

    def __init__(self, weights: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights).view(1, -1, 1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self.weights).sum(1, keepdim=True)


def by_hand(model: Model, sketcher: tuple[float, ...], refiner: tuple[float, ...]) -> Model:
    """Replace both stages by weighted sums of (MTR, FA, RD, AD, condition)."""
    model.network.stages[0], model.network.stages[1] = Sum(sketcher), Sum(refiner)
    return model


def test_prediction_by_hand_on_the_subjects_own_grid(model: Model, memory_subject: Subject) -> None:
    by_hand(model, (1, 0, 0, 0, 0), (0, 0, 1, 0, 2))
    scores, volume = model.normalisation, memory_subject.volume
    prediction = predict([model], memory_subject)
    own = volume("MTR")
    assert prediction.dvr.shape == own.shape
    np.testing.assert_array_equal(prediction.dvr.affine, own.affine)
    assert prediction.dvr.array.dtype == np.float32
    inside = memory_subject.brain().array
    # the model's grid is coarser than the subject's: at its own spacing nothing is interpolated
    card = model.card.model_copy(update={"grid": {"shape": [24, 24, 24], "spacing": list(own.spacing)}})
    prediction = predict([Model(model.network, card)], memory_subject)
    mtr, rd = scores.z("MTR", own.array), scores.z("RD", volume("RD").array)
    np.testing.assert_allclose(prediction.sketch.array[inside], scores.back("dvr", mtr)[inside], atol=1e-4)
    np.testing.assert_allclose(prediction.dvr.array[inside], scores.back("dvr", rd + 2 * mtr)[inside], atol=1e-4)
    assert prediction.covered == 1.0
    assert prediction.uncertainty is None


def test_same_seed_same_maps_other_seed_other_maps(model: Model, memory_subject: Subject) -> None:
    first, again = predict([model], memory_subject), predict([model], memory_subject)
    np.testing.assert_array_equal(first.dvr.array, again.dvr.array)
    other = predict([model], memory_subject, seed=1)
    assert not np.array_equal(first.sketch.array, other.sketch.array)


def test_flipping_the_file_on_disk_flips_the_prediction_and_nothing_else(model: Model, memory_subject: Subject) -> None:
    def flipped(volume: Volume) -> Volume:
        affine = volume.affine.copy()
        affine[:3, 3] += affine[:3, 0] * (volume.shape[0] - 1)
        affine[:3, 0] *= -1
        return Volume(np.ascontiguousarray(volume.array[::-1]), affine)

    turned = memory_subject.with_files(**{role: flipped(memory_subject.raw(role)) for role in memory_subject.files})
    one, other = predict([model], memory_subject).dvr, predict([model], turned).dvr
    np.testing.assert_allclose(other.array[::-1], one.array, atol=1e-5)
    assert other.orientation[0] != one.orientation[0]


def test_uncertainty_over_noise_is_the_sd_that_the_noise_causes(model: Model, memory_subject: Subject) -> None:
    by_hand(model, (0, 0, 0, 0, 1), (0, 0, 0, 0, 0.5))  # the map is half the noise z
    spacing = list(memory_subject.volume("MTR").spacing)
    card = model.card.model_copy(update={"grid": {"shape": [24, 24, 24], "spacing": spacing}})
    prediction = predict([Model(model.network, card)], memory_subject, draws=200)
    assert prediction.uncertainty is not None
    inside = memory_subject.brain().array
    expected = 0.5 * model.normalisation.sd["dvr"]
    assert prediction.uncertainty.array[inside].mean() == pytest.approx(expected, rel=0.02)


def test_uncertainty_with_dropout_draws_dropout_and_leaves_the_network_as_it_was(
    model: Model, memory_subject: Subject
) -> None:
    torch.manual_seed(0)
    stage = nn.Sequential(ConvBlock(5, 4, "none", 0.5), nn.Conv3d(4, 1, 1)).eval()
    with torch.no_grad():
        stage[0][0].weight[:, 4] = 0  # the noise does not matter: what varies is dropout
    model.network.stages[0], model.network.stages[1] = stage, Sum((0, 0, 0, 0, 1)).eval()
    outer = torch.random.get_rng_state()
    prediction = predict([model], memory_subject, draws=4)
    assert prediction.uncertainty is not None
    assert prediction.uncertainty.array.max() > 0
    torch.testing.assert_close(torch.random.get_rng_state(), outer)
    assert not any(layer.training for layer in model.network.modules())
    with dropping(model.network):
        assert [isinstance(layer, nn.Dropout) for layer in model.network.modules() if layer.training] == [True]


def test_several_models_give_their_mean_and_their_sd(trained_run: Path, memory_subject: Subject) -> None:
    models = [load_model(trained_run / "model.safetensors") for _ in range(3)]
    for number, each in enumerate(models):
        by_hand(each, (0, 0, 0, 0, 0), (number, 0, 0, 0, 0))
    singles = [predict([each], memory_subject).dvr.array.astype(np.float64) for each in models]
    prediction = predict(models, memory_subject)
    np.testing.assert_allclose(prediction.dvr.array, np.mean(singles, axis=0), atol=1e-5)
    assert prediction.uncertainty is not None
    np.testing.assert_allclose(prediction.uncertainty.array, np.std(singles, axis=0, ddof=1), atol=1e-5)


def test_spread_is_the_sample_standard_deviation() -> None:
    random = np.random.default_rng(0)
    maps = random.normal(1000, 1e-2, (7, 3, 3, 3))
    spread = Spread()
    for each in maps:
        spread.add(each)
    np.testing.assert_allclose(spread.sd(), maps.std(axis=0, ddof=1), rtol=1e-4)


def test_every_missing_modality_is_named(model: Model, memory_subject: Subject) -> None:
    files = {role: memory_subject.files[role] for role in memory_subject.files if role not in ("RD", "AD")}
    with pytest.raises(MyelinError, match="no RD map and no AD map; the model needs MTR, FA, RD, AD"):
        predict([model], Subject("x1", files=files))


def test_inputs_are_z_scored_with_the_models_constants(model: Model, phantom_cohort: Cohort) -> None:
    subject = phantom_cohort.subjects[0]
    inputs = network_inputs(model, subject, torch.device("cpu"))
    scores = model.card.normalisation
    expected = (subject.volume("FA").array.max() - scores["mean"]["FA"]) / scores["sd"]["FA"]
    assert float(inputs.mri[0, 1].max()) == pytest.approx(expected, rel=1e-4)
    assert tuple(inputs.mri.shape) == (1, 4, *model.grid.shape)


def test_a_prediction_in_steps_is_the_same_and_can_be_given_up_between_draws(
    model: Model, memory_subject: Subject
) -> None:
    *told, last = predict_in_steps([model], memory_subject, draws=3, seed=1)
    assert [(each.done, each.total) for each in told if isinstance(each, Progress)] == [(n, 4) for n in range(5)]
    whole = predict([model], memory_subject, draws=3, seed=1)
    np.testing.assert_array_equal(last.dvr.array, whole.dvr.array)
    np.testing.assert_array_equal(last.uncertainty.array, whole.uncertainty.array)
    passes = []
    model.network.register_forward_hook(lambda *_: passes.append(1))
    steps = predict_in_steps([model], memory_subject, draws=100)
    for each in steps:
        if isinstance(each, Progress) and each.done == 2:
            steps.close()
    assert len(passes) == 2
    assert not any(layer.training for layer in model.network.modules())
    assert not torch.is_inference_mode_enabled()


def test_a_model_that_predicts_nan_is_refused(model: Model, memory_subject: Subject) -> None:
    with torch.no_grad():
        next(model.network.parameters()).fill_(torch.nan)
    with pytest.raises(MyelinError, match=r"predicts NaN for sub-x1: train it again, or use another"):
        predict([model], memory_subject)
