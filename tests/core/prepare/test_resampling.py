"""One interpolation: chains, grids, masks that keep their volume, transforms in files, headers."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_myelin.core.data.transform import PointTransform
from napari_myelin.core.data.volume import Volume, read_volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.prepare.geometry import header_notes
from napari_myelin.core.prepare.grids import centres, covering
from napari_myelin.core.prepare.registration import align
from napari_myelin.core.prepare.resampling import resample, resample_mask
from napari_myelin.core.prepare.series import read_series
from napari_myelin.core.prepare.transforms import Chain, read_matrix, write_matrix

REAL = Path(__file__).parents[4] / "shared" / "real"


def turned(degrees: float, shift: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", [degrees, -degrees / 2, degrees / 3], degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def test_a_chain_is_its_steps_one_after_the_other() -> None:
    first, second = turned(10, (1, 2, 3)), turned(-20, (4, 0, 0))
    points = np.random.default_rng(0).normal(0, 30, (50, 3))
    chain = Chain((first,)).then(second)
    by_hand = (points @ first[:3, :3].T + first[:3, 3]) @ second[:3, :3].T + second[:3, 3]
    np.testing.assert_allclose(chain(points), by_hand)
    np.testing.assert_allclose(chain.matrix, second @ first)
    field = PointTransform(np.ones((2, 2, 2, 3), dtype=np.float32), np.diag([100.0, 100, 100, 1]))
    assert chain.then(field).matrix is None
    np.testing.assert_allclose(chain.then(field)(points), by_hand + 1, rtol=1e-6)


@pytest.mark.parametrize("warped", [False, True])
def test_a_linear_ramp_is_interpolated_exactly_through_the_whole_chain(warped: bool) -> None:
    affine = turned(15, (-20, -20, -20)) @ np.diag([2.0, 2, 3, 1])
    source = Volume(np.empty((24, 24, 24), dtype=np.float32), affine)
    slope = np.array([0.3, -0.2, 0.5])
    source = Volume((centres(source) @ slope).astype(np.float32), affine)
    reference = Volume(np.zeros((6, 7, 5), dtype=np.float32), np.diag([1.5, 1.5, 1.5, 1]))
    chain = Chain((turned(5, (4, 3, 2)), turned(-3, (0.5, 0, 0))))
    if warped:
        chain = chain.then(PointTransform(np.full((2, 2, 2, 3), 0.7, dtype=np.float32), np.diag([90.0, 90, 90, 1])))
    made = resample(source, reference, chain)
    inside = made.array != 0
    assert inside.mean() > 0.9
    np.testing.assert_allclose(made.array[inside], (chain(centres(reference)) @ slope)[inside], atol=1e-3)


def test_an_affine_transform_reads_back_from_its_file(tmp_path: Path) -> None:
    matrix = turned(12, (1.5, -2, 3)) @ np.diag([1.1, 0.9, 1, 1])
    write_matrix(tmp_path / "a_xfm.txt", matrix)
    np.testing.assert_allclose(read_matrix(tmp_path / "a_xfm.txt"), matrix, atol=1e-12)
    sitk = pytest.importorskip("SimpleITK")
    theirs = sitk.ReadTransform(str(tmp_path / "a_xfm.txt")).TransformPoint((-10.0, -20.0, 30.0))  # LPS
    np.testing.assert_allclose(np.array(theirs) * [-1, -1, 1], (matrix @ [10, 20, 30, 1])[:3], atol=1e-9)
    (tmp_path / "b_xfm.txt").write_text("something else")
    with pytest.raises(MyelinError, match="no ITK affine transform"):
        read_matrix(tmp_path / "b_xfm.txt")


def test_a_grid_covers_a_mask_with_its_margin() -> None:
    mask = np.zeros((20, 20, 20), dtype=bool)
    mask[4:10, 5:9, 6:8] = True
    affine = np.diag([-2.0, 2, 2, 1])
    grid = covering(Volume(mask, affine), 1.22, 3)
    assert grid.orientation == "RAS"
    assert grid.spacing == pytest.approx((1.22, 1.22, 1.22))
    assert np.array(grid.shape).tolist() == [15, 12, 9]  # (12, 8, 4 mm + 6 mm) / 1.22, rounded up
    middle = grid.world((np.array(grid.shape) - 1) / 2)
    np.testing.assert_allclose(middle, [-13, 13, 13], atol=1e-6)  # voxels 4 to 9 and so on


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real data in {REAL}")
@pytest.mark.parametrize("patient", ["07", "26"])
def test_a_real_lesion_mask_keeps_its_volume_there_and_back(patient: str) -> None:
    mask = read_volume(REAL / f"ms-patient{patient}" / "lesion.nii.gz", mask=True)
    grid = covering(mask, 1.22, 20)
    there = Chain((turned(4, (2, -1, 3)),))
    on_grid = resample_mask(mask, grid, there)
    back = resample_mask(on_grid, mask, Chain((np.linalg.inv(there.matrix),)))  # type: ignore[arg-type]
    volume = mask.array.sum() * mask.voxel_volume
    assert on_grid.array.sum() * on_grid.voxel_volume == pytest.approx(volume, rel=0.02)
    assert back.array.sum() * back.voxel_volume == pytest.approx(volume, rel=0.02)
    both = (back.array & mask.array).sum() * 2 / (back.array.sum() + mask.array.sum())
    assert both > 0.8  # small lesions are mostly surface


def test_what_lies_outside_the_grid_is_not_made_up_for() -> None:
    mask = np.zeros((20, 10, 10), dtype=bool)
    mask[8:12, 3:7, 3:7] = True
    half = Volume(np.zeros((10, 10, 10), dtype=np.float32), np.eye(4))
    assert resample_mask(Volume(mask, np.eye(4)), half, Chain()).array.sum() == 2 * 4 * 4


def write_header(path: Path, sform: np.ndarray | None, qform: np.ndarray | None) -> Path:
    image = nib.Nifti1Image(np.ones((5, 6, 7), dtype=np.int16), None)
    image.header.set_sform(sform, code=1 if sform is not None else 0)
    image.header.set_qform(qform, code=1 if qform is not None else 0)
    nib.save(nib.Nifti1Image(np.ones((5, 6, 7), dtype=np.int16), None, image.header), path)
    return path


def test_odd_headers_are_told(tmp_path: Path) -> None:
    straight, mirrored = np.diag([2.0, 2, 2, 1]), np.diag([-2.0, 2, 2, 1])
    shifted = straight.copy()
    shifted[0, 3] = 5
    path = tmp_path / "a.nii.gz"
    assert header_notes(write_header(path, straight, straight)) == []
    assert "disagree by up to 5.0 mm" in header_notes(write_header(path, straight, shifted))[0]
    assert "about left and right" in header_notes(write_header(path, straight, mirrored))[0]
    assert "does not say where" in header_notes(write_header(path, None, None))[0]
    assert "oblique by 10.0 degrees" in header_notes(write_header(path, turned_x(10), turned_x(10)))[0]
    image = nib.Nifti1Image(np.ones((5, 6, 7, 1), dtype=np.int16), straight)
    image.header.set_slope_inter(0.5, 10)
    nib.save(image, path)
    notes = " ".join(header_notes(path))
    assert "one volume" in notes
    assert read_series(path).count == 1


def turned_x(degrees: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("x", degrees, degrees=True).as_matrix()
    return matrix


def test_scaled_integers_are_scaled_and_truncated_files_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    header = nib.Nifti1Image(np.arange(48, dtype=np.int16).reshape(4, 4, 3, 1), np.eye(4)).header
    header.set_slope_inter(0.5, 10)
    header["vox_offset"] = 352
    raw = header.binaryblock + b"\0" * 4 + np.arange(48, dtype=np.int16).reshape(4, 4, 3, 1).tobytes(order="F")
    path.write_bytes(raw)
    assert read_series(path).array[1, 2, 0, 0] == 0.5 * np.arange(48).reshape(4, 4, 3)[1, 2, 0] + 10
    assert "times 0.5 plus 10" in header_notes(path)[0]
    nib.save(nib.Nifti1Image(np.random.default_rng(0).random((20, 20, 20, 3)), np.eye(4)), tmp_path / "b.nii.gz")
    whole = (tmp_path / "b.nii.gz").read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MyelinError, match="truncated or damaged"):
        read_series(tmp_path / "b.nii.gz")


def test_registration_finds_a_known_motion_of_another_contrast() -> None:
    affine = np.array([[-2.0, 0, 0, 31], [0, 2, 0, -33], [0, 0, 2, -29], [0, 0, 0, 1]])
    points = centres(Volume(np.empty((32, 34, 30)), affine))
    true = turned(6, (4, -3, 2))

    def image(where: np.ndarray, inverted: bool) -> Volume:
        x, y, z = np.moveaxis(where, -1, 0)
        inside = np.linalg.norm(where / [26, 30, 24], axis=-1) < 1
        wave = np.sin(x / 7) * np.cos(y / 8 + 1) + 0.7 * np.sin(z / 6 + x / 11)
        return Volume(np.where(inside, 100 * np.exp(-wave if inverted else wave), 0).astype(np.float32), affine)

    # the moving image shows at its point T(x) what the fixed one shows at x
    fixed, moving = image(points, False), image(Chain((np.linalg.inv(true),))(points), True)
    found = align(fixed, moving)
    error = np.linalg.norm(Chain((found.matrix,))(points) - Chain((true,))(points), axis=-1)
    assert error.mean() < 0.5
    assert found.after > found.before
