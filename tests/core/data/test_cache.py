"""The cache holds what the placement gives, and reads a file once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_myelin.core.data.cache import CohortCache
from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.grid import Grid
from napari_myelin.core.data.normalisation import Normalisation
from napari_myelin.core.data.regions import region_labels
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError

GRID = Grid((24, 32, 24), (4.88, 4.88, 4.88))


def filled(cache: CohortCache, harmonise: bool = False) -> Normalisation:
    """Build and score; return the constants."""
    list(cache.build())
    constants = cache.normalisation(list(cache.subjects))
    list(cache.score(constants, harmonise))
    return constants


@pytest.mark.parametrize("harmonise", [False, True])
def test_arrays_are_the_scores_of_what_the_placement_gives(
    phantom_cohort: Cohort, tmp_path: Path, harmonise: bool
) -> None:
    subject = phantom_cohort.subjects[0]
    cache = CohortCache(tmp_path / "c", phantom_cohort.subjects[:2], ("RD", "MTR"), GRID)
    first, second = cache.build()
    assert (first.done, second.done, first.total, first.detail) == (1, 2, 2, "sub-01")
    constants = cache.normalisation(["sub-01", "sub-02"])
    assert [event.detail for event in cache.score(constants, harmonise)] == ["sub-01", "sub-02"]
    there = cache.load("sub-01")
    placement = GRID.place(subject.reference(), subject.brain())
    maps = [placement.to_network(subject.volume(name)) for name in ("RD", "MTR", "dvr")]
    for name, map_, scores in zip(("RD", "MTR"), maps, there.mri, strict=False):
        np.testing.assert_array_equal(scores, constants.z(name, map_, harmonise))
    np.testing.assert_array_equal(there.dvr, constants.z("dvr", maps[2]))
    np.testing.assert_array_equal(there.brain, (maps[0] != 0) | (maps[1] != 0))
    lesion, wm = (placement.to_network(subject.volume(role)) for role in ("lesion", "wm"))
    np.testing.assert_array_equal(there.regions == 2, lesion)
    np.testing.assert_array_equal(there.regions == 1, wm & ~lesion)
    assert there.brain.dtype == bool
    assert cache.normalisation(["sub-01"]).mean["RD"] == pytest.approx(float(maps[0].mean()), rel=1e-5)


def test_arrays_are_mapped_in_channels_last_memory_and_the_files_cannot_be_changed_through_them(
    phantom_cohort: Cohort, tmp_path: Path
) -> None:
    cache = CohortCache(tmp_path / "c", phantom_cohort.subjects[:1], ("RD", "MTR"), GRID)
    filled(cache)
    there = cache.load("sub-01")
    whole: object = there.mri
    while not isinstance(whole, np.memmap):
        assert isinstance(whole, np.ndarray)
        whole = whole.base
    assert torch.from_numpy(there.mri[None]).is_contiguous(memory_format=torch.channels_last_3d)
    before = float(there.mri[0, 3, 4, 5])
    there.mri[0, 3, 4, 5] += 1
    assert float(cache.load("sub-01").mri[0, 3, 4, 5]) == before
    assert len(list((tmp_path / "c").glob("*.npy"))) == 2  # the maps in their own units have gone


def test_other_constants_score_anew_and_the_same_ones_do_not(
    phantom_cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = CohortCache(tmp_path / "c", phantom_cohort.subjects[:2], ("MTR",), GRID)
    both = filled(cache)
    scored = cache.load("sub-01").mri.copy()
    again = CohortCache(tmp_path / "c", phantom_cohort.subjects[:2], ("MTR",), GRID)
    written: list[str] = []
    real = CohortCache._score
    monkeypatch.setattr(
        CohortCache, "_score", lambda self, key, *rest: (written.append(key), real(self, key, *rest))[1]
    )
    filled(again)
    assert written == []
    np.testing.assert_array_equal(again.load("sub-01").mri, scored)
    alone = again.normalisation(["sub-01"])
    list(again.score(alone))
    assert written == ["sub-01", "sub-02"]
    map_ = both.back("MTR", scored)
    np.testing.assert_allclose(again.load("sub-01").mri, alone.z("MTR", map_), atol=1e-5)


def test_a_summary_is_made_of_the_maps_in_their_own_units_and_kept(phantom_cohort: Cohort, tmp_path: Path) -> None:
    def summary(mri: np.ndarray, dvr: np.ndarray) -> list[float]:
        return [float(mri.max()), float(dvr.max())]

    for _ in range(2):  # the second time from the file
        cache = CohortCache(tmp_path / "c", phantom_cohort.subjects[:1], ("MTR",), GRID, summary=summary)
        constants = filled(cache)
        assert cache.summaries["sub-01"] == [constants.high["MTR"], constants.high["dvr"]]


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
    filled(cache)
    cache.clear()
    assert not (tmp_path / "c").exists()
    with pytest.raises(MyelinError, match="gone or damaged: resume the run"):
        cache.load("sub-01")


def test_clearing_leaves_what_is_not_the_caches_own(phantom_cohort: Cohort, tmp_path: Path) -> None:
    cache = CohortCache(tmp_path, phantom_cohort.subjects[:1], ("MTR",), GRID)
    filled(cache)
    (tmp_path / "mine").write_text("mine")
    cache.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
