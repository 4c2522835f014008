"""Folds are stratified, keep persons together, and a leak is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.subject import Group, Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError, UsageError
from napari_myelin.core.study.folds import Fold, check_leaks, make_folds, open_folds


def person(number: int, group: Group, session: str | None = None) -> Subject:
    value = number + (100 if session == "2" else 0)
    dvr = Volume(np.full((2, 2, 2), value, dtype=np.float32), np.eye(4))
    return Subject(f"{number:02d}", session, group, files={"dvr": dvr})


def people(patients: int, controls: int) -> list[Subject]:
    return [person(n, "MS" if n < patients else "HC") for n in range(patients + controls)]


def test_the_papers_cohort_falls_into_folds_of_9_9_10_with_3_3_4_controls() -> None:
    folds = make_folds(people(18, 10), 3, seed=0)
    assert sorted(len(fold.held_out) for fold in folds) == [9, 9, 10]
    controls = [sum(int(key[4:]) >= 18 for key in fold.held_out) for fold in folds]
    assert sorted(controls) == [3, 3, 4]
    assert sorted(key for fold in folds for key in fold.held_out) == [f"sub-{n:02d}" for n in range(28)]


def test_two_visits_of_a_person_stay_in_one_fold() -> None:
    visits = [person(n, "MS", session) for n in range(6) for session in ("1", "2")]
    for fold in make_folds(visits, 3, seed=5):
        names = [key[:6] for key in fold.held_out]
        assert len(names) == 4
        assert all(names.count(name) == 2 for name in names)


def test_the_seed_decides_the_folds() -> None:
    one, again, other = (make_folds(people(9, 3), 3, seed) for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_more_folds_than_persons_is_a_sentence() -> None:
    with pytest.raises(UsageError, match="2 persons cannot be dealt out to 3 folds"):
        make_folds(people(1, 1), 3, seed=0)


def test_folds_are_written_once_and_read_again(tmp_path: Path) -> None:
    cohort = Cohort(tmp_path, tuple(people(4, 2)))
    folds = open_folds(tmp_path / "folds.json", cohort, 2, seed=0)
    assert open_folds(tmp_path / "folds.json", cohort, 2, seed=9) == folds
    smaller = Cohort(tmp_path, cohort.subjects[:-1])
    with pytest.raises(MyelinError, match=r"folds of other subjects \(sub-05"):
        open_folds(tmp_path / "folds.json", smaller, 2, seed=0)


def test_a_subject_in_two_folds_stops() -> None:
    folds = [Fold(1, ("sub-01",)), Fold(2, ("sub-02", "sub-01"))]
    with pytest.raises(MyelinError, match=r"sub-01 is in two folds \(fold1 and fold2\)"):
        check_leaks(folds, {"sub-01": "01", "sub-02": "02"}, {"sub-01": "a", "sub-02": "b"})


def test_a_second_visit_in_another_fold_stops(tmp_path: Path) -> None:
    cohort = Cohort(tmp_path, tuple(person(n, "MS", session) for n in (1, 2) for session in ("1", "2")))
    table = {"folds": [["sub-01_ses-1", "sub-02_ses-1"], ["sub-01_ses-2", "sub-02_ses-2"]]}
    (tmp_path / "folds.json").write_text(json.dumps(table))
    with pytest.raises(MyelinError, match="sub-01_ses-1 and sub-01_ses-2 are visits of one person in two folds"):
        open_folds(tmp_path / "folds.json", cohort, 2, seed=0)


def test_one_scan_under_two_names_stops(tmp_path: Path) -> None:
    first = person(1, "MS")
    copy = Subject("copy", None, "MS", files=dict(first.files))
    with pytest.raises(MyelinError, match="have the same measured map and are in two folds"):
        open_folds(tmp_path / "folds.json", Cohort(tmp_path, (first, copy)), 2, seed=0)
