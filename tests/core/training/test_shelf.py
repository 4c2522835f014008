"""A step's subjects come from mapped files, or stay on the device where all of them fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_myelin.core.data.cache import CohortCache
from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.grid import Grid
from napari_myelin.core.training.shelf import Shelf

GRID = Grid((24, 32, 24), (4.88, 4.88, 4.88))
BYTES = 24 * 32 * 24 * (4 * 3 + 2)  # of a subject with two maps
META = torch.device("meta")  # stands for a GPU: what is moved there is another tensor


@pytest.fixture
def cache(phantom_cohort: Cohort, tmp_path: Path) -> CohortCache:
    cache = CohortCache(tmp_path / "c", phantom_cohort.subjects[:2], ("RD", "MTR"), GRID)
    list(cache.build())
    list(cache.score(cache.normalisation(["sub-01", "sub-02"])))
    return cache


def test_tensors_hold_the_arrays_without_a_copy(cache: CohortCache) -> None:
    taken, arrays = Shelf(cache, torch.device("cpu")).take("sub-01"), cache.load("sub-01")
    np.testing.assert_array_equal(taken.mri[0].numpy(), arrays.mri)
    np.testing.assert_array_equal(taken.dvr[0, 0].numpy(), arrays.dvr)
    np.testing.assert_array_equal(taken.regions[0, 0].numpy(), arrays.regions)
    np.testing.assert_array_equal(taken.brain[0, 0].numpy(), arrays.brain)
    assert taken.mri.is_contiguous(memory_format=torch.channels_last_3d)
    assert taken.regions.data_ptr() == taken.labels.ctypes.data
    lesion = taken.lesion_voxels()
    assert len(lesion) > 0
    assert (arrays.regions[tuple(lesion.T)] == 2).all()
    assert len(lesion) == (arrays.regions == 2).sum()


def test_a_cohort_that_fits_stays_on_the_device_until_it_is_to_go(cache: CohortCache) -> None:
    shelf = Shelf(cache, META)
    assert shelf.settle(["sub-01", "sub-02"], 2 * BYTES)
    first = shelf.take("sub-01")
    assert first.mri.device == META
    assert shelf.take("sub-01") is first
    shelf.clear()
    assert shelf.take("sub-01") is not first
    assert shelf.take("sub-01") is not shelf.take("sub-01")


def test_a_cohort_that_does_not_fit_or_has_no_device_of_its_own_is_taken_anew(cache: CohortCache) -> None:
    for shelf, room in ((Shelf(cache, META), 2 * BYTES - 1), (Shelf(cache, torch.device("cpu")), 2**40)):
        assert not shelf.settle(["sub-01", "sub-02"], room)
        assert shelf.take("sub-02") is not shelf.take("sub-02")
