"""Who is held out."""

from __future__ import annotations

from collections import Counter

from napari_myelin.core.data.subject import Subject
from napari_myelin.core.training.split import hold_out


def people(patients: int, controls: int, visits: int = 1) -> list[Subject]:
    groups = ["MS"] * patients + ["HC"] * controls
    return [
        Subject(f"{n:02d}", f"{v}" if visits > 1 else None, group)  # type: ignore[arg-type]
        for n, group in enumerate(groups)
        for v in range(visits)
    ]


def test_split_is_stratified_complete_and_repeatable() -> None:
    subjects = people(18, 10)
    training, held = hold_out(subjects, 0.2, seed=4)
    assert Counter(subject.group for subject in held) == {"MS": 4, "HC": 2}
    assert sorted(s.key for s in (*training, *held)) == sorted(s.key for s in subjects)
    assert hold_out(subjects, 0.2, seed=4) == (training, held)
    assert hold_out(subjects, 0.2, seed=5) != (training, held)


def test_two_visits_of_a_person_stay_together() -> None:
    training, held = hold_out(people(6, 4, visits=2), 0.3, seed=0)
    assert not {s.name for s in training} & {s.name for s in held}
    assert all(count == 2 for count in Counter(s.name for s in held).values())


def test_small_cohorts() -> None:
    assert hold_out(people(1, 0), 0.2, 0)[1] == []
    assert hold_out(people(2, 0), 0.2, 0)[1] == []
    assert len(hold_out(people(2, 1), 0.2, 0)[1]) == 1
    assert hold_out(people(9, 9), 0.0, 0)[1] == []
