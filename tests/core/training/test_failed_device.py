"""A GPU that breaks down: the run's last event says so, though every further call fails with the same error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_options

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.events import Failed, read_events
from napari_myelin.core.options_file import options_from
from napari_myelin.core.training import failure, trainer
from napari_myelin.core.training.failure import describe
from napari_myelin.core.training.fit import fit

TIMED_OUT = "CUDA error: the launch timed out and was terminated\nCUDA kernel errors might be asynchronously reported"


def broken(*_: Any, **__: Any) -> Any:
    raise torch.AcceleratorError(TIMED_OUT)


def test_a_device_that_broke_down_is_a_failed_event_though_it_answers_nothing_any_more(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "train_step", broken)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", broken)
    failed = list(fit(small, tiny_options(), tmp_path / "run"))[-1]
    assert isinstance(failed, Failed)
    assert failed.cause == "CUDA error: the launch timed out and was terminated"
    assert "--resume goes on from the last state" in failed.advice
    assert read_events(tmp_path / "run" / "events.jsonl")[-1] == failed


def test_whatever_fails_while_a_failure_is_looked_into_the_first_one_is_told(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(trainer, "train_step", run_out)
    monkeypatch.setattr(failure, "free_memory", broken)
    failed = list(fit(small, tiny_options(crop=16, window=16, checkpointing=True), tmp_path / "run"))[-1]
    assert isinstance(failed, Failed)
    assert failed.cause == "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB"


@pytest.mark.parametrize(("devices", "words"), [(1, "RuntimeError: timed out"), (2, "another process of this run")])
def test_only_one_of_several_processes_can_have_lost_another(devices: int, words: str) -> None:
    options = options_from({"runtime": {"devices": devices}}, tiny_options())
    assert describe(RuntimeError("timed out"), "", options, None).cause.startswith(words)
    assert describe(torch.AcceleratorError(TIMED_OUT), "", options, None).cause.startswith("CUDA error: the launch")
