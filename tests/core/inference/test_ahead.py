"""Files are read while the subject before is computed, once, and no further ahead than one."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from napari_myelin.core.data import subject as subject_module
from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.inference.ahead import read_ahead
from napari_myelin.core.inference.cohort import predict_cohort
from napari_myelin.core.inference.model import Model
from napari_myelin.core.options import RuntimeOptions


def test_the_next_subject_is_read_meanwhile_and_the_one_after_is_not() -> None:
    begun: list[str] = []
    second = threading.Event()

    def read(subject: Subject) -> str:
        begun.append(subject.name)
        if subject.name == "2":
            second.set()
        if subject.name == "3":
            raise MyelinError("damaged")
        return subject.name * 2

    subjects = [Subject(str(number)) for number in (1, 2, 3, 4)]
    walk = read_ahead(subjects, read)
    subject, first = next(walk)
    assert (subject.name, first.result()) == ("1", "11")
    assert second.wait(10)  # read though nobody has asked for it yet
    assert begun == ["1", "2"]
    left = list(walk)
    assert [each.name for each, _ in left] == ["2", "3", "4"]
    assert left[0][1].result() == "22"
    with pytest.raises(MyelinError, match="damaged"):
        left[1][1].result()
    assert left[2][1].result() == "44"
    assert list(read_ahead([], read)) == []


def test_a_prediction_unpacks_each_of_a_subjects_files_once(
    model: Model, phantom_cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = subject_module.read_volume
    monkeypatch.setattr(
        subject_module, "read_volume", lambda path, **rest: (read.append(path.name), real(path, **rest))[1]
    )
    cohort = phantom_cohort.select(["01"])
    list(predict_cohort([model], cohort, tmp_path / "p", None, RuntimeOptions(device="cpu")))
    maps = [path.name for role, path in cohort.subjects[0].files.items() if role in (*model.card.modalities, "dvr")]
    assert sorted(name for name in read if name in maps) == sorted(maps)
