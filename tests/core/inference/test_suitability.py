"""What is flagged before a prediction: only what does not look like the training subjects, in words."""

from __future__ import annotations

import numpy as np
import pytest

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.inference.model import Model, ModelCard
from napari_myelin.core.inference.suitability import memory_advice, suitability, window_problem
from napari_myelin.core.options_file import options_from


@pytest.fixture
def subject(phantom_cohort: Cohort) -> Subject:
    return phantom_cohort.subjects[0]


def changed(subject: Subject, role: str, array: np.ndarray) -> Subject:
    return subject.with_files(**{role: Volume(array.astype(np.float32), subject.volume(role).affine)})


def test_subjects_like_the_training_subjects_raise_no_flag(model: Model, phantom_cohort: Cohort) -> None:
    for subject in phantom_cohort.subjects:
        assert suitability(model.card, subject) == []


def test_another_range_is_a_warning_with_both_numbers(model: Model, subject: Subject) -> None:
    scores = model.normalisation
    array = subject.volume("MTR").array
    inside = array != 0
    # moved so that the median lies 0.9 and 1.1 SDs above the training subjects' mean
    for sds, flagged in ((0.9, False), (1.1, True)):
        wanted = scores.brain_mean["MTR"] + sds * scores.brain_sd["MTR"]
        moved = np.where(inside, array - np.median(array[inside]) + wanted, 0)
        findings = suitability(model.card, changed(subject, "MTR", moved))
        assert [finding.level for finding in findings] == ["warning"] * flagged
        if flagged:
            assert f"median of {wanted:.3g}, the training subjects a mean of {scores.brain_mean['MTR']:.3g}" in (
                findings[0].text
            )


def test_another_unit_an_empty_map_and_nan_are_errors(model: Model, subject: Subject) -> None:
    rd = subject.volume("RD").array
    (finding,) = suitability(model.card, changed(subject, "RD", rd / 1000))
    assert (finding.level, "multiply it by 1000" in finding.text) == ("error", True)
    (finding,) = suitability(model.card, changed(subject, "RD", 0 * rd))
    assert (finding.level, "zero everywhere" in finding.text) == ("error", True)
    holed = rd.copy()
    holed[3, 4, 5] = np.nan
    (finding,) = suitability(model.card, changed(subject, "RD", holed))
    assert (finding.level, "1 voxels of NaN" in finding.text) == ("error", True)


def test_every_missing_modality_is_an_error(model: Model, subject: Subject) -> None:
    files = {role: source for role, source in subject.files.items() if role not in ("FA", "AD")}
    findings = suitability(model.card, Subject("x", files=files))
    assert [finding.text for finding in findings] == [
        "no FA map: the model needs it",
        "no AD map: the model needs it",
    ]
    assert {finding.level for finding in findings} == {"error"}


def test_a_head_that_was_not_brain_extracted_is_told(model: Model, subject: Subject) -> None:
    maps = {name: subject.volume(name) for name in model.card.modalities}
    filled = {
        name: Volume(np.where(each.array == 0, np.median(each.array[each.array != 0]), each.array), each.affine)
        for name, each in maps.items()
    }
    texts = [each.text for each in suitability(model.card, subject.with_files(**filled)) if "not 0" in each.text]
    assert [text for text in texts if "is the brain extracted?" in text]
    assert "MTR and FA and RD and AD not 0 outside the brain mask: set the background to 0" in texts


def test_half_a_brain_is_told(model: Model, subject: Subject) -> None:
    array = subject.volume("FA").array.copy()
    used = np.flatnonzero(array.any(axis=(1, 2)))
    array[used[len(used) // 2] - 2 :] = 0
    texts = [finding.text for finding in suitability(model.card, changed(subject, "FA", array))]
    assert len(texts) == 1
    assert "is part of the brain missing?" in texts[0]


def test_what_the_grid_does_not_cover_is_told(model: Model, subject: Subject) -> None:
    grid = {"shape": [16, 48, 48], "spacing": model.card.grid["spacing"]}
    card = model.card.model_copy(update={"grid": grid, "normalisation": model.card.normalisation})
    texts = [finding.text for finding in suitability(card, subject) if "covers" in finding.text]
    brain = subject.brain().array
    width = int(brain.any(axis=(1, 2)).sum())
    assert texts == [f"the model's grid covers {16 / width:.0%} of the brain's box: the rest is not predicted (0)"]


def test_a_threshold_that_cannot_be_used_is_told(model: Model, subject: Subject) -> None:
    (finding,) = suitability(model.card.model_copy(update={"threshold": None}), subject)
    assert finding.text == "the model has no demyelination threshold: type one"
    voxelwise = {"kind": "template", "value": 1.04, "k": 1.0, "controls": 3, "affine": np.eye(4).tolist()}
    files = {role: source for role, source in subject.files.items() if role != "to_template"}
    (finding,) = suitability(model.card.model_copy(update={"threshold": voxelwise}), Subject("x", files=files))
    assert "type one (1.040)" in finding.text


def test_windows_that_a_normalising_model_has_not_learnt_are_told_and_no_others(model: Model) -> None:
    def card(learnt: int = 0, **network: object) -> ModelCard:
        options = options_from({"network": network, "training": {"window": learnt, "crop": learnt}}, model.card.options)
        return model.card.model_copy(update={"options": options, "grid": {"shape": [64, 96, 64], "spacing": [2, 2, 2]}})

    assert "learnt on whole volumes and predicts in windows of 48" in window_problem(card(), 48)
    assert "learnt on windows of 32 and predicts in windows of 48" in window_problem(card(32), 48)
    assert "learnt on windows of 32 and predicts in whole volumes" in window_problem(card(32), 0)
    for fine in (None, 0, 96, 128):  # as it learnt, or a window that holds everything
        assert window_problem(card(), fine) == ""
    assert window_problem(card(32), 32) == ""
    assert window_problem(card(norm="none"), 48) == ""
    assert window_problem(card(generator="residual"), 48) == ""
    assert "a model trained with crop and window 64" in memory_advice([card()], "use another device")
    assert memory_advice([card(norm="none")], "use another device").startswith("predict in windows (window 64), use")
