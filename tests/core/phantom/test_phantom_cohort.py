"""A simulated cohort on disk: it reads back, nothing is written over, and the command remakes the sample data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_myelin.core.data.cohort import open_cohort
from napari_myelin.core.data.transform import read_transform
from napari_myelin.core.data.volume import read_volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.phantom.anatomy import SCALE, template
from napari_myelin.core.phantom.cohort import write_cohort
from napari_myelin.core.phantom.options import PhantomOptions


def test_written_cohort_reads_back_with_its_transform(phantom_folder: Path) -> None:
    cohort = open_cohort(phantom_folder)
    assert cohort.phantom
    assert [subject.group for subject in cohort.subjects] == ["MS", "MS", "MS", "HC", "HC"]
    assert cohort.modalities == ("MTR", "FA", "RD", "AD")
    subject = cohort.subjects[0]
    transform = read_transform(subject.files["to_template"])
    # the middle of the subject's brain lies near the middle of the template's
    brain = subject.volume("brain")
    middle = brain.world(np.argwhere(brain.array).mean(axis=0))
    expected = (template().low + template().high) / 2
    assert np.abs(transform(middle[None])[0] - expected).max() < 12
    # scale: two points 60 mm apart in the subject are about 60 / .92 mm apart in the template
    points = np.array([[-30.0, -20.0, 10.0], [30.0, -20.0, 10.0]])
    length = np.linalg.norm(np.diff(transform(points), axis=0))
    assert 60 / SCALE * 0.85 < length < 60 / SCALE * 1.15


def test_an_existing_dataset_is_not_written_over(phantom_folder: Path) -> None:
    before = (phantom_folder / "participants.tsv").read_bytes()
    with pytest.raises(MyelinError, match="holds a dataset already"):
        next(iter(write_cohort(phantom_folder, PhantomOptions(patients=1, controls=0))))
    assert (phantom_folder / "participants.tsv").read_bytes() == before


def test_a_readme_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("mine")
    with pytest.raises(MyelinError, match="holds a README, which would be written over"):
        next(iter(write_cohort(tmp_path, PhantomOptions(patients=1, controls=0))))
    assert [path.name for path in tmp_path.iterdir()] == ["README"]
    assert (tmp_path / "README").read_text() == "mine"


def test_the_command_remakes_the_sample_data(tmp_path: Path) -> None:
    from napari_myelin.core.data.samples import sample_folder

    options = PhantomOptions(patients=4, controls=2, shape=(64, 80, 64), spacing=2.44, seed=0)
    for _ in write_cohort(tmp_path / "again", options):
        pass
    made = sorted(path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*.nii.gz"))
    stored = sorted(path.relative_to(sample_folder()) for path in sample_folder().rglob("*.nii.gz"))
    assert made == stored
    assert len(made) > 50
    for relative in made:
        if "xfm" in relative.name:
            one, other = (read_transform(root / relative) for root in (tmp_path / "again", sample_folder()))
            np.testing.assert_allclose(one.displacement, other.displacement, atol=1e-5)
            np.testing.assert_array_equal(one.affine, other.affine)
            continue
        one, other = (read_volume(root / relative) for root in (tmp_path / "again", sample_folder()))
        np.testing.assert_array_equal(one.affine, other.affine)
        np.testing.assert_allclose(one.array, other.array, atol=1e-5, err_msg=str(relative))


def test_the_sample_data_is_12_mb_at_most() -> None:
    from napari_myelin.core.data.samples import sample_folder

    assert sum(path.stat().st_size for path in sample_folder().rglob("*.nii.gz")) <= 12e6
