"""The cache holds what the placement gives, and reads a file once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_myelin.core.data.cache import CohortCache, region_labels
from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.grid import Grid
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError

GRID = Grid((24, 32, 24), (4.88, 4.88, 4.88))


def test_arrays_are_those_of_the_placement(phantom_cohort: Cohort, tmp_path: Path) -> None:
    subject = phantom_cohort.subjects[0]
    cache = CohortCache(tmp_path / "c", [subject], ("RD", "MTR"), GRID)
    (progress,) = cache.build()
    assert (progress.done, progress.total, progress.detail) == (1, 1, "sub-01")
    mri, dvr, regions = cache.load("sub-01")
    placement = GRID.place(subject.reference(), subject.brain())
    np.testing.assert_array_equal(mri[0], placement.to_network(subject.volume("RD")))
    np.testing.assert_array_equal(mri[1], placement.to_network(subject.volume("MTR")))
    np.testing.assert_array_equal(dvr, placement.to_network(subject.volume("dvr")))
    lesion, wm = (placement.to_network(subject.volume(role)) for role in ("lesion", "wm"))
    np.testing.assert_array_equal(regions == 2, lesion)
    np.testing.assert_array_equal(regions == 1, wm & ~lesion)
    assert cache.normalisation(["sub-01"]).mean["RD"] == pytest.approx(float(mri[0].mean()), rel=1e-5)


def test_lesions_win_over_white_matter_and_missing_masks_leave_other(memory_subject: Subject) -> None:
    regions = region_labels(memory_subject)
    lesion, wm = memory_subject.volume("lesion").array, memory_subject.volume("wm").array
    assert (regions[lesion] == 2).all()
    assert (regions[wm & ~lesion] == 1).all()
    assert (regions[~wm] == 0).all()
    bare = Subject("b", files={"FA": memory_subject.files["FA"]})
    assert not region_labels(bare).any()


def test_unchanged_files_are_not_read_again_and_changed_ones_are(
    phantom_cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = phantom_cohort.subjects[3]
    copied = tmp_path / "MTR.nii.gz"
    source = subject.files["MTR"]
    assert isinstance(source, Path)
    copied.write_bytes(source.read_bytes())
    subject = subject.with_files(MTR=copied)
    list(CohortCache(tmp_path / "c", [subject], ("MTR",), GRID).build())
    reads = []
    real = Subject.volume
    monkeypatch.setattr(Subject, "volume", lambda self, role, *a: (reads.append(role), real(self, role, *a))[1])
    again = CohortCache(tmp_path / "c", [subject], ("MTR",), GRID)
    list(again.build())
    assert reads == []
    assert again.normalisation([subject.key]).sd["MTR"] > 1
    copied.write_bytes(source.read_bytes() + b"\0")
    list(CohortCache(tmp_path / "c", [subject], ("MTR",), GRID).build())
    assert "MTR" in reads


@pytest.mark.parametrize(
    ("role", "factor", "sentence"),
    [
        ("AD", 1e-3, "it looks like mm2/s: multiply it by 1000"),
        ("MTR", 0.01, "a fraction. multiply it by 100"),
        ("FA", 0.0, "is zero everywhere"),
    ],
)
def test_maps_that_cannot_be_right_are_refused(
    memory_subject: Subject, tmp_path: Path, role: str, factor: float, sentence: str
) -> None:
    volume = memory_subject.volume(role)
    subject = memory_subject.with_files(**{role: Volume(volume.array * np.float32(factor), volume.affine)})
    cache = CohortCache(tmp_path / "c", [subject], ("MTR", "FA", "RD", "AD"), Grid((24, 24, 24), (2.0, 2.0, 2.0)))
    with pytest.raises(MyelinError, match=sentence):
        list(cache.build())


def test_a_lesion_mask_outside_the_brain_is_refused(memory_subject: Subject, tmp_path: Path) -> None:
    lesion = memory_subject.volume("lesion")
    outside = np.zeros_like(lesion.array)
    outside[:2, :2, :2] = True
    subject = memory_subject.with_files(lesion=Volume(outside, lesion.affine))
    cache = CohortCache(tmp_path / "c", [subject], ("MTR",), Grid((24, 24, 24), (2.0, 2.0, 2.0)))
    with pytest.raises(MyelinError, match="100% of the lesion mask of sub-x1 lies outside the brain"):
        list(cache.build())


def test_arrays_that_went_away_are_one_sentence(phantom_cohort: Cohort, tmp_path: Path) -> None:
    cache = CohortCache(tmp_path / "c", phantom_cohort.subjects[:1], ("MTR",), GRID)
    list(cache.build())
    cache.clear()
    assert not (tmp_path / "c").exists()
    with pytest.raises(MyelinError, match="gone or damaged: resume the run"):
        cache.load("sub-01")


def test_clearing_leaves_what_is_not_the_caches_own(phantom_cohort: Cohort, tmp_path: Path) -> None:
    cache = CohortCache(tmp_path, phantom_cohort.subjects[:1], ("MTR",), GRID)
    list(cache.build())
    (tmp_path / "mine").write_text("mine")
    cache.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
