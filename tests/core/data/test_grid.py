"""From a subject's own space to the network's and back, by values."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

from napari_myelin.core.data.grid import Grid, fitting_grid
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.working import result_of


def oblique(spacing: tuple[float, float, float], shape: tuple[int, int, int], codes: str, degrees: float) -> np.ndarray:
    """An affine of any orientation, turned about two axes, whose centre lies off the origin."""
    a, b = np.radians(degrees), np.radians(degrees / 2)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    ras = np.eye(4)
    # spacing is along the file's axes: put it where those axes point
    order = [int(axis) for axis in axcodes2ornt(codes)[:, 0]]
    world = np.empty(3)
    world[order] = spacing
    ras[:3, :3] = about_z @ about_x @ np.diag(world)
    ras[:3, 3] = [-40.0, -55.0, -30.0]
    canonical_shape = tuple(np.asarray(shape)[np.argsort(order)])
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    return np.asarray(ras @ inv_ornt_aff(turn, canonical_shape))


CASES = {
    "plain": ("RAS", (2.0, 2.0, 2.0), (20, 24, 18), 0.0),
    "flipped": ("LPI", (2.0, 2.0, 2.0), (21, 24, 18), 0.0),
    "permuted": ("PSR", (2.0, 2.0, 2.0), (20, 23, 18), 0.0),
    "oblique": ("RAS", (2.0, 2.0, 2.0), (20, 24, 19), 14.0),
    "oblique and permuted": ("SLA", (2.0, 2.0, 2.0), (17, 24, 19), -11.0),
    "anisotropic": ("LAS", (1.0, 1.5, 3.0), (33, 27, 11), 7.0),
    "odd": ("RPI", (2.0, 2.0, 2.0), (15, 13, 11), 3.0),
}


@pytest.mark.parametrize("case", CASES)
def test_there_and_back_keeps_every_voxel_that_the_grid_covers(case: str) -> None:
    codes, spacing, shape, degrees = CASES[case]
    affine = oblique(spacing, shape, codes, degrees)
    assert "".join(nib.aff2axcodes(affine)) == codes
    labels = np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)
    volume = Volume(labels, affine)
    order = [int(axis) for axis in axcodes2ornt(codes)[:, 0]]
    canonical_spacing = np.empty(3)
    canonical_spacing[order] = spacing
    for edge in (16, 40):  # crops the larger edges, and pads all of them
        placement = Grid((edge,) * 3, tuple(canonical_spacing)).place(volume)  # type: ignore[arg-type]
        assert placement.copies
        on_grid = placement.to_network(volume)
        kept = placement.to_subject(on_grid)
        np.testing.assert_array_equal(kept.affine, affine)
        covered = kept.array != 0
        np.testing.assert_array_equal(kept.array[covered], labels[covered])
        expected = np.prod([min(edge, size) for size in shape])
        assert covered.sum() == (on_grid != 0).sum() == expected
        # a voxel of the grid lies where its affine says: the same value, the same millimetres
        for index in np.argwhere(on_grid != 0)[:: max(1, expected // 7)]:
            (own,) = np.argwhere(labels == on_grid[tuple(index)])
            world = (placement.affine @ [*index, 1])[:3]
            np.testing.assert_allclose(world, volume.world(own), atol=1e-4)


def test_grid_axes_point_to_right_anterior_superior() -> None:
    for codes, spacing, shape, degrees in CASES.values():
        volume = Volume(np.ones(shape, dtype=np.float32), oblique(spacing, shape, codes, degrees))
        placement = Grid((16, 16, 16), (2.0, 2.0, 2.0)).place(volume)
        assert nib.aff2axcodes(placement.affine) == ("R", "A", "S")


@pytest.mark.parametrize("case", CASES)
def test_another_spacing_interpolates_a_linear_ramp_exactly(case: str) -> None:
    codes, spacing, shape, degrees = CASES[case]
    affine = oblique(spacing, shape, codes, degrees)
    slope, constant = np.array([0.3, -0.2, 0.5]), 4.0

    def ramp(world: np.ndarray) -> np.ndarray:
        return world @ slope + constant

    volume = Volume(np.zeros(shape, dtype=np.float32), affine)
    values = ramp(volume.world(np.moveaxis(np.indices(shape), 0, -1)))
    volume = Volume(values.astype(np.float32), affine)
    placement = Grid((10, 10, 6), (1.7, 1.7, 1.7)).place(volume)
    assert not placement.copies
    on_grid = placement.to_network(volume)
    points = np.moveaxis(np.indices(on_grid.shape), 0, -1) @ placement.affine[:3, :3].T + placement.affine[:3, 3]
    inverse = np.linalg.inv(affine)
    indices = points @ inverse[:3, :3].T + inverse[:3, 3]
    inside = ((indices >= 0) & (indices <= np.asarray(shape) - 1)).all(axis=-1)
    assert inside.sum() > 200
    np.testing.assert_allclose(on_grid[inside], ramp(points)[inside], atol=2e-3)
    # and back: inside the grid's own box the ramp is there again
    back = placement.to_subject(on_grid, fill=np.nan)
    world = volume.world(np.moveaxis(np.indices(shape), 0, -1))
    own = world @ np.linalg.inv(placement.affine)[:3, :3].T + np.linalg.inv(placement.affine)[:3, 3]
    deep = ((own >= 1) & (own <= np.asarray(on_grid.shape) - 2)).all(axis=-1)
    np.testing.assert_allclose(back.array[deep], ramp(world)[deep], atol=2e-3)


def test_masks_stay_masks_and_maps_stay_float32() -> None:
    mask = Volume(np.random.default_rng(0).random((12, 14, 10)) > 0.5, np.diag([2.0, 2, 2, 1]))
    for spacing in (2.0, 3.0):
        placement = Grid((16, 16, 16), (spacing,) * 3).place(mask)
        there = placement.to_network(mask)
        back = placement.to_subject(there).array
        assert there.dtype == bool
        assert back.dtype == bool
    assert placement.to_network(Volume(mask.array.astype(np.float32), mask.affine)).dtype == np.float32


def test_grid_is_centred_on_the_brain_and_covered_says_how_much_of_it_is_inside() -> None:
    brain = np.zeros((40, 40, 40), dtype=bool)
    brain[4:24, 10:30, 20:36] = True  # 20 x 20 x 16
    affine = np.diag([1.0, 1, 1, 1])
    volume = Volume(brain.astype(np.float32), affine)
    whole = Grid((24, 24, 24), (1.0, 1.0, 1.0)).place(volume, Volume(brain, affine))
    assert whole.to_network(Volume(brain, affine)).sum() == brain.sum()
    assert whole.covered == 1.0
    part = Grid((16, 16, 16), (1.0, 1.0, 1.0)).place(volume, Volume(brain, affine))
    assert part.covered == pytest.approx(16 / 20 * 16 / 20)
    assert part.to_network(Volume(brain, affine)).all()
    np.testing.assert_array_equal(part.start, [6, 12, 20])


def test_fitting_grid_holds_the_largest_brain_in_multiples() -> None:
    def subject(name: str, size: tuple[int, int, int], spacing: float) -> Subject:
        brain = np.zeros((40, 40, 40), dtype=bool)
        brain[: size[0], : size[1], : size[2]] = True
        affine = np.diag([spacing, spacing, spacing, 1])
        files = {"dvr": Volume(brain.astype(np.float32), affine), "brain": Volume(brain, affine)}
        return Subject(name, files=files)

    subjects = [subject("a", (20, 30, 10), 2.0), subject("b", (17, 17, 33), 1.0)]
    assert result_of(fitting_grid(subjects, None, 8)) == Grid((24, 32, 24), (2.0, 2.0, 2.0))  # 40, 60, 33 mm
    assert result_of(fitting_grid(subjects, 1.0, 16)) == Grid((48, 64, 48), (1.0, 1.0, 1.0))


def test_a_volume_of_another_grid_is_refused() -> None:
    placement = Grid((16, 16, 16), (2.0, 2.0, 2.0)).place(Volume(np.ones((8, 8, 8)), np.eye(4)))
    with pytest.raises(ValueError, match="shape"):
        placement.to_network(Volume(np.ones((8, 8, 9)), np.eye(4)))


@pytest.mark.parametrize("spacing", [1.0, 0.7, 1.6])
@pytest.mark.parametrize("case", CASES)
def test_a_brains_values_come_from_its_box_and_from_each_of_its_sides(case: str, spacing: float) -> None:
    codes, own, shape, degrees = CASES[case]
    reference = Volume(np.zeros(shape, dtype=np.float32), oblique(own, shape, codes, degrees))
    brain = np.zeros(shape, dtype=bool)
    brain[3:10, 4:9, 2:8] = True
    order = [int(axis) for axis in axcodes2ornt(codes)[:, 0]]
    along = np.empty(3)
    along[order] = own
    placement = Grid((32, 40, 32), tuple(spacing * along)).place(reference, Volume(brain, reference.affine))  # type: ignore[arg-type]
    box = placement.box(brain)
    array = np.random.default_rng(0).normal(size=(32, 40, 32)).astype(np.float32)
    expected = placement.to_subject(array).array[brain]

    def kept(part: tuple[slice, ...]) -> np.ndarray:
        out = np.zeros_like(array)
        out[part] = array[part]
        return placement.to_subject(out).array[brain]

    np.testing.assert_allclose(kept(box), expected, atol=1e-6)
    for axis, side in enumerate(box):
        for smaller in (slice(side.start + 1, side.stop), slice(side.start, side.stop - 1)):
            part = tuple(smaller if each == axis else box[each] for each in range(3))
            assert np.abs(kept(part) - expected).max() > 1e-2


def test_without_a_brain_the_box_is_the_subjects_volume_inside_the_grid() -> None:
    volume = Volume(np.zeros((20, 24, 18), dtype=np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
    placement = Grid((32, 16, 24), (2.0, 2.0, 2.0)).place(volume)
    expected = (slice(6, 26), slice(0, 16), slice(3, 21))
    assert placement.box() == placement.box(np.zeros(volume.shape, dtype=bool)) == expected
