"""Out of memory: the run frees what it holds, steps down, says so, and goes on from the last step."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import assert_same_weights, weights
from tiny import tiny_options

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.events import Event, Finished, Started, Step, SteppedDown, Stopped, StopRequest, read_events
from napari_myelin.core.inference.model import read_card
from napari_myelin.core.options import Options
from napari_myelin.core.options_file import options_from
from napari_myelin.core.training import step, trainer
from napari_myelin.core.training.fit import fit
from napari_myelin.core.training.pace import Average
from napari_myelin.core.training.stepdown import changed, next_smaller, next_window

FIRST = {"crop": 32, "window": 32}  # of the tiny cohort's grid, 32 x 48 x 32
SECOND = {"crop": 16, "window": 16}


def ladder(options: Options, shape: tuple[int, int, int]) -> list[dict[str, Any]]:
    rungs = []
    while (smaller := next_smaller(options, shape)) is not None:
        rungs.append(smaller)
        options = changed(options, smaller)
    return rungs


def test_steps_down_by_cubes_of_whole_patches_then_checkpointing() -> None:
    paper = options_from({})
    sizes = [{"crop": edge, "window": edge} for edge in (96, 64, 32)]
    assert ladder(paper, (128, 160, 128)) == [*sizes, {"checkpointing": True}]


def test_fewer_cubes_come_before_smaller_ones_and_whole_volumes_stay_whole() -> None:
    cubes = {"network": {"generator": "residual", "refiners": 0}, "loss": {"adversarial": False}}
    options = options_from({**cubes, "training": {"crop": 32, "crops": 4}})
    rungs = [{"crops": 2}, {"crops": 1}, {"crop": 24}, {"crop": 16}, {"checkpointing": True}]
    assert ladder(options, (64, 80, 64)) == rungs
    refining = options_from({"training": {"crop": 64, "checkpointing": True}})
    assert ladder(refining, (128, 160, 128)) == [{"window": 64}, {"crop": 32, "window": 32}]


def test_windows_shrink_down_to_16_voxels() -> None:
    options, edges = options_from({}), []
    while (smaller := next_window(options, (128, 160, 128))) is not None:
        edges.append(smaller["window"])
        options = changed(options, smaller)
    assert edges == [120, 88, 64, 48, 32, 24, 16]


def running_out(where: Any, name: str, calls: set[int], seen: list[int] | None = None) -> Callable[..., Any]:
    """Return a function that does what ``name`` does, but runs out of memory at some calls, with tensors in hand."""
    real, count = getattr(where, name), 0

    def broken(*given: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        held = torch.zeros(1000, 1000)
        if count in calls:
            if seen is not None:
                seen.append(count)
            raise torch.OutOfMemoryError(f"CUDA out of memory beside {held.numel()} values")
        return real(*given, **more)

    return broken


def steps_of(events: list[Event]) -> list[tuple[str, int, int]]:
    return [(event.stage, event.epoch, event.step) for event in events if isinstance(event, Step)]


def test_a_run_that_runs_out_twice_goes_on_from_the_last_step_and_says_so(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, options = tmp_path / "run", tiny_options(epochs=2)
    monkeypatch.setattr(trainer, "train_step", running_out(trainer, "train_step", {2, 3}))
    shapes: list[tuple[int, ...]] = []
    real = trainer.make_sample

    def spy(*given: Any) -> Any:
        sample = real(*given)
        shapes.append(tuple(sample.mri.shape[2:]))
        return sample

    monkeypatch.setattr(trainer, "make_sample", spy)
    events = list(fit(small, options, run))
    assert isinstance(events[-1], Finished), events[-1]
    said = [event for event in events if isinstance(event, SteppedDown)]
    assert [(each.stage, each.epoch, each.step, each.changes) for each in said] == [
        ("sketcher", 1, 2, FIRST),
        ("sketcher", 1, 2, SECOND),
    ]
    assert said[0].sentence == "out of memory in sketcher, epoch 1, step 2: goes on with crop 32, window 32"
    assert shapes[:4] == [(32, 48, 32), (32, 48, 32), (32, 32, 32), (16, 16, 16)]
    assert set(shapes[3:]) == {(16, 16, 16)}
    every = [(stage, epoch, number) for stage in ("sketcher", "refiner") for epoch in (1, 2) for number in (1, 2)]
    assert steps_of(events) == every
    assert [each for each in read_events(run / "events.jsonl") if isinstance(each, SteppedDown)] == said
    card = read_card(run / "model.safetensors")
    assert (card.options.training.crop, card.options.training.window) == (16, 16)
    assert any("goes on with crop 16, window 16" in note for note in card.notes)


def test_what_a_step_had_done_before_it_ran_out_is_undone(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # once before D is updated, once after it, in the generator's half of the same step: the same weights
    for name, where, what, call in (("early", trainer, "train_step", 2), ("late", step, "generator_loss", 2)):
        with monkeypatch.context() as patch:
            patch.setattr(where, what, running_out(where, what, {call}))
            events = list(fit(small, tiny_options(epochs=2), tmp_path / name))
        assert len([each for each in events if isinstance(each, SteppedDown)]) == 1
        assert isinstance(events[-1], Finished), events[-1]
    assert_same_weights(weights(tmp_path / "early"), weights(tmp_path / "late"))


def test_what_the_step_held_is_given_back_before_the_run_goes_on(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def million() -> int:
        gc.collect()
        return sum(1 for each in gc.get_objects() if type(each) is torch.Tensor and each.shape == (1000, 1000))

    monkeypatch.setattr(trainer, "train_step", running_out(trainer, "train_step", {2}))
    counts = [million() for event in fit(small, tiny_options(), tmp_path / "run") if isinstance(event, SteppedDown)]
    assert counts == [0]


def test_a_stepped_down_run_resumes_as_it_was(small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = tiny_options(epochs=2)
    for name, stops in (("whole", False), ("stopped", True)):
        stop = StopRequest()
        with monkeypatch.context() as patch:
            patch.setattr(trainer, "train_step", running_out(trainer, "train_step", {2}))
            events = []
            for event in fit(small, options, tmp_path / name, stop=stop):
                events.append(event)
                if stops and isinstance(event, SteppedDown):
                    stop.request()
        assert isinstance(events[-1], Stopped if stops else Finished), events[-1]
    events = list(fit(small, options, tmp_path / "stopped", resume=True))  # with the options that were asked for
    assert isinstance(events[-1], Finished), events[-1]
    notes = next(event for event in events if isinstance(event, Started)).notes
    assert "memory ran out before: trains with --crop 32 --window 32" in notes
    assert_same_weights(weights(tmp_path / "stopped"), weights(tmp_path / "whole"))


def test_a_validation_that_runs_out_is_done_in_windows(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "validate", running_out(trainer, "validate", {1}))
    events = list(fit(small, tiny_options(), tmp_path / "run"))
    assert isinstance(events[-1], Finished), events[-1]
    (said,) = [event for event in events if isinstance(event, SteppedDown)]
    assert said.changes == {"window": 32}
    assert said.sentence == "out of memory in sketcher, epoch 1, validation: goes on with window 32"
    assert read_card(tmp_path / "run" / "model.safetensors").options.training.crop == 0


def test_memory_that_runs_out_while_the_weights_change_ends_the_run(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # such a step is half done: going on would not be going on from the last one
    monkeypatch.setattr(Average, "follow", running_out(Average, "follow", {1}))
    events = list(fit(small, tiny_options(average=0.9), tmp_path / "run"))
    assert events[-1].kind == "failed"
    assert not any(isinstance(event, SteppedDown) for event in events)
