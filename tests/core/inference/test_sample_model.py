"""The model that comes with the package says what it was made from, and that is not the sample cohort."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_myelin.core.data.cohort import open_cohort
from napari_myelin.core.data.samples import sample_folder, sample_model
from napari_myelin.core.data.volume import content_digest
from napari_myelin.core.inference.evaluate import leakage
from napari_myelin.core.inference.model import load_model, read_card
from napari_myelin.core.inference.outputs import Predictions
from napari_myelin.core.prediction_options import PredictionOptions


def test_the_sample_model_has_not_seen_the_sample_cohort_and_can_prove_it(tmp_path: Path) -> None:
    model, cohort = load_model(sample_model()), open_cohort(sample_folder())
    training = model.card.training
    assert training.phantom
    assert training.finished
    assert dict(zip(training.stages, training.epochs, strict=True)) == {"sketcher": 160}
    assert training.cohort == "napari-myelin phantom, seed 100"
    assert cohort.name == "napari-myelin phantom, seed 0"
    assert set(training.digests) == {*training.subjects, *training.validation}
    seen = {subject.key: content_digest(subject.volume("dvr").array) for subject in cohort.subjects}
    assert len(seen) == 6
    assert not set(seen.values()) & set(training.digests.values())
    made = Predictions(tmp_path, (model.card,), None, PredictionOptions())
    assert leakage(made, cohort.name, seen) == []


def test_the_sample_models_grid_and_inputs_are_those_of_the_sample_cohort() -> None:
    model, cohort = load_model(sample_model()), open_cohort(sample_folder())
    for subject in cohort.subjects:
        assert subject.missing(model.card.modalities) == []
        assert model.grid.place(subject.reference(), subject.brain()).covered == 1.0


def test_the_sample_model_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_card(Path("sample_data/model.safetensors")) == read_card(sample_model())
