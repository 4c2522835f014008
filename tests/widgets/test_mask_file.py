from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_myelin.core.data.bids import sidecar
from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume, write_volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.widgets.lesions.mask_file import import_mask, own_place, place_mask, save_mask, suggested_place

AFFINE = np.array([[-2.0, 0.1, 0, 20], [0.1, 2.0, 0.2, -22], [0, -0.2, 3.0, -18], [0, 0, 0, 1]])
NAME = "sub-01_space-pet_label-L_mask.nii.gz"


def mask(*voxels: tuple[int, int, int], shape: tuple[int, int, int] = (6, 7, 8)) -> Volume:
    array = np.zeros(shape, dtype=bool)
    for voxel in voxels:
        array[voxel] = True
    return Volume(array, AFFINE)


def test_a_mask_goes_where_its_cohort_finds_it_again(tmp_path: Path) -> None:
    subject = Subject("01", files={"FA": tmp_path / "loose" / "fa.nii.gz"})
    (tmp_path / "sub-01").mkdir()
    bids = Cohort(tmp_path, (subject,))
    assert own_place(subject, bids) == tmp_path / "sub-01" / "anat" / NAME
    # a mask that has a file is saved there, whatever it is called: a second one would be ambiguous
    named = subject.with_files(lesion=tmp_path / "lesions.nii")
    assert own_place(named, bids) == tmp_path / "lesions.nii"
    table = Cohort(tmp_path / "cohort.tsv", (subject,))
    assert own_place(subject, table) == tmp_path / "sub-01" / "anat" / NAME
    # files from anywhere: asked for, beside its maps
    for loose in (None, Cohort(tmp_path / "sub-01", (subject,))):
        assert own_place(subject, loose) is None
        assert suggested_place(subject, loose) == tmp_path / "loose" / NAME
    # what comes with the package is not written to
    sample = open_cohort(Path("sample_data"))
    assert own_place(sample.subjects[0], sample) is None
    assert suggested_place(sample.subjects[0], sample) == Path.home() / NAME
    # but once its mask was saved elsewhere, that is its place
    elsewhere = sample.subjects[0].with_files(lesion=tmp_path / "mine.nii.gz")
    assert own_place(elsewhere, sample) == tmp_path / "mine.nii.gz"


def test_a_saved_mask_keeps_what_its_sidecar_said_and_leaves_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "anat" / NAME
    save_mask(path, mask((1, 2, 3)), Subject("01"))
    assert json.loads(sidecar(path).read_text())["Type"] == "Lesion"
    sidecar(path).write_text(json.dumps({"Sources": ["flair"], "Rater": "B", "Manual": False}))
    save_mask(path, mask((1, 2, 3), (5, 6, 7)), Subject("01"))
    table = json.loads(sidecar(path).read_text())
    assert (table["Sources"], table["Rater"], table["Manual"]) == (["flair"], "B", True)
    assert sorted(each.name for each in path.parent.iterdir()) == [sidecar(path).name, NAME]
    image = nib.load(path)
    assert np.argwhere(np.asarray(image.dataobj)).tolist() == [[1, 2, 3], [5, 6, 7]]
    assert np.abs(image.affine - AFFINE).max() < 1e-5
    assert image.header["qform_code"] == image.header["sform_code"] == 1


def test_a_folder_that_cannot_be_written_to_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(MyelinError, match=f"cannot write {blocked / NAME}: ") as error:
        save_mask(blocked / NAME, mask(), Subject("01"))
    assert "unproved" not in str(error.value)
    with pytest.raises(MyelinError, match=r"let it end in \.nii\.gz"):
        save_mask(tmp_path / "mask.png", mask(), Subject("01"))
    assert sorted(each.name for each in tmp_path.iterdir() if each.name != "home") == ["file"]


def test_voxels_outside_the_grid_are_counted_and_a_mask_elsewhere_is_refused(tmp_path: Path) -> None:
    grid = mask()
    shifted = AFFINE.copy()
    shifted[:3, 3] += AFFINE[:3, 0] * 3  # three voxels along the first axis
    placed = place_mask("x", Volume(mask((0, 1, 1), (4, 1, 1)).array, shifted), grid)
    assert np.argwhere(placed.mask.array).tolist() == [[3, 1, 1]]
    assert placed.resampled
    assert placed.notes == ("1 of its voxels lie outside the grid and are lost",)
    assert (placed.before, placed.after) == ("2 voxels, 0.0242 ml", "1 voxel, 0.0121 ml")
    away = AFFINE.copy()
    away[0, 3] += 500
    with pytest.raises(MyelinError, match="is it another subject's"):
        place_mask("x", Volume(mask((0, 1, 1)).array, away), grid)
    nan = tmp_path / "nan.nii.gz"
    write_volume(nan, Volume(np.full((6, 7, 8), np.nan, dtype=np.float32), AFFINE))
    with pytest.raises(MyelinError, match="holds values such as nan"):
        import_mask(nan, grid)
