"""Cohorts: a folder or a table, read leniently, written strictly, both ways round."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_myelin.core.data.bids import bids_path, find_files
from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.data.export import write_folder, write_table
from napari_myelin.core.data.samples import sample_folder
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume, write_volume
from napari_myelin.core.errors import MyelinError, UsageError

CUBE = Volume(np.full((4, 5, 6), 0.5, dtype=np.float32), np.diag([2.0, 2, 2, 1]))


def touch(path: Path, value: float = 0.5) -> Path:
    write_volume(path, Volume(np.full((4, 5, 6), value, dtype=np.float32), CUBE.affine))
    return path


def same(one: Cohort, other: Cohort) -> None:
    assert [s.key for s in one.subjects] == [s.key for s in other.subjects]
    for left, right in zip(one.subjects, other.subjects, strict=True):
        assert (left.group, left.age, left.sex, left.session) == (right.group, right.age, right.sex, right.session)
        assert set(left.files) == set(right.files)
        for role in left.files:
            if role == "to_template":
                continue
            np.testing.assert_array_equal(left.raw(role).array, right.raw(role).array)
            assert left.raw(role).same_grid(right.raw(role))


def test_folder_to_table_to_folder_keeps_everything(phantom_cohort: Cohort, tmp_path: Path) -> None:
    cohort = phantom_cohort.select(["01", "05"])
    write_table(cohort, tmp_path / "cohort.tsv")
    from_table = open_cohort(tmp_path / "cohort.tsv")
    same(cohort, from_table)
    write_folder(from_table, tmp_path / "again")
    same(cohort, open_cohort(tmp_path / "again"))
    assert open_cohort(tmp_path).root == tmp_path / "cohort.tsv"  # a folder that holds a table


def test_names_are_those_of_the_layout(tmp_path: Path) -> None:
    names = {
        "MTR": "anat/sub-01_ses-2_space-pet_MTRmap.nii.gz",
        "FA": "dwi/sub-01_ses-2_space-pet_model-tensor_param-fa_dwimap.nii.gz",
        "dvr": "pet/sub-01_ses-2_trc-11CPIB_space-pet_model-Logan_meas-DVR_mimap.nii.gz",
        "dvr-predicted": "pet/sub-01_ses-2_trc-11CPIB_space-pet_desc-predicted_model-Logan_meas-DVR_mimap.nii.gz",
        "noisefree": "pet/sub-01_ses-2_trc-11CPIB_space-pet_desc-noisefree_model-Logan_meas-DVR_mimap.nii.gz",
        "lesion": "anat/sub-01_ses-2_space-pet_label-L_mask.nii.gz",
        "wm": "anat/sub-01_ses-2_space-pet_label-WM_mask.nii.gz",
        "brain": "anat/sub-01_ses-2_space-pet_desc-brain_mask.nii.gz",
        "demyelinated": "anat/sub-01_ses-2_space-pet_desc-demyelinated_mask.nii.gz",
        "saliency-loss-MTR": "anat/sub-01_ses-2_space-pet_desc-lossSaliencyMTR_map.nii.gz",
        "saliency-dvr-Max": "anat/sub-01_ses-2_space-pet_desc-dvrSaliencyMax_map.nii.gz",
        "T1w/T2w ratio": "anat/sub-01_ses-2_space-pet_T1wT2wratiomap.nii.gz",
    }
    for what, name in names.items():
        assert bids_path(tmp_path, "01", "2", what) == tmp_path / "sub-01" / "ses-2" / name
    assert bids_path(tmp_path, "01", None, "wm").name == "sub-01_space-pet_label-WM_mask.nii.gz"


def test_other_names_are_read_too_and_our_own_outputs_are_not_taken_for_inputs(tmp_path: Path) -> None:
    inside = tmp_path / "sub-01"
    touch(inside / "anat" / "sub-01_label-lesion_mask.nii.gz", 1)
    touch(inside / "pet" / "sub-01_model-Logan_meas-DVR_kinpar.nii.gz")
    touch(inside / "dwi" / "sub-01_FA.nii.gz")
    for what in ("dvr-predicted", "dvr-sketch", "dvr-uncertainty", "demyelinated", "saliency-loss-FA"):
        touch(bids_path(tmp_path, "01", None, what), 1)
    found = find_files(tmp_path, inside)
    assert set(found) == {"lesion", "dvr", "FA"}
    assert found["dvr"].name == "sub-01_model-Logan_meas-DVR_kinpar.nii.gz"
    touch(inside / "pet" / "sub-01_run-2_model-Logan_meas-DVR_kinpar.nii.gz")
    with pytest.raises(MyelinError, match="both look like the dvr of one subject"):
        find_files(tmp_path, inside)


def table(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "cohort.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_table_columns_that_are_no_role_are_modalities_as_written(tmp_path: Path) -> None:
    touch(tmp_path / "a.nii.gz")
    path = table(
        tmp_path,
        "subject\tage\tsex\tgroup\tT1w\tT2w\tT1wT2wRatio\tt1w\tdvr\tlesion",
        "sub-A\t40\tF\tpatient\ta.nii.gz\ta.nii.gz\ta.nii.gz\ta.nii.gz\ta.nii.gz\t",
        "B\tn/a\t\thealthy\ta.nii.gz\t\t\t\t\t",
    )
    cohort = open_cohort(path)
    a, b = cohort.subjects
    assert (a.key, a.group, a.age, a.sex) == ("sub-A", "MS", 40.0, "F")
    assert (b.key, b.group, b.age, b.sex) == ("sub-B", "HC", None, None)
    assert a.modalities == ("T1w", "T2w", "T1wT2wRatio")
    assert a.has("t1w")
    assert not a.has("lesion")
    assert b.missing(("T1w", "T2w")) == ["no T2w map"]
    write_folder(cohort, tmp_path / "bids")
    again = open_cohort(tmp_path / "bids").subjects[0]
    assert set(again.modalities) == {"T1w", "T2w", "T1wT2wRatio"}
    assert again.has("t1w")


def test_commas_and_sessions_are_understood(tmp_path: Path) -> None:
    path = table(tmp_path, "subject,session,group,FA", "1,base,MS,a.nii.gz", "1,later,MS,a.nii.gz")
    cohort = open_cohort(path)
    assert [s.key for s in cohort.subjects] == ["sub-1_ses-base", "sub-1_ses-later"]
    assert len(cohort.select(["1"]).subjects) == 2
    assert len(cohort.select(["sub-1_ses-later"]).subjects) == 1
    with pytest.raises(UsageError, match='no subject "sub-2"'):
        cohort.select(["2"])


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["subject\tFA", "1\ta.nii.gz", "1\tb.nii.gz"], "names sub-1 more than once: give each visit a session"),
        (["id\tFA", "1\ta.nii.gz"], 'has no column "subject"'),
        (["subject\tFA", "\ta.nii.gz"], 'row 1: a subject cannot be called "": use letters and digits'),
        (["subject\tFA", "1\ta.nii.gz", "../2\tb.nii.gz"], 'row 2: a subject cannot be called "../2"'),
        (["subject\tFA"], "holds no subject"),
        ([""], "holds no subject"),
    ],
)
def test_a_bad_table_is_one_sentence(lines: list[str], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(MyelinError, match=sentence):
        open_cohort(table(tmp_path, *lines))


def test_what_is_no_cohort_is_said(tmp_path: Path) -> None:
    with pytest.raises(MyelinError, match="there is no cohort at"):
        open_cohort(tmp_path / "nowhere")
    with pytest.raises(MyelinError, match="holds no subject"):
        open_cohort(tmp_path)
    (tmp_path / "binary.tsv").write_bytes(b"\x80\x81\xff")
    with pytest.raises(MyelinError, match="cannot be read as a table"):
        open_cohort(tmp_path / "binary.tsv")


def test_sample_data_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cohort = open_cohort(Path("sample_data"))
    assert cohort.root == sample_folder()
    assert [s.group for s in cohort.subjects] == ["MS"] * 4 + ["HC"] * 2
    assert cohort.phantom


def test_a_person_twice_in_the_list_of_participants_is_one_sentence(tmp_path: Path) -> None:
    touch(bids_path(tmp_path, "01", None, "FA"))
    (tmp_path / "participants.tsv").write_text("participant_id\tgroup\nsub-01\tMS\nsub-02\tHC\nsub-01\tHC\n")
    with pytest.raises(MyelinError, match=r"participants\.tsv names sub-01 more than once: keep one row a person"):
        open_cohort(tmp_path)


def test_a_map_in_memory_cannot_go_into_a_table(tmp_path: Path, memory_subject: Subject) -> None:
    with pytest.raises(MyelinError, match="only in memory: save it first"):
        write_table(Cohort(tmp_path, (memory_subject,)), tmp_path / "t.tsv")
    assert not list(tmp_path.iterdir())


def test_the_bids_validator_finds_no_error_in_what_we_write(phantom_folder: Path, tmp_path: Path) -> None:
    validator = Path(sys.executable).with_name("bids-validator-deno")
    if not validator.exists():
        pytest.skip("bids-validator-deno is not installed")
    copy = tmp_path / "cohort"
    shutil.copytree(phantom_folder, copy)
    done = subprocess.run([validator, "--json", str(copy)], capture_output=True, text=True, timeout=120)
    issues = json.loads(done.stdout)["issues"]["issues"]
    errors = [f"{issue['code']} {issue.get('location', '')}" for issue in issues if issue.get("severity") == "error"]
    assert errors == []
