"""Subjects: what is there, what is missing, and maps that do not fit together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume, write_volume
from napari_myelin.core.errors import MyelinError


def test_what_is_missing_is_said_in_words(memory_subject: Subject) -> None:
    assert memory_subject.missing(("MTR", "FA")) == []
    assert memory_subject.missing(("MTR", "T1wT2wRatio")) == ["no T1wT2wRatio map"]
    assert Subject("y").missing(("FA",), target=True) == ["no FA map", "no measured DVR"]
    with pytest.raises(MyelinError, match="neither a measured DVR nor an MR map"):
        Subject("y").reference()
    with pytest.raises(MyelinError, match="sub-x1 has no MD map"):
        memory_subject.raw("MD")


def test_own_grid_is_the_references_and_needs_no_values(memory_subject: Subject, tmp_path: Path) -> None:
    write_volume(tmp_path / "dvr.nii.gz", memory_subject.raw("dvr"))
    grid = memory_subject.with_files(dvr=tmp_path / "dvr.nii.gz").grid()
    assert grid.same_grid(memory_subject.reference())
    assert not grid.array.any()
    with pytest.raises(MyelinError, match="neither a measured DVR nor an MR map"):
        Subject("y").grid()


def test_another_shape_is_named_with_both_grids_and_the_remedy(memory_subject: Subject) -> None:
    fa = memory_subject.volume("FA")
    other = memory_subject.with_files(FA=Volume(fa.array[1:], fa.affine))
    sentence = (
        r"the FA map of sub-x1 lies on another grid \(shape \(19, 22, 18\).*\) than its measured DVR "
        r"\(shape \(20, 22, 18\).*\): pass --resample"
    )
    with pytest.raises(MyelinError, match=sentence):
        other.volume("FA")


def test_another_affine_is_named_with_the_shift_and_resampling_brings_it_home(memory_subject: Subject) -> None:
    fa = memory_subject.volume("FA")
    affine = fa.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [2, 0, 0]  # two voxels along the first axis
    moved = memory_subject.with_files(FA=Volume(fa.array[2:], affine))
    with pytest.raises(MyelinError, match="another grid"):
        moved.volume("FA")
    back = moved.volume("FA", resample=True)
    np.testing.assert_allclose(back.array[2:], fa.array[2:], atol=1e-4)
    np.testing.assert_allclose(back.array[:2], 0, atol=1e-4)
    shifted = memory_subject.with_files(FA=Volume(fa.array, affine))
    with pytest.raises(MyelinError, match=r"shifted by 4\.0 mm"):
        shifted.volume("FA")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_are_counted(memory_subject: Subject, value: float) -> None:
    fa = memory_subject.volume("FA")
    array = fa.array.copy()
    array[3, 4, 5:8] = value
    with pytest.raises(MyelinError, match="the FA map of sub-x1 holds 3 voxels of NaN or infinity"):
        memory_subject.with_files(FA=Volume(array, fa.affine)).volume("FA")


def test_brain_without_a_mask_is_where_any_map_is_not_zero(memory_subject: Subject) -> None:
    mask = memory_subject.volume("brain").array
    files = {role: file for role, file in memory_subject.files.items() if role != "brain"}
    np.testing.assert_array_equal(Subject("x1", files=files).brain().array, mask)
    empty = memory_subject.with_files(brain=Volume(np.zeros_like(mask), memory_subject.volume("brain").affine))
    np.testing.assert_array_equal(empty.brain().array, mask)


def test_a_mask_in_memory_becomes_bool(memory_subject: Subject) -> None:
    lesion = memory_subject.volume("lesion")
    painted = memory_subject.with_files(lesion=Volume(lesion.array.astype(np.uint8) * 3, lesion.affine))
    np.testing.assert_array_equal(painted.volume("lesion").array, lesion.array)
