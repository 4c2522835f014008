"""The practical ceiling of a phantom, which simulates nobody twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny import PHANTOM

from napari_myelin.core.events import StopRequest
from napari_myelin.core.options_file import preset
from napari_myelin.core.phantom.cohort import make_subject
from napari_myelin.core.study.options import Study, StudyOptions
from napari_myelin.core.study.voxelwise import train_ceiling
from napari_myelin.core.working import result_of

STUDY = Study(preset("demo"), StudyOptions(ceiling_patients=2, voxels=200))


def test_a_ceiling_that_was_stopped_goes_on_with_whom_it_drew_and_ends_the_same(tmp_path: Path) -> None:
    whole = result_of(train_ceiling(PHANTOM, "MTR+RD", STUDY, tmp_path / "whole", StopRequest()))
    stop = StopRequest()
    training = train_ceiling(PHANTOM, "MTR+RD", STUDY, tmp_path / "parts", stop)
    assert next(training).done == 1
    stop.request()
    assert result_of(training) is None
    (kept,) = (tmp_path / "parts").rglob("*.npz")
    written = kept.stat().st_mtime_ns
    again = result_of(train_ceiling(PHANTOM, "MTR+RD", STUDY, tmp_path / "parts", StopRequest()))
    assert kept.stat().st_mtime_ns == written
    subject = make_subject(4, PHANTOM).subject()
    assert (again(subject) == whole(subject)).all()


def test_another_cohorts_further_patients_are_not_taken(tmp_path: Path) -> None:
    for seed in (3, 4):
        result_of(train_ceiling(PHANTOM.model_copy(update={"seed": seed}), "MTR", STUDY, tmp_path, StopRequest()))
    first, second = ([np.load(path)["targets"] for path in sorted(each.glob("*.npz"))] for each in tmp_path.iterdir())
    assert len(first) == len(second) == 2
    assert not {each.tobytes() for each in first} & {each.tobytes() for each in second}
