"""A target other than DVR is learnt in its own unit, and never mixed with another."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_options

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.events import Failed, Finished, Started
from napari_myelin.core.inference.cohort import predict_cohort
from napari_myelin.core.inference.evaluate import evaluate_cohort
from napari_myelin.core.inference.model import load_model
from napari_myelin.core.options import RuntimeOptions
from napari_myelin.core.training.fit import fit


def scaled(subject: Subject, name: str, factor: float) -> Subject:
    dvr = subject.volume("dvr")
    files = {**subject.files, "dvr": Volume(dvr.array * np.float32(factor), dvr.affine)}
    return Subject(name, None, "MS", files=files)


def test_another_target_is_learnt_in_its_own_unit_and_said(memory_subject: Subject, tmp_path: Path) -> None:
    cohort = Cohort(Path("memory"), (scaled(memory_subject, "x1", 80),))
    events = list(fit(cohort, tiny_options(), tmp_path / "run"))
    assert isinstance(events[-1], Finished), events[-1]
    (started,) = [event for event in events if isinstance(event, Started)]
    assert any("which is no DVR" in note for note in started.notes)
    model = load_model(tmp_path / "run" / "model.safetensors")
    assert model.card.units["dvr"] == "as in the training cohort"
    inside = memory_subject.volume("dvr").array[memory_subject.brain().array]
    assert model.card.normalisation["brain_mean"]["dvr"] == pytest.approx(80 * inside.mean(), rel=1e-4)
    list(predict_cohort([model], cohort, tmp_path / "p", None, RuntimeOptions(device="cpu")))
    (sidecar,) = (tmp_path / "p").rglob("*desc-predicted*.json")
    assert json.loads(sidecar.read_text())["Units"] == "arbitrary"
    list(evaluate_cohort(tmp_path / "p", cohort, tmp_path / "e"))
    assert "which is no DVR" in (tmp_path / "e" / "evaluation.json").read_text()


def test_targets_of_two_units_do_not_train_together(memory_subject: Subject, tmp_path: Path) -> None:
    subjects = tuple(scaled(memory_subject, f"x{number}", factor) for number, factor in enumerate((1, 1, 80)))
    failed = list(fit(Cohort(Path("memory"), subjects), tiny_options(), tmp_path / "run"))[-1]
    assert isinstance(failed, Failed), failed
    assert "sub-x2" in failed.cause
    assert "another unit" in failed.cause
