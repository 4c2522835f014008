"""b values and b-vectors: layouts, faults, axes, and which convention a table is in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_myelin.core.errors import MyelinError
from napari_myelin.core.prepare.convention import detect, length
from napari_myelin.core.prepare.gradients import frame_of, read_gradients
from napari_myelin.core.prepare.tensor import fit_tensor

REAL = Path(__file__).parents[4] / "shared" / "real"


def sphere(count: int = 30) -> np.ndarray:
    index = np.arange(count) + 0.5
    polar, azimuth = np.arccos(1 - index / count), np.pi * (1 + 5**0.5) * index
    return np.stack([np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)], axis=1)


def tables(folder: Path, bvals: np.ndarray, bvecs: np.ndarray) -> tuple[Path, Path]:
    np.savetxt(folder / "d.bval", bvals[None])
    np.savetxt(folder / "d.bvec", bvecs)
    return folder / "d.bval", folder / "d.bvec"


def test_vectors_in_rows_or_columns_with_nan_and_other_lengths_are_the_same(tmp_path: Path) -> None:
    vectors = np.vstack([np.full(3, np.nan), 0.5 * sphere(8)])
    bvals = np.array([5.0] + [1000] * 8)
    for table in (vectors, vectors.T):
        read = read_gradients(*tables(tmp_path, bvals, table), 9)
        np.testing.assert_allclose(read.bvecs[1:], sphere(8), atol=1e-12)
        np.testing.assert_array_equal(read.bvecs[0], 0)  # not a number: no direction
        assert "not of length 1" in read.notes[0]


def test_tables_that_cannot_be_right_are_told(tmp_path: Path) -> None:
    good = np.vstack([np.zeros(3), sphere(8)])
    bvals = np.array([0.0] + [1000] * 8)
    with pytest.raises(MyelinError, match="the image has 10 volumes"):
        read_gradients(*tables(tmp_path, bvals, good), 10)
    with pytest.raises(MyelinError, match="a volume without weighting"):
        read_gradients(*tables(tmp_path, bvals + 1000, np.vstack([sphere(9)])), 9)
    with pytest.raises(MyelinError, match="no direction for 1 volumes"):
        read_gradients(*tables(tmp_path, bvals, np.vstack([np.zeros((2, 3)), sphere(7)])), 9)
    few = np.vstack([np.zeros(3), np.tile(sphere(4), (2, 1)) * np.array([1] * 4 + [-1] * 4)[:, None]])
    with pytest.raises(MyelinError, match="4 directions"):
        read_gradients(*tables(tmp_path, bvals, few), 9)


def test_fsl_mirrors_the_first_axis_of_right_handed_images_only() -> None:
    turn = Rotation.from_euler("xyz", [10, 20, 30], degrees=True).as_matrix()
    for handed in (1.0, -1.0):
        affine = np.eye(4)
        affine[:3, :3] = turn @ np.diag([handed * 2, 2, 3])
        # the image's own axes in RAS+, the first turned round where it is right-handed: left in both cases
        expected = turn @ np.diag([-1, 1, 1])
        np.testing.assert_allclose(frame_of("fsl", affine), expected, atol=1e-12)
    np.testing.assert_array_equal(frame_of("scanner", affine), np.eye(3))


def ring(affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fibres that run round an axis that is none of the image's: directions (RAS+) and where they are."""
    indices = np.moveaxis(np.indices((16, 18, 14)), 0, -1)
    points = indices @ affine[:3, :3].T
    points = points - points.reshape(-1, 3).mean(axis=0)
    axis = np.array([0.5, 0.4, 0.77]) / np.linalg.norm([0.5, 0.4, 0.77])
    direction = np.cross(axis, points)
    length = np.linalg.norm(direction, axis=-1)
    return direction / np.maximum(length, 1e-9)[..., None], (length > 6) & (length < 16)


@pytest.mark.parametrize("convention", ["fsl", "scanner"])
@pytest.mark.parametrize("handed", [1.0, -1.0])
def test_the_convention_is_told_from_the_fibres(convention: str, handed: float) -> None:
    affine = np.diag([2 * handed, 2, 2, 1])
    affine[:3, :3] = Rotation.from_euler("z", 35, degrees=True).as_matrix() @ affine[:3, :3]
    direction, fibres = ring(affine)
    world = np.vstack([np.zeros(3), sphere()])
    bvals = np.array([0.0] + [1000] * 30)
    along = np.einsum("...i,ni->...n", direction, world) ** 2
    signal = 1000 * np.exp(-bvals * (4e-4 + 11e-4 * along))
    table = world @ frame_of(convention, affine)  # what is written to the file
    maps = fit_tensor(signal, bvals, table @ frame_of("fsl", affine).T, fibres)
    assert np.median(maps.fa[fibres]) == pytest.approx(0.681, abs=0.01)  # of 1.5, 0.4, 0.4
    verdict = detect(maps.direction, maps.fa, affine)
    assert verdict.convention == convention
    np.testing.assert_allclose(np.abs(np.diagonal(verdict.frame.T @ frame_of(convention, affine))), 1, atol=1e-6)


def test_parallel_fibres_cannot_tell_and_that_is_said() -> None:
    fa = np.full((10, 10, 10), 0.6)
    direction = np.zeros((10, 10, 10, 3))
    direction[..., 2] = 1
    assert "do not tell" in detect(direction, fa, np.diag([2.0, 2, 2, 1])).text
    # from every voxel to both ends of its column: nine voxels altogether
    assert length(direction, fa, np.diag([2.0, 2, 2, 1])) == pytest.approx(9, abs=0.6)
