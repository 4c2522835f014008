"""No layer is ever off: where voxels of an oblique, flipped, anisotropic subject are shown, and come back to."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from napari_myelin.core.data.volume import Volume
from napari_myelin.widgets.layers import AXES, UNITS, Frame

SHAPE = (6, 9, 5)


def oblique(flips: tuple[int, int, int] = (-1, 1, 1), degrees: float = 17.0) -> np.ndarray:
    """Return an affine turned about two axes, with voxels of 1.5 x 2.2 x 3 mm, the last file axis pointing left."""
    a, b = np.deg2rad(degrees), np.deg2rad(-9.0)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    order = np.eye(3)[[2, 0, 1]]  # the file's axes run anterior, superior, right
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ order.T @ np.diag(np.array([1.5, 2.2, 3.0]) * flips)
    affine[:3, 3] = (31.0, -42.0, 17.0)
    return affine


def volume(affine: np.ndarray, shape: tuple[int, int, int] = SHAPE) -> Volume:
    return Volume(np.arange(np.prod(shape), dtype=np.float32).reshape(shape), affine)


def shown_place(placing: dict, index: tuple[int, ...]) -> np.ndarray:
    return np.asarray(placing["scale"]) * index + np.asarray(placing["translate"])


def test_a_straight_grid_is_shown_at_its_scanner_coordinates() -> None:
    affine = np.diag([-2.0, 3.0, 4.0, 1.0])  # LAS
    affine[:3, 3] = (10, -20, 30)
    frame = Frame(volume(affine))
    array, placing, _ = frame.layer(volume(affine))
    # voxel (1, 2, 3) lies at right 10 - 2, anterior -20 + 6, superior 30 + 12
    assert frame.shape == (5, 9, 6)
    (index,) = np.argwhere(array == volume(affine).array[1, 2, 3])
    np.testing.assert_allclose(shown_place(placing, tuple(index)), (42, -14, 8))
    assert tuple(index) == (3, 2, 4)  # the first file axis is flipped: 6 - 1 - 1
    assert placing["units"] == UNITS == ("mm", "mm", "mm")
    assert placing["axis_labels"] == AXES


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1)])
def test_every_voxel_of_an_oblique_grid_keeps_its_world_position(flips: tuple[int, int, int]) -> None:
    affine = oblique(flips)
    source = volume(affine)
    frame = Frame(source)
    array, placing, _ = frame.layer(source)
    for index in [(0, 0, 0), (5, 8, 4), (2, 7, 1)]:
        (at,) = np.argwhere(array == source.array[index])
        world = frame.world(shown_place(placing, tuple(at)))
        np.testing.assert_allclose(world, apply_affine(affine, index), atol=1e-9)
        np.testing.assert_allclose(frame.shown(world), shown_place(placing, tuple(at)), atol=1e-9)
    # axes grow towards superior, anterior, right, whatever the file's do
    step = frame.world(np.eye(3)) - frame.world(np.zeros(3))
    assert step[0, 2] > 0.9
    assert step[1, 1] > 0.9
    assert step[2, 0] > 0.9
    np.testing.assert_allclose(np.linalg.det(step), -1, atol=1e-9)  # turned, not stretched


def test_what_is_shown_comes_back_to_the_file_voxel_for_voxel() -> None:
    source = volume(oblique())
    frame = Frame(source)
    back = frame.volume(frame.array(source))
    np.testing.assert_array_equal(back.array, source.array)
    np.testing.assert_array_equal(back.affine, source.affine)
    with pytest.raises(ValueError, match="the layer has shape"):
        frame.volume(np.zeros((2, 2, 2)))


def test_an_image_on_a_parallel_grid_is_shown_voxel_by_voxel_where_it_lies() -> None:
    frame = Frame(volume(oblique()))
    finer = oblique()
    finer[:3, :3] = finer[:3, :3] @ np.diag([0.5, 1, 0.25])
    finer[:3, 3] += (3.0, -2.0, 1.0)
    image = volume(finer, (8, 6, 10))
    array, placing, grid = frame.layer(image)
    assert array.size == image.array.size
    (at,) = np.argwhere(array == image.array[3, 4, 5])
    np.testing.assert_allclose(frame.world(shown_place(placing, tuple(at))), apply_affine(finer, (3, 4, 5)), atol=1e-3)
    np.testing.assert_array_equal(grid.affine, finer)


def test_an_image_that_is_turned_against_the_subject_is_interpolated_to_the_right_place() -> None:
    frame = Frame(volume(oblique()))
    turned = oblique(degrees=3.0)
    # a linear function of world position: any interpolation of it gives its value at that place
    indices = np.moveaxis(np.indices((12, 14, 10)), 0, -1)
    weights = np.array([0.5, -0.25, 1.0])
    image = Volume((apply_affine(turned, indices) @ weights + 500).astype(np.float32), turned)
    array, placing, grid = frame.layer(image)
    inside = np.argwhere(array > 400)
    world = frame.world(np.asarray(placing["scale"]) * inside + np.asarray(placing["translate"]))
    reach = apply_affine(np.linalg.inv(turned), world)
    deep = ((reach > 0) & (reach < np.array(image.shape) - 1)).all(axis=1)
    assert deep.sum() > 500
    np.testing.assert_allclose(array[tuple(inside[deep].T)], world[deep] @ weights + 500, atol=1e-3)
    # and it is written where it is shown
    written = Frame(grid).volume(array)
    at = tuple(inside[deep][0])
    (voxel,) = np.argwhere(written.array == array[at])[:1]
    np.testing.assert_allclose(written.world(voxel), world[deep][0], atol=1e-3)


def test_a_file_that_nibabel_reads_has_the_voxel_at_the_shown_place(tmp_path: Path) -> None:
    frame = Frame(volume(oblique()))
    mask = np.zeros(frame.shape, dtype=bool)
    mask[3, 4, 2] = True
    place = frame.world(shown_place(frame.placing, (3, 4, 2)))
    saved = frame.volume(mask)
    nib.save(nib.Nifti1Image(saved.array.astype(np.uint8), saved.affine), tmp_path / "mask.nii.gz")
    image = nib.load(tmp_path / "mask.nii.gz")
    (voxel,) = np.argwhere(np.asarray(image.dataobj))
    np.testing.assert_allclose(apply_affine(image.affine, voxel), place, atol=1e-4)
