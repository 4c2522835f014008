"""How a run stops and goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from runs import assert_same_weights, kinds, weights
from tiny import tiny_options

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.events import (
    Finished,
    Step,
    Stopped,
    StopRequest,
    read_events,
)
from napari_myelin.core.inference.model import load_model
from napari_myelin.core.options_file import options_from
from napari_myelin.core.training import trainer
from napari_myelin.core.training.fit import fit
from napari_myelin.core.training.trainer import Trainer


def test_stopped_and_resumed_run_ends_with_the_weights_of_one_never_interrupted(
    small: Cohort, tmp_path: Path, uninterrupted: Path
) -> None:
    run, options = tmp_path / "run", tiny_options(epochs=2)
    for stop_after in (1, 2, 3):
        stop, done = StopRequest(), 0
        events = []
        for event in fit(small, options, run, stop=stop, resume=run.exists()):
            events.append(event)
            done += isinstance(event, Step)
            if done == stop_after:
                stop.request()
        assert isinstance(events[-1], Stopped)
    events = list(fit(small, options, run, resume=True))
    assert isinstance(events[-1], Finished)
    assert_same_weights(weights(run), weights(uninterrupted))
    assert_same_weights(weights(run, "last.safetensors"), weights(uninterrupted, "last.safetensors"))
    steps = [event for event in read_events(run / "events.jsonl") if isinstance(event, Step)]
    expected = [event for event in read_events(uninterrupted / "events.jsonl") if isinstance(event, Step)]
    assert [(s.stage, s.epoch, s.step, s.losses) for s in steps] == [
        (s.stage, s.epoch, s.step, s.losses) for s in expected
    ]


def test_a_file_named_stop_asks_the_run_to_stop(small: Cohort, tmp_path: Path) -> None:
    run = tmp_path / "run"
    events = []
    for event in fit(small, tiny_options(), run):
        events.append(event)
        if isinstance(event, Step):
            (run / "stop").touch()
    assert isinstance(events[-1], Stopped)
    assert isinstance(list(fit(small, tiny_options(), run, resume=True))[-1], Finished)


def test_a_stop_while_the_cohort_is_read_ends_there_and_the_run_goes_on_later(
    small: Cohort, tmp_path: Path, uninterrupted: Path
) -> None:
    run, options, stop = tmp_path / "run", tiny_options(epochs=2), StopRequest()
    events = []
    for event in fit(small, options, run, stop=stop):
        events.append(event)
        stop.request()
    assert kinds(events) == ["progress", "stopped"]
    assert isinstance(list(fit(small, options, run, resume=True))[-1], Finished)
    assert_same_weights(weights(run), weights(uninterrupted))


def test_a_run_killed_after_its_last_state_ends_with_a_finished_model(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: Path
) -> None:
    class Killed(BaseException):
        pass

    def killed(_: Trainer) -> None:
        raise Killed

    run, options = tmp_path / "run", tiny_options(epochs=2)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_finish", killed)
        with pytest.raises(Killed):
            list(fit(small, options, run))
    assert isinstance(list(fit(small, options, run, resume=True))[-1], Finished)
    assert load_model(run / "model.safetensors").card.training.finished
    assert_same_weights(weights(run), weights(uninterrupted))
    assert not (run / "cache").exists()


def test_a_truncated_state_is_passed_over_for_the_one_before(
    small: Cohort, tmp_path: Path, uninterrupted: Path
) -> None:
    run, options = tmp_path / "run", tiny_options(epochs=2)
    stop, done = StopRequest(), 0
    for event in fit(small, options, run, stop=stop):
        done += isinstance(event, Step)
        if done == 5:  # past the first stage's epochs, so that two states are there
            stop.request()
    newest = sorted((run / "state").glob("*.pt"))[-1]
    assert len(list((run / "state").glob("*.pt"))) == 2
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    events = list(fit(small, options, run, resume=True))
    assert isinstance(events[-1], Finished)
    assert_same_weights(weights(run), weights(uninterrupted))


def test_resuming_a_finished_run_says_so_again_and_trains_nothing(small: Cohort, uninterrupted: Path) -> None:
    before = (uninterrupted / "model.safetensors").read_bytes()
    events = list(fit(small, tiny_options(epochs=2), uninterrupted, resume=True))
    assert kinds(events) == ["finished"]
    assert (uninterrupted / "model.safetensors").read_bytes() == before


def test_a_run_goes_on_in_a_precision_that_scales_its_losses(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, stop = tmp_path / "run", StopRequest()
    for event in fit(small, tiny_options(), run, stop=stop):
        if isinstance(event, Step):
            stop.request()
    # what Fabric makes of "16-mixed" on a GPU, with a scaler that works on a processor
    scaling = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
    monkeypatch.setattr(trainer, "launch", lambda _: Fabric(accelerator="cpu", devices=1, plugins=scaling))
    half = options_from({"runtime": {"precision": "16-mixed"}}, tiny_options())
    events = list(fit(small, half, run, resume=True))
    assert isinstance(events[-1], Finished), events[-1]
