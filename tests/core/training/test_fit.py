"""A run: what it says, what it leaves, and what every option set trains."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runs import kinds, weights
from tiny import tiny_options

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.events import (
    Epoch,
    Failed,
    Finished,
    Preview,
    Saved,
    Started,
    Step,
    read_events,
)
from napari_myelin.core.inference.model import load_model, read_card
from napari_myelin.core.inference.predict import Prediction
from napari_myelin.core.options import Options
from napari_myelin.core.options_file import options_from
from napari_myelin.core.training import trainer, validate
from napari_myelin.core.training.fit import fit


def test_events_tell_the_whole_run_and_are_recorded(small: Cohort, tmp_path: Path) -> None:
    events = list(fit(small, tiny_options(), tmp_path / "run"))
    started = next(event for event in events if isinstance(event, Started))
    assert (started.stages, started.epochs, started.steps) == (["sketcher", "refiner"], 1, 2)
    assert len(started.training) == 2
    assert len(started.validation) == 1
    steps = [event for event in events if isinstance(event, Step)]
    assert [(step.stage, step.step) for step in steps] == [(s, n) for s in ("sketcher", "refiner") for n in (1, 2)]
    assert set(steps[0].losses) == {"discriminator", "balance", "l1", "adversarial", "generator"}
    epoch = next(event for event in events if isinstance(event, Epoch))
    for term in ("discriminator", "l1", "adversarial", "generator"):
        assert epoch.losses[term] == pytest.approx(np.mean([step.losses[term] for step in steps[:2]]))
    assert epoch.losses["generator"] == pytest.approx(epoch.losses["adversarial"] + 100 * epoch.losses["l1"], rel=1e-5)
    assert epoch.balance == pytest.approx(np.mean([step.losses["balance"] for step in steps[:2]]))
    assert set(epoch.validation) == {"mse", "loss"}
    assert any(isinstance(event, Preview) for event in events)
    assert isinstance(events[-1], Finished)
    assert kinds(read_events(tmp_path / "run" / "events.jsonl")) == kinds(events)
    assert not (tmp_path / "run" / "cache").exists()  # subjects' arrays are not left behind


def test_preview_holds_the_maps_of_a_held_out_subject(uninterrupted: Path, small: Cohort) -> None:
    events = read_events(uninterrupted / "events.jsonl")
    preview = [event for event in events if isinstance(event, Preview)][-1]
    with np.load(uninterrupted / preview.path) as arrays:
        true = small.select([preview.subject]).subjects[0].volume("dvr")
        np.testing.assert_allclose(arrays["true"], true.array, atol=1e-3)
        np.testing.assert_allclose(arrays["error"], arrays["refined"] - arrays["true"], atol=5e-3)
        assert {"sketch", "input_MTR", "input_AD", "affine"} <= set(arrays.files)


def test_validation_calls_the_predict_that_users_call(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def spy(models: Any, subject: Subject, **options: Any) -> Prediction:
        asked.append(subject.key)
        return real(models, subject, **options)

    real = validate.predict
    monkeypatch.setattr(validate, "predict", spy)
    events = list(fit(small, tiny_options(), tmp_path / "run"))
    started = next(event for event in events if isinstance(event, Started))
    assert asked == started.validation * 2  # once a stage


@pytest.mark.parametrize("select", ["best", "last"])
def test_the_weights_of_the_best_epoch_are_kept(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, select: str
) -> None:
    kept: list[dict[str, torch.Tensor]] = []
    losses: Iterator[float] = iter([0.9, 0.4, 0.6] * 2)

    def judge(model: Any, *_: Any) -> dict[str, float]:
        kept.append({name: value.clone() for name, value in model.network.state_dict().items()})
        loss = next(losses)
        return {"loss": loss, "mse": loss / 10}

    monkeypatch.setattr(trainer, "validate", judge)
    run = tmp_path / "run"
    list(fit(small, tiny_options(epochs=3, select=select), run))
    final = weights(run)
    wanted = {"best": (1, 4), "last": (2, 5)}[select]
    for name, value in final.items():
        stage = int(name.split(".")[1])
        assert torch.equal(value, kept[wanted[stage]][name]), name
    if select == "best":
        assert read_card(run / "model.safetensors").training.validation_mse == pytest.approx(0.04)


ROWS: dict[str, dict[str, dict[str, Any]]] = {
    "2-layer DNN": {
        "network": {"generator": "two_layer", "refiners": 0},
        "loss": {"adversarial": False},
    },
    "3D U-Net": {"network": {"refiners": 0}, "loss": {"adversarial": False}},
    "3D U-Net + weighted L1": {"network": {"refiners": 0}, "loss": {"adversarial": False, "sketcher_l1": "region"}},
    "Sketcher": {"network": {"refiners": 0}},
    "Sketcher + weighted L1": {"network": {"refiners": 0}, "loss": {"sketcher_l1": "region"}},
    "Refiner": {"network": {"refiners": 1}},
    "3 refinements": {"network": {"refiners": 3}},
    "MTR": {"data": {"modalities": ("MTR",)}},
    "MTR + RD": {"data": {"modalities": ("MTR", "RD")}, "loss": {"adversarial_form": "minimax"}},
}


@pytest.mark.parametrize("row", ROWS)
def test_every_row_of_the_papers_tables_is_a_set_of_options(row: str, phantom_cohort: Cohort, tmp_path: Path) -> None:
    options = options_from(ROWS[row], tiny_options())
    events = list(fit(phantom_cohort.select(["01"]), options, tmp_path / "run"))
    assert isinstance(events[-1], Finished), events[-1]
    card = read_card(tmp_path / "run" / "model.safetensors")
    assert card.stages == 1 + options.network.refiners
    assert card.modalities == options.data.modalities
    step = next(event for event in events if isinstance(event, Step))
    assert ("discriminator" in step.losses) == options.loss.adversarial


def test_a_single_subject_trains_without_validation_and_without_a_threshold_and_says_so(
    phantom_cohort: Cohort, tmp_path: Path
) -> None:
    events = list(fit(phantom_cohort.select(["01"]), tiny_options(), tmp_path / "run"))
    notes = " ".join(next(event for event in events if isinstance(event, Started)).notes)
    assert "without validation" in notes
    assert "no group threshold can be stored" in notes
    model = load_model(tmp_path / "run" / "model.safetensors")
    assert model.threshold is None
    assert model.card.training.validation_mse is None


def test_normalisation_comes_from_the_training_subjects_only(small: Cohort, tmp_path: Path) -> None:
    list(fit(small, tiny_options(), tmp_path / "run"))
    card = read_card(tmp_path / "run" / "model.safetensors")
    grid = load_model(tmp_path / "run" / "model.safetensors").grid
    stacked = []
    for subject in small.select(list(card.training.subjects)).subjects:
        placement = grid.place(subject.reference(), subject.brain())
        stacked.append(placement.to_network(subject.volume("MTR")))
    assert card.normalisation["mean"]["MTR"] == pytest.approx(float(np.mean(stacked)), rel=1e-5)
    assert card.normalisation["sd"]["MTR"] == pytest.approx(float(np.std(stacked)), rel=1e-5)


def test_the_group_threshold_comes_from_the_controls_who_train(phantom_cohort: Cohort, trained_run: Path) -> None:
    card = read_card(trained_run / "model.safetensors")
    training = phantom_cohort.select(list(card.training.subjects)).subjects
    values = [s.volume("dvr").array[s.volume("wm").array] for s in training if s.group == "HC"]
    assert card.threshold is not None
    assert card.threshold["controls"] == len(values) > 0
    together = np.concatenate(values)
    assert card.threshold["value"] == pytest.approx(float(together.mean() - together.std()), rel=1e-4)


def test_controls_whose_white_matter_is_empty_train_without_a_threshold(phantom_cohort: Cohort, tmp_path: Path) -> None:
    (control,) = phantom_cohort.select(["04"]).subjects
    wm = control.volume("wm")
    control = control.with_files(wm=Volume(np.zeros_like(wm.array), wm.affine))
    cohort = Cohort(phantom_cohort.root, (phantom_cohort.subjects[0], control))
    events = list(fit(cohort, tiny_options(), tmp_path / "run"))
    notes = " ".join(next(event for event in events if isinstance(event, Started)).notes)
    assert "no group threshold can be stored" in notes
    assert isinstance(events[-1], Finished)


@pytest.mark.parametrize(
    ("modalities", "sentence"),
    [
        (("MTR", "RD", "MTR"), "--modalities names MTR more than once"),
        (("MTR", "flair"), '"flair" is no modality but the FLAIR'),
        (("dvr",), '"dvr" is no modality but the measured DVR'),
    ],
)
def test_what_is_no_modality_is_refused(
    modalities: tuple[str, ...], sentence: str, small: Cohort, tmp_path: Path
) -> None:
    options = options_from({"data": {"modalities": modalities}}, tiny_options())
    (failed,) = fit(small, options, tmp_path / "run")
    assert isinstance(failed, Failed)
    assert failed.usage
    assert sentence in failed.cause


def test_batches_are_whole_and_every_subject_is_seen() -> None:
    from napari_myelin.core.training.stage import Position, epoch_order

    options: Options = tiny_options(batch=2)
    batches = epoch_order(["a", "b", "c"], Position(), options)
    assert [len(batch) for batch in batches] == [2, 2]
    assert {key for batch in batches for key in batch} == {"a", "b", "c"}
    assert epoch_order(["a", "b", "c"], Position(), options) == batches
    orders = {str(epoch_order(list("abcdef"), Position(epoch=epoch), options)) for epoch in range(5)}
    assert len(orders) > 1


def test_saved_events_name_files_that_exist(uninterrupted: Path) -> None:
    saved = [event for event in read_events(uninterrupted / "events.jsonl") if isinstance(event, Saved)]
    assert {event.what for event in saved} == {"state", "model"}
    for event in saved:
        assert (uninterrupted / event.path).exists()
