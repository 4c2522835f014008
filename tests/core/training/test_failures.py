"""How a run is refused, fails, and what it keeps when it does."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runs import assert_same_weights, weights
from tiny import tiny_options

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.events import (
    Event,
    Failed,
    Finished,
    Step,
    SteppedDown,
    StopRequest,
    read_events,
)
from napari_myelin.core.inference.model import read_card
from napari_myelin.core.options_file import options_from
from napari_myelin.core.training import trainer
from napari_myelin.core.training.fit import fit
from napari_myelin.core.training.step import StageNets


def only(events: Iterator[Event]) -> Failed:
    last = list(events)[-1]
    assert isinstance(last, Failed), last
    return last


def without(cohort: Cohort, role: str) -> Cohort:
    subjects = (
        Subject(s.name, s.session, s.group, files={name: file for name, file in s.files.items() if name != role})
        for s in cohort.subjects
    )
    return Cohort(cohort.root, tuple(subjects))


def test_a_cohort_without_any_target_cannot_train(small: Cohort, tmp_path: Path) -> None:
    failed = only(fit(without(small, "dvr"), tiny_options(), tmp_path / "run"))
    assert "no subject of" in failed.cause
    assert "no measured DVR" in failed.cause


def test_an_existing_run_is_not_written_over(small: Cohort, uninterrupted: Path) -> None:
    before = (uninterrupted / "events.jsonl").read_bytes()
    assert "holds a run already: pass --resume" in only(fit(small, tiny_options(epochs=2), uninterrupted)).cause
    assert (uninterrupted / "events.jsonl").read_bytes() == before


@pytest.mark.parametrize("name", ["model.safetensors", "cache", "state"])
def test_what_is_in_the_folder_of_a_new_run_is_not_written_over(name: str, small: Cohort, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine").write_text("mine")
    assert f"holds {name}, which would be written over" in only(fit(small, tiny_options(), tmp_path)).cause
    assert (tmp_path / name / "mine").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_resuming_with_other_options_or_subjects_is_refused(small: Cohort, tmp_path: Path) -> None:
    run, stop = tmp_path / "run", StopRequest()
    for event in fit(small, tiny_options(), run, stop=stop):
        if isinstance(event, Step):
            stop.request()
    changed = options_from({"network": {"maps": 4}}, tiny_options())
    failed = only(fit(small, changed, run, resume=True))
    assert failed.usage
    assert "network.maps = 2, now it is 4" in failed.cause
    renamed = tiny_options().model_copy(update={"preset": "paper"})
    assert "preset = demo, now it is paper" in only(fit(small, renamed, run, resume=True)).cause
    other = Cohort(small.root, small.subjects[:2])
    assert "is not the one this run trained on" in only(fit(other, tiny_options(), run, resume=True)).cause
    assert "no run in" in only(fit(small, tiny_options(), tmp_path / "nowhere", resume=True)).cause
    assert isinstance(list(fit(small, tiny_options(), run, resume=True))[-1], Finished)


def test_a_run_folder_that_cannot_be_made_is_one_sentence(small: Cohort, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    failed = only(fit(small, tiny_options(), tmp_path / "file" / "run"))
    assert "cannot write" in failed.cause
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def breaking(step: int, what: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Callable[..., Any]:
    count = 0
    real = trainer.train_step

    def broken(*arguments: Any) -> dict[str, torch.Tensor]:
        nonlocal count
        count += 1
        losses = real(*arguments)
        return what(losses) if count == step else losses

    return broken


def test_a_loss_that_is_not_a_number_stops_the_run_and_keeps_the_last_good_state(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: Path
) -> None:
    def nan(losses: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return losses | {"adversarial": torch.tensor(float("nan"))}

    run, options = tmp_path / "run", tiny_options(epochs=2)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train_step", breaking(4, nan))
        failed = only(fit(small, options, run))
    assert '"adversarial" became nan in stage sketcher, epoch 2, step 2' in failed.cause
    assert "lower the learning rates" in failed.advice
    assert isinstance(read_events(run / "events.jsonl")[-1], Failed)
    assert isinstance(list(fit(small, options, run, resume=True))[-1], Finished)
    assert_same_weights(weights(run), weights(uninterrupted))


def test_weights_that_are_not_numbers_are_never_saved(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: Path
) -> None:
    # a gradient of NaN behind finite losses, in the last step of an epoch: the next step's loss would come too late
    real, count = trainer.train_step, 0

    def poisoned(nets: StageNets, *more: Any) -> dict[str, torch.Tensor]:
        nonlocal count
        count += 1
        losses = real(nets, *more)
        if count == 4:
            with torch.no_grad():
                next(nets.generator.parameters()).fill_(float("nan"))
        return losses

    run, options = tmp_path / "run", tiny_options(epochs=2)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train_step", poisoned)
        failed = only(fit(small, options, run))
    assert "weights of the generator became NaN or infinite in stage sketcher, epoch 2, by step 2" in failed.cause
    assert all(bool(value.isfinite().all()) for value in weights(run).values())
    assert isinstance(list(fit(small, options, run, resume=True))[-1], Finished)
    assert_same_weights(weights(run), weights(uninterrupted))


def test_a_validation_that_is_not_a_number_is_never_the_best(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([float("nan"), 0.5, float("nan")] * 2)
    monkeypatch.setattr(trainer, "validate", lambda *_: {"loss": (loss := next(losses)), "mse": loss})
    run = tmp_path / "run"
    list(fit(small, tiny_options(epochs=3), run))
    assert read_card(run / "model.safetensors").training.validation_mse == 0.5


def test_out_of_memory_at_the_smallest_step_becomes_a_size_that_fits_and_leaves_nothing_allocated(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(nets: StageNets, samples: Any, *_: Any) -> Any:
        nets.generator(torch.cat([samples[0].mri, samples[0].condition], 1))
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    def tensors() -> int:
        gc.collect()
        return sum(
            each.numel() * each.element_size()
            for each in gc.get_objects()
            if type(each) in (torch.Tensor, torch.nn.Parameter) and each.device.type == "cpu"
        )

    before = tensors()
    monkeypatch.setattr(trainer, "train_step", run_out)
    held = []  # when what is free is asked for, the failed run must have given everything back

    def free(device: torch.device) -> int:
        held.append(tensors() - before)
        return 60 * 2**20

    monkeypatch.setattr("napari_myelin.core.training.failure.free_memory", free)
    options = options_from({"network": {"maps": 32, "discriminator_maps": 32}}, tiny_options())
    events = list(fit(small, options, tmp_path / "run"))
    assert [each.changes for each in events if isinstance(each, SteppedDown)] == [
        {"crop": 32, "window": 32},
        {"crop": 16, "window": 16},
        {"checkpointing": True},
    ]
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert failed.cause == "out of memory"
    assert "60 MiB are free: --maps" in failed.advice
    assert "--batch 1 would fit" in failed.advice
    assert held[0] < 1e5
    monkeypatch.undo()
    assert tensors() - before < 1e5


def test_a_full_disk_while_the_cohort_is_cached_says_so(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("49152 requested and 1024 written")  # as numpy puts it

    monkeypatch.setattr(np, "save", full)
    cause = only(fit(small, tiny_options(), tmp_path / "run")).cause
    assert "cannot write the cache" in cause
    assert "no space left? 49152 requested and 1024 written; free some space" in cause


@pytest.mark.parametrize("name", ["model.safetensors", "preview.npz"])
def test_a_full_disk_in_the_middle_is_a_failed_event_and_the_run_goes_on_later(
    name: str, small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: Path
) -> None:
    run, options = tmp_path / "run", tiny_options(epochs=2)
    calls = 0

    def full(self: Path, data: bytes) -> int:
        nonlocal calls
        if self.name.startswith(f".{name}"):
            calls += 1
            if calls == 2:
                raise OSError(28, "No space left on device")
        return real(self, data)

    real = Path.write_bytes
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        failed = only(fit(small, options, run))
    assert "No space left on device" in failed.cause
    assert not list(run.rglob("*.tmp"))
    assert isinstance(list(fit(small, options, run, resume=True))[-1], Finished)
    assert_same_weights(weights(run), weights(uninterrupted))


def test_a_bug_is_called_a_bug_and_carries_its_trace(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(losses: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        raise KeyError("oops")

    monkeypatch.setattr(trainer, "train_step", breaking(1, bug))
    failed = only(fit(small, tiny_options(), tmp_path / "run"))
    assert "KeyError" in failed.cause
    assert "bug of napari-myelin" in failed.advice
    assert "Traceback" in failed.trace
