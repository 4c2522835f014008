"""The check of a cohort finds what would go wrong later, and says what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_myelin.core.data.check import (
    check_cohort,
    check_subject,
    cohort_findings,
    grid_overlap,
    header_problems,
    target_finding,
)
from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.usable import target_note, unit_problem
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError

FOUR = ("MTR", "FA", "RD", "AD")


def said(subject: Subject, level: str) -> str:
    return "; ".join(finding.text for finding in check_subject(subject, FOUR).findings if finding.level == level)


def test_a_good_subject_has_no_finding_and_a_row_for_every_map(memory_subject: Subject) -> None:
    report = check_subject(memory_subject, FOUR)
    assert report.findings == []
    rows = {row.role: row for row in report.maps}
    assert set(rows) == set(memory_subject.files)
    fa = memory_subject.volume("FA")
    values = fa.array[fa.array != 0]
    assert rows["FA"].shape == (20, 22, 18)
    assert rows["FA"].spacing == pytest.approx(fa.spacing)
    assert rows["FA"].orientation == "RAS"
    assert (rows["FA"].low, rows["FA"].high) == (pytest.approx(values.min()), pytest.approx(values.max()))
    assert rows["FA"].median == pytest.approx(np.median(values))


@pytest.mark.parametrize(
    ("role", "factor", "sentence"),
    [
        ("RD", 1e-3, "looks like mm2/s: multiply it by 1000"),
        ("RD", 1e3, "divide it by 1000"),
        ("MTR", 0.01, "a fraction? multiply it by 100"),
        ("FA", 1000.0, "divide it by 1000"),
        ("dvr", 0.0, "is zero everywhere"),
    ],
)
def test_another_unit_is_recognised(memory_subject: Subject, role: str, factor: float, sentence: str) -> None:
    volume = memory_subject.volume(role)
    changed = memory_subject.with_files(**{role: Volume(volume.array * np.float32(factor), volume.affine)})
    assert sentence in said(changed, "error")


def scaled_target(subject: Subject, name: str, factor: float) -> Subject:
    dvr = subject.volume("dvr")
    files = {**subject.files, "dvr": Volume(dvr.array * np.float32(factor), dvr.affine)}
    return Subject(name, None, "MS", files=files)


def test_another_target_than_dvr_can_be_learnt_and_is_warned_of(memory_subject: Subject) -> None:
    other = scaled_target(memory_subject, "x2", 80)
    assert said(other, "error") == ""
    assert "expected none (ratio): is it a DVR map, or uptake in Bq/ml?" in said(other, "warning")
    finding = target_finding([check_subject(other, FOUR)])
    assert finding is not None
    assert finding.level == "note"
    assert "in its own unit" in finding.text
    assert target_finding([check_subject(memory_subject, FOUR)]) is None


def test_targets_of_two_units_in_one_cohort_are_an_error(memory_subject: Subject) -> None:
    subjects = [scaled_target(memory_subject, f"x{number}", factor) for number, factor in enumerate((1, 1, 80))]
    finding = target_finding([check_subject(subject, FOUR) for subject in subjects])
    assert finding is not None
    assert finding.level == "error"
    assert "the measured DVR of sub-x2" in finding.text


def test_a_cohorts_target_is_judged_by_its_middle() -> None:
    assert target_note({"a": 1.1, "b": 0.9}) is None
    note = target_note({"a": 85.0, "b": 75.0})
    assert note is not None
    assert "about 80 inside the brain" in note
    with pytest.raises(MyelinError, match=r"sub-b is about 80 inside the brain, in the middle of the cohort 1.1:"):
        target_note({"sub-a": 1.0, "sub-b": 80.0, "sub-c": 1.1})


def test_missing_things_are_named_by_how_much_they_matter(memory_subject: Subject) -> None:
    bare = Subject("x1", files={name: memory_subject.files[name] for name in ("MTR", "FA", "RD")})
    assert "no AD map" in said(bare, "error")
    assert "write MS or HC" in said(bare, "warning")
    assert "it can be predicted, not trained on" in said(bare, "note")


def test_other_grids_and_values_that_are_not_numbers_are_errors(memory_subject: Subject) -> None:
    fa = memory_subject.volume("FA")
    array = fa.array.copy()
    array[0, 0, 0] = np.nan
    assert "1 voxels of NaN" in said(memory_subject.with_files(FA=Volume(array, fa.affine)), "error")
    far = fa.affine.copy()
    far[0, 3] += 300
    findings = said(memory_subject.with_files(FA=Volume(fa.array, far)), "error")
    assert "another grid" in findings
    assert "covers 0% of the subject's grid: is it the same person?" in findings


def test_a_few_lesion_voxels_outside_the_brain_are_a_warning(memory_subject: Subject) -> None:
    lesion = memory_subject.volume("lesion")
    array = lesion.array.copy()
    array[0, 0, 0] = True
    assert "1 voxels of the lesion mask lie outside" in said(
        memory_subject.with_files(lesion=Volume(array, lesion.affine)), "warning"
    )


def test_overlap_of_two_boxes_by_hand() -> None:
    one = Volume(np.zeros((8, 8, 8)), np.eye(4))
    half = np.eye(4)
    half[0, 3] = 4
    assert grid_overlap(one, one) == 1.0
    assert grid_overlap(Volume(np.zeros((8, 8, 8)), half), one) == 0.5


def test_units_of_unknown_maps_are_not_judged() -> None:
    assert unit_problem("T1wT2wRatio", np.full(5, 1e6), "ratio") is None
    assert unit_problem("MTR", np.zeros(5), "MTR map") is None


def test_the_sample_and_the_phantom_pass(phantom_cohort: Cohort) -> None:
    for report in check_cohort(phantom_cohort):
        assert [finding for finding in report.findings if finding.level != "note"] == []
    notes = [finding.text for finding in cohort_findings(phantom_cohort)]
    assert notes == ["this cohort is simulated (phantom)"]
    patients = Cohort(phantom_cohort.root, phantom_cohort.subjects[:2])
    assert any("no group threshold" in finding.text for finding in cohort_findings(patients))


def test_findings_name_their_map_and_rows_tell_how_it_lies(memory_subject: Subject) -> None:
    fa = memory_subject.volume("FA")
    affine = fa.affine.copy()
    affine[:3, 3] += fa.affine[:3, 0] * 8  # eight of twenty voxels to the side: 3 of 8 sampled planes are left out
    report = check_subject(memory_subject.with_files(FA=Volume(fa.array, affine)), FOUR)
    row = next(row for row in report.maps if row.role == "FA")
    assert (row.on_grid, row.overlap) == (False, pytest.approx(5 / 8))
    assert [(each.level, each.role) for each in report.findings] == [("error", "FA")]
    assert all(each.on_grid and each.overlap == 1 for each in report.maps if each.role != "FA")


def test_headers_tell_what_is_gone_and_what_lies_elsewhere(memory_subject: Subject, tmp_path: Path) -> None:
    fa = memory_subject.volume("FA")
    changed = memory_subject.with_files(
        FA=Volume(fa.array[1:], fa.affine), RD=tmp_path / "gone.nii.gz", flair=Volume(fa.array[1:], fa.affine)
    )
    problems = header_problems(changed)
    assert set(problems) == {"FA", "RD"}
    assert problems["FA"] == "the FA map lies on another grid than the measured DVR"
    assert "does not exist" in problems["RD"]
    assert header_problems(memory_subject) == {}
