"""The walk of docs/real-data.md on two real patients, where their images are beside the checkout."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from commands import TINY, call

REAL = Path(__file__).parents[3] / "shared" / "real"
COLUMNS = {"T1w": "t1w", "T2w": "t2w", "dvr": "flair", "lesion": "lesion"}
GRID = ("--modalities", "T1w", "T2w", "--spacing", "4")

pytestmark = pytest.mark.skipif(
    not (REAL / "ms-patient26").is_dir(), reason=f"the two real patients are not in {REAL}: see docs/real-data.md"
)


def write_table(path: Path, folder: Path) -> Path:
    rows = ["\t".join(("subject", "group", *COLUMNS))]
    for name in ("07", "26"):
        files = (str(folder / f"ms-patient{name}" / f"{file}.nii.gz") for file in COLUMNS.values())
        rows.append("\t".join((name, "MS", *files)))
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def thinned(tmp_path: Path) -> Path:
    """The same patients, every second voxel along each axis: an eighth of the work."""
    for name in ("07", "26"):
        (tmp_path / f"ms-patient{name}").mkdir()
        for file in COLUMNS.values():
            inside = Path(f"ms-patient{name}") / f"{file}.nii.gz"
            nib.save(nib.load(REAL / inside).slicer[::2, ::2, ::2], tmp_path / inside)
    return tmp_path


def test_real_patients_are_checked_and_another_target_is_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("check", write_table(tmp_path / "cohort.tsv", REAL)) == 0
    said = capsys.readouterr().out
    # as scanned: 1 mm, first axis from right to left, lesions of 1.3 and 8.2 ml
    assert len(re.findall(r"dvr +182x218x182 +1 +LAS", said)) == 2
    assert re.search(r"lesion +182x218x182 +1 +LAS .* 1300$", said, re.MULTILINE)
    assert re.search(r"lesion +182x218x182 +1 +LAS .* 8227$", said, re.MULTILINE)
    assert "in its own unit" in said


def test_one_real_patient_trains_the_other_is_predicted_and_evaluated(thinned: Path, tmp_path: Path) -> None:
    table = write_table(tmp_path / "cohort.tsv", thinned)
    lines = table.read_text().splitlines()
    training = tmp_path / "training.tsv"
    training.write_text(f"{lines[0]}\n{lines[2]}\n")
    run, predictions, evaluation = (tmp_path / name for name in ("run", "predictions", "evaluation"))
    assert call("fit", training, "--out", run, *TINY, *GRID) == 0
    assert call("predict", run / "model.safetensors", table, "--subjects", "07", "--out", predictions) == 0
    notice = "Lesjak et al. 2017, CC-BY"
    assert call("evaluate", predictions, table, "--out", evaluation, "--run", run, "--notice", notice) == 0

    flair = nib.load(thinned / "ms-patient07" / "flair.nii.gz")
    (path,) = predictions.rglob("*desc-predicted*.nii.gz")
    predicted = nib.load(path)
    np.testing.assert_array_equal(predicted.affine, flair.affine)
    assert nib.aff2axcodes(predicted.affine) == ("L", "A", "S")
    assert predicted.get_data_dtype() == np.float32

    # the table's numbers are those of the maps on disk, and the leakage warning stays away
    table_of = json.loads((evaluation / "evaluation.json").read_text())
    (ours,) = (row["values"] for row in table_of["scores"] if row["method"] == "predicted")
    true, ours_map = (np.asarray(image.dataobj, dtype=np.float64) for image in (flair, predicted))
    assert ours["mse"] == pytest.approx(np.mean((ours_map - true) ** 2), rel=1e-4)
    lesion = np.asarray(nib.load(thinned / "ms-patient07" / "lesion.nii.gz").dataobj) != 0
    assert ours["lesion_voxel_error"] == pytest.approx(np.abs(ours_map - true)[lesion].mean(), rel=1e-4)
    assert {row["method"] for row in table_of["scores"]} == {"predicted", "sketch", "linear"}
    assert not any("trained on" in warning for warning in table_of["warnings"])
    page = (evaluation / "page.html").read_text(encoding="utf-8")
    assert "Lesjak et al. 2017, CC-BY" in page
    assert "which is no DVR" in page
    assert "Myelin" not in page.split("<main>")[1]
    assert "sub-07, a patient" in page
