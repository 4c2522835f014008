"""Wrong usage and bad input: one clear sentence, the exit code, nothing written over."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from commands import TINY, call, only_error

from napari_myelin.core.data.cohort import open_cohort
from training_cli.main import COMMANDS


@pytest.fixture
def broken(phantom_folder: Path, tmp_path: Path) -> Path:
    """A copy of the phantom that a test may damage."""
    copy = tmp_path / "cohort"
    shutil.copytree(phantom_folder, copy)
    return copy


# --- wrong usage: exit code 2 ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fitt"], 'no command "fitt", did you mean "fit"?'),
        (["fit", "x", "--out", "y", "--preset", "papr"], 'no preset "papr" (did you mean "paper"?)'),
        (["fit", "x", "--out", "y", "--epochs", "0"], "training.epochs must be greater than or equal to 1, got 0"),
        (["fit", "x", "--out", "y", "--patch", "12"], "network.patch must be a multiple of 8, got 12"),
        (["fit", "x", "--out", "y", "--threshold", "value"], "threshold_value is not given"),
        (["fit", "x", "--out", "y", "--options", "nowhere.toml"], "cannot read the options file nowhere.toml"),
        (["predict", "only-one", "--out", "y"], "give a model (or several) and then a cohort"),
        (["predict", "m", "c", "--out", "y", "--uncertainty", "1"], "a standard deviation needs 2 draws"),
        (["phantom", "x", "--spacing", "0"], "spacing must be greater than 0.3, got 0.0"),
        (["phantom", "x", "--patients", "0", "--controls", "0"], "nobody is left to simulate"),
        (["phantom", "x", "--shape", "0", "16", "16"], "shape (0, 16, 16) must have 16 voxels or more along each axis"),
        (["demo", "--out", "x", "--epochs", "0"], "training.epochs must be greater than or equal to 1, got 0"),
        (["demo", "--out", "x", "--devices", "2"], "the demo runs in one process"),
        (["evaluate", "p", "c", "--out", "e", "--threshold-value", "-1"], "threshold_value must be greater than 0"),
        (["fit", "x", "--out", "y", "--modalities"], "data.modalities"),
    ],
)
def test_wrong_usage_is_one_sentence_and_2(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*words) == 2
    assert sentence in only_error(capsys)


def test_unknown_flags_and_no_command_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("fit", "x", "--out", "y", "--epoch", "3") == 2
    assert "--epochs" in capsys.readouterr().err  # the nearest is named
    assert call() == 2
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)


def test_unknown_keys_in_a_file_name_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "o.toml"
    path.write_text("[training]\nepoch = 3\n")
    assert call("fit", "x", "--out", tmp_path / "r", "--options", path) == 2
    assert 'unknown key "training.epoch" (did you mean "epochs"?)' in only_error(capsys)
    assert not (tmp_path / "r").exists()


def test_a_resumed_run_refuses_another_preset_and_another_file(
    phantom_folder: Path, trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["fit", phantom_folder, "--out", trained_run, "--resume"]
    kept = (trained_run / "options.toml").read_bytes()
    assert call(*words, "--preset", "paper") == 2
    assert "started with preset = demo, now it is paper" in only_error(capsys)
    path = tmp_path / "o.toml"
    path.write_text("[training]\nepochs = 7\n")
    assert call(*words, "--options", path) == 2
    assert "started with training.epochs = 1, now it is 7" in only_error(capsys)
    assert (trained_run / "options.toml").read_bytes() == kept
    assert call(*words, "--preset", "demo", "--options", trained_run / "options.toml") == 0  # the same again


# --- bad input: one sentence, exit code 1, nothing written over -----------------------------------------------


def fit(cohort: Path, out: Path) -> int:
    return call("fit", cohort, "--out", out, *TINY, "--validation", "0")


def mtr(cohort: Path) -> Path:
    return cohort / "sub-02" / "anat" / "sub-02_space-pet_MTRmap.nii.gz"


def rewrite(path: Path, change: object) -> None:
    image = nib.load(path)
    array, affine = change(image.get_fdata().astype(np.float32), image.affine)  # type: ignore[operator]
    nib.save(nib.Nifti1Image(array, affine), path)


def not_a_number(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    array[5, 5, 5] = np.nan
    return array, affine


DAMAGE = {
    "empty": (lambda path: path.write_bytes(b""), "is empty: copy it again"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:2000]), "truncated or damaged"),
    "text": (lambda path: path.write_text("no"), "is not a NIfTI file that can be read"),
    "4D": (lambda path: rewrite(path, lambda a, m: (np.stack([a, a], -1), m)), "expected three dimensions"),
    "NaN": (lambda path: rewrite(path, not_a_number), "1 voxels of NaN or infinity"),
    "zero": (lambda path: rewrite(path, lambda a, m: (a * 0, m)), "is zero everywhere"),
    "fraction": (lambda path: rewrite(path, lambda a, m: (a / 100, m)), "a fraction? multiply it by 100"),
    "shape": (lambda path: rewrite(path, lambda a, m: (a[1:], m)), "lies on another grid"),
    "affine": (lambda path: rewrite(path, lambda a, m: (a, m + np.eye(4, 4, 3) * 9)), "shifted by 9.0 mm"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_fit_refuses_a_damaged_map_in_one_sentence(
    kind: str, broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, sentence = DAMAGE[kind]
    damage(mtr(broken))
    assert fit(broken, tmp_path / "run") == 1
    assert sentence in only_error(capsys)
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize("kind", DAMAGE)
def test_predict_skips_it_check_names_it_and_both_exit_with_1(
    kind: str, broken: Path, tmp_path: Path, trained_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, sentence = DAMAGE[kind]
    damage(mtr(broken))
    assert call("check", broken) == 1
    assert sentence in capsys.readouterr().out.replace("\n", " ")
    words = ["predict", trained_run / "model.safetensors", broken, "--out", tmp_path / "p", "--subjects", "02", "04"]
    # the grid of a subject is its DVR's: with that, the damaged map is the one that does not fit
    assert call(*words) == 1
    error = only_error(capsys)
    assert "sub-02 is skipped" in error
    assert sentence in error
    assert (tmp_path / "p" / "sub-04").exists()
    assert not (tmp_path / "p" / "sub-02").exists()


@pytest.mark.parametrize("how", ["--quiet", "--json"])
def test_a_failed_run_says_so_once_however_it_speaks(
    how: str, broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mtr(broken).write_bytes(b"")
    assert call("fit", broken, "--out", tmp_path / "run", *TINY, how) == 1
    assert "is empty: copy it again" in only_error(capsys)


def test_a_map_that_is_not_there_any_more(broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "cohort.tsv"
    table.write_text("subject\tgroup\tMTR\tFA\tRD\tAD\tdvr\nA\tMS\tgone.nii.gz\ta\tb\tc\td\n")
    assert fit(table, tmp_path / "run") == 1
    assert "does not exist: correct the path" in only_error(capsys)


def test_lesion_masks_with_other_labels_or_outside_the_brain(
    broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = broken / "sub-02" / "anat" / "sub-02_space-pet_label-L_mask.nii.gz"
    good = path.read_bytes()
    rewrite(path, lambda a, m: (a + (np.arange(a.size).reshape(a.shape) % 3 == 0), m))
    assert fit(broken, tmp_path / "run") == 1
    assert "holds the values 0, 1, 2, expected 0 and one label: make it binary" in only_error(capsys)
    path.write_bytes(good)

    def outside(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        array[:] = 0
        array[:3, :3, :3] = 1
        return array, affine

    rewrite(path, outside)
    assert fit(broken, tmp_path / "run2") == 1
    assert "lies outside the brain" in only_error(capsys)
    rewrite(path, lambda a, m: (a * 0, m))
    assert fit(broken, tmp_path / "run3") == 0  # an empty mask is a patient without a lesion


def test_outputs_that_cannot_be_written(
    phantom_folder: Path, trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    inside = tmp_path / "file" / "out"
    assert fit(phantom_folder, inside) == 1
    assert "cannot write" in only_error(capsys)
    assert call("predict", trained_run / "model.safetensors", phantom_folder, "--out", inside) == 1
    assert "cannot write" in only_error(capsys)
    assert call("phantom", inside, "--patients", "1", "--shape", "16", "16", "16", "--spacing", "9") == 1
    assert "cannot write" in only_error(capsys)


def test_a_model_for_other_modalities_skips_everybody(
    phantom_folder: Path, trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cohort = open_cohort(phantom_folder)
    table = tmp_path / "cohort.tsv"
    table.write_text(f"subject\tT1w\nA\t{cohort.subjects[0].files['MTR']}\n")
    assert call("predict", trained_run / "model.safetensors", table, "--out", tmp_path / "p") == 1
    assert "sub-A has no MTR map and no FA map and no RD map and no AD map; the model needs MTR, FA, RD, AD" in (
        only_error(capsys)
    )


def test_debug_shows_the_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("info", tmp_path / "nowhere", "--debug") == 1
    captured = capsys.readouterr()
    assert "error: cannot read the model" in captured.err
    assert "Traceback" in captured.err


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--version") == 0
    assert capsys.readouterr().out.startswith("napari-myelin 0.")
