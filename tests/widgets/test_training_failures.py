"""Trainings that fail: a sentence in the panel and in a notification, and the panel is ready afterwards."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mouse import press
from trainings import opened, options_for, run_of, until

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.events import Finished
from napari_myelin.core.training import trainer
from napari_myelin.core.training.trainer import Trainer
from napari_myelin.widgets.jobs import running_jobs


def run_out(*_: Any) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def bug(*_: Any) -> Any:
    raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


def trainings() -> list[Any]:
    return [job for job in running_jobs() if job.name == "training"]


def test_every_failure_is_a_sentence_here_and_in_a_notification_and_leaves_the_panel_ready(
    viewer: Any,
    qtbot: Any,
    phantom_cohort: Cohort,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    notified: list[str],
) -> None:
    panel = opened(viewer, qtbot, phantom_cohort, tmp_path / "run", options_for())

    def fails(number: int, sentence: str, during: Callable[[], None] = lambda: None) -> None:
        panel.setup.folder.setText(str(tmp_path / f"run {number}"))
        press(qtbot, panel.start)
        during()
        until(qtbot, lambda: not run_of(panel).running)
        assert sentence in run_of(panel).sentence()
        assert notified[-1] == run_of(panel).sentence()
        assert panel.view.sentence.text() == run_of(panel).sentence()
        assert "--" not in run_of(panel).sentence()  # flags are the command line's
        assert not trainings()
        gc.collect()
        assert not [each for each in gc.get_objects() if type(each) is Trainer]  # and with it every tensor
        panel.setup.folder.setText(str(tmp_path / f"run {number + 1}"))
        assert panel.start.isEnabled(), panel.start.toolTip()

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train_step", run_out)
        fails(1, "out of memory: about ")
        patch.setattr(trainer, "train_step", bug)
        fails(2, "RuntimeError: mat1 and mat2 shapes cannot be multiplied: this is a bug of napari-myelin")
        # trap: a RuntimeError that not even the engine catches
        patch.setattr("napari_myelin.core.training.fit.describe", bug)
        fails(3, "RuntimeError: mat1 and mat2 shapes cannot be multiplied")
    full = Path.write_bytes

    def no_space(path: Path, data: bytes) -> int:
        if path.name.startswith(".model"):
            raise OSError(28, "No space left on device")
        return full(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", no_space)
        fails(4, "No space left on device")
    panel.setup.form.editors["loss.lambda_sketcher"].put(1e39)
    fails(5, 'the loss term "generator" became inf in stage sketcher, epoch 1, step 1')
    panel.setup.form.editors["loss.lambda_sketcher"].put(100.0)

    def vanish() -> None:
        until(qtbot, lambda: run_of(panel).course.step >= 1)
        shutil.rmtree(tmp_path / "run 6")

    panel.setup.form.editors["training.epochs"].put(50)
    fails(6, "run 6", vanish)

    panel.setup.form.editors["training.epochs"].put(1)
    press(qtbot, panel.start)
    until(qtbot, lambda: not run_of(panel).running)
    assert isinstance(run_of(panel).course.end, Finished)
    assert "is finished: take a new folder" in panel.start.toolTip()


def test_a_run_that_steps_down_says_so_beside_its_curves(
    viewer: Any, qtbot: Any, phantom_cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = trainer.train_step, []

    def once(*given: Any) -> Any:
        calls.append(1)
        return run_out() if len(calls) == 2 else real(*given)

    monkeypatch.setattr(trainer, "train_step", once)
    panel = opened(viewer, qtbot, phantom_cohort, tmp_path / "run", options_for())
    press(qtbot, panel.start)
    until(qtbot, lambda: not run_of(panel).running)
    assert isinstance(run_of(panel).course.end, Finished)
    said = "out of memory in sketcher, epoch 1, step 2: goes on with crop 32, window 32"
    until(qtbot, lambda: said in panel.view.notes.text())
    assert panel.view.notes.isVisibleTo(panel)
