"""The accurate preset: it trains, stops, resumes and predicts like any other, with an uncertainty of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import assert_same_weights, weights
from tiny import tiny_accurate

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import UsageError
from napari_myelin.core.events import Epoch, Event, Finished, Step, Stopped, StopRequest
from napari_myelin.core.inference.attention import saliency
from napari_myelin.core.inference.model import Model, load_model
from napari_myelin.core.inference.predict import predict
from napari_myelin.core.options_file import options_from
from napari_myelin.core.training.fit import fit
from napari_myelin.core.training.memory import training_bytes


@pytest.fixture(scope="module")
def run(small: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("accurate") / "run"
    events: list[Event] = list(fit(small, tiny_accurate(), run))
    assert isinstance(events[-1], Finished), events[-1]
    epochs = [event for event in events if isinstance(event, Epoch)]
    assert set(epochs[0].losses) == {"l2", "variance", "regions", "generator"}
    assert all(0 < epoch.validation["mse"] < epoch.validation["loss"] for epoch in epochs)  # the image; the brain
    return run


@pytest.fixture
def accurate(run: Path) -> Model:
    return load_model(run / "model.safetensors")


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_stopped_and_resumed_at_every_step_it_ends_with_the_same_weights(
    precision: str, small: Cohort, tmp_path: Path, run: Path
) -> None:
    options = options_from({"runtime": {"precision": precision}}, tiny_accurate())
    if precision != "32-true":
        run = tmp_path / "uninterrupted"
        assert isinstance(list(fit(small, options, run))[-1], Finished)
    again, steps = tmp_path / "run", 0
    while True:
        stop, events = StopRequest(), []
        for event in fit(small, options, again, stop=stop, resume=again.exists()):
            events.append(event)
            if isinstance(event, Step):
                steps += 1
                stop.request()
        if isinstance(events[-1], Finished):
            break
        assert isinstance(events[-1], Stopped), events[-1]
    assert steps == 4
    assert_same_weights(weights(again), weights(run))


def test_the_model_has_the_average_weights_and_not_the_last(small: Cohort, tmp_path: Path, run: Path) -> None:
    without = tmp_path / "run"
    assert isinstance(list(fit(small, tiny_accurate(average=0.0), without))[-1], Finished)
    one, other = weights(run), weights(without)
    assert not torch.equal(one["stages.0.stem.weight"], other["stages.0.stem.weight"])


def test_the_uncertainty_is_the_variance_that_the_network_predicts(accurate: Model, small: Cohort) -> None:
    subject = small.subjects[0]
    prediction = predict([accurate], subject)
    assert prediction.uncertainty is not None
    network = accurate.network
    with torch.no_grad():
        last = network.stages[0].spread[2]
        last.weight.zero_()
        last.bias.fill_(10 * np.arctanh(np.log(0.25) / 10))  # it is kept within 10 on either side
    flat = predict([accurate], subject, draws=3).uncertainty
    assert flat is not None
    brain = subject.brain().array
    np.testing.assert_allclose(flat.array[brain], 0.5 * accurate.normalisation.sd["dvr"], rtol=0.02)
    twice = predict([accurate, accurate], subject).uncertainty
    assert twice is not None
    np.testing.assert_allclose(twice.array, flat.array, rtol=1e-4)


def test_nothing_is_predicted_outside_the_brain(accurate: Model, small: Cohort) -> None:
    subject = small.subjects[0]
    prediction, brain = predict([accurate], subject), subject.brain().array
    assert prediction.uncertainty is not None
    assert not prediction.dvr.array[~brain].any()
    assert not prediction.uncertainty.array[~brain].any()
    assert (prediction.uncertainty.array[brain] > 0).all()


def test_another_scanners_scale_does_not_change_the_prediction(accurate: Model, small: Cohort) -> None:
    subject = small.subjects[0]
    scaled = {name: Volume(1.3 * subject.volume(name).array, subject.volume(name).affine) for name in ("MTR", "RD")}
    other = replace(subject, files={**subject.files, **scaled})
    np.testing.assert_allclose(predict([accurate], other).dvr.array, predict([accurate], subject).dvr.array, atol=1e-4)


def test_saliency_is_against_the_squared_errors_of_the_brain(accurate: Model, small: Cohort) -> None:
    explained = saliency(accurate, small.subjects[0], "loss")
    assert explained.region == "brain"
    assert all((volume.array >= 0).all() and volume.array.any() for volume in explained.maps.values())


def test_memory_is_that_of_the_cubes_and_a_subjects_own_arrays_whatever_the_grid() -> None:
    options, grids = tiny_accurate(), ((32, 32, 32), (128, 160, 128))
    small, large = (training_bytes(options, shape, 4) for shape in grids)
    voxels = np.prod(grids[1]) - np.prod(grids[0])
    assert 0 < (large - small) / voxels < 80  # bytes: its maps and what is made of them, not a network's activations
    # as much again for as many more cubes
    four, six = (training_bytes(tiny_accurate(crops=crops), (32, 32, 32), 4) for crops in (4, 6))
    assert 0 < four - small < six - small < 3 * (four - small)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"network": {"variance": True}}, 'variance needs generator "residual" and distance "l2"'),
        ({"network": {"region_head": True}}, 'region_head needs generator "residual" and distance "l2"'),
        ({"training": {"crop": 8}, "network": {"patch": 8}}, "crop 8 must be 16 or more"),
        ({"training": {"crop": 40}}, "crop 40 must be a multiple of the patch"),
    ],
)
def test_options_that_do_not_go_together_are_refused(given: dict[str, dict[str, object]], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        options_from(given)
