"""MTR: the equation, clipping, a moved pair, a swapped pair, and two real pairs."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_myelin.core.data.volume import Volume, read_volume, write_volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.prepare.mtr import foreground, mtr_map
from napari_myelin.core.prepare.options import MtrOptions
from napari_myelin.core.prepare.single import make_mtr

REAL = Path(__file__).parents[4] / "shared" / "real"


def test_the_ratio_is_that_of_the_equation_and_clipped_inside_the_mask() -> None:
    off = np.array([100.0, 200, 80, 50, 0]).reshape(5, 1, 1)
    on = np.array([50.0, 150, 88, -10, 0]).reshape(5, 1, 1)
    made = mtr_map(on, off, np.array([1, 1, 1, 1, 0], dtype=bool).reshape(5, 1, 1))
    np.testing.assert_allclose(made.array.ravel(), [50, 25, 0, 100, 0])
    assert made.clipped == 2


def test_a_swapped_pair_is_refused() -> None:
    off, mask = np.full((3, 3, 3), 100.0), np.ones((3, 3, 3), dtype=bool)
    with pytest.raises(MyelinError, match="are the two swapped"):
        mtr_map(off, 0.6 * off, mask)


def test_foreground_is_the_head_with_its_holes_filled() -> None:
    array = np.zeros((20, 20, 6), dtype=np.float32)
    array[4:16, 4:16] = 100
    array[8:11, 8:11] = 1  # a dark hole that reaches from the first slice to the last
    array[0, 0, 0] = 100  # a bright speck
    expected = np.zeros(array.shape, dtype=bool)
    expected[4:16, 4:16] = True
    np.testing.assert_array_equal(foreground(Volume(array, np.eye(4))), expected)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real data in {REAL}")
def test_white_matter_of_a_real_slice_peaks_between_48_and_52_percent(tmp_path: Path) -> None:
    folder = REAL / "mt-slice"
    made = make_mtr((folder / "mt_ratio.nii.gz",), tmp_path, MtrOptions(), folder / "mt_ratio_mask.nii.gz")
    mtr = read_volume(made.files["MTR"]).array
    counts, edges = np.histogram(mtr[mtr > 0], bins=np.arange(0, 101))
    assert 48 <= edges[np.argmax(counts)] <= 51  # the fullest bin of 1 %
    # independently: the maker of the slice prints these voxels
    assert mtr[64, 64, 0] == pytest.approx(30.44344886162809, abs=1e-4)
    assert mtr[63, 62, 0] == pytest.approx(18.855234677212643, abs=1e-4)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real data in {REAL}")
def test_a_real_spinal_cord_comes_out_sane(tmp_path: Path) -> None:
    folder = REAL / "cord" / "mt"
    made = make_mtr((folder / "mt1.nii.gz", folder / "mt0.nii.gz"), tmp_path, MtrOptions())
    mtr = read_volume(made.files["MTR"])
    assert mtr.shape == (192, 192, 22)
    assert 15 < made.medians["MTR"] < 60
    sidecar = made.files["MTR"].with_name(made.files["MTR"].name.replace(".nii.gz", ".json"))
    assert '"sha256:' in sidecar.read_text()


def test_a_pair_that_moved_is_registered(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    from scipy.ndimage import gaussian_filter, shift

    blobs = gaussian_filter(random.standard_normal((32, 32, 32)), 2)
    blobs = 100 * (1 + blobs / blobs.std() / 4)
    ball = np.linalg.norm(np.indices(blobs.shape) - 15.5, axis=0) < 12
    off = np.where(ball, blobs, 0).astype(np.float32)
    affine = np.diag([2.0, 2, 2, 1])
    paths = tmp_path / "sub-1_mt-on_MTR.nii.gz", tmp_path / "sub-1_mt-off_MTR.nii.gz"
    for path, array in zip(paths, (shift(0.6 * off, (1.5, -1, 0.5), order=1), off), strict=True):
        write_volume(path, Volume(array.astype(np.float32), affine))
    made = make_mtr(paths, tmp_path, MtrOptions())
    assert made.files["MTR"].name == "sub-1_MTRmap.nii.gz"
    inner = np.linalg.norm(np.indices(blobs.shape) - 15.5, axis=0) < 9
    mtr = np.asarray(nib.load(made.files["MTR"]).dataobj)[inner]
    assert np.median(np.abs(mtr - 40)) < 1.5
    still = make_mtr(paths, tmp_path / "still", MtrOptions(register_pair=False))
    unmoved = np.asarray(nib.load(still.files["MTR"]).dataobj)[inner]
    assert np.median(np.abs(unmoved - 40)) > 4
