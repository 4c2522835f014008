"""Non-linear registration: a phantom moved by a known affine and warp comes back; gains, folds and inverses."""

from __future__ import annotations

import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy.ndimage import gaussian_filter, map_coordinates

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.phantom.cohort import make_subject
from napari_myelin.core.phantom.options import PhantomOptions
from napari_myelin.core.prepare.anatomy import brain_mask, template_t1w, unbiased
from napari_myelin.core.prepare.deform import deform, unfolded, volume_change
from napari_myelin.core.prepare.nonlinear import jacobian, warp_to_template
from napari_myelin.core.prepare.raw_phantom import Head, make_scan, t1w
from napari_myelin.core.prepare.registration import align

VOXEL = 2.0  # mm, of the phantom


def test_a_phantom_moved_by_a_known_affine_and_warp_comes_back_within_half_a_voxel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("napari_myelin.core.prepare.nonlinear.WORKING", 2.5)  # a fifth of the work, and less exact
    phantom = make_subject(0, PhantomOptions(patients=1, controls=0, shape=(80, 98, 80), spacing=VOXEL, seed=3))
    head, random = Head(phantom), np.random.default_rng(3)
    scan = make_scan(random, head, (1.7, 1.7, 1.7), left_first=True)
    image = Volume(t1w(random, head, scan), scan.affine)  # skull, receive field, noise, a pose of its own
    brain = brain_mask(image).array
    corrected, _ = unbiased(image, brain)
    model, _ = template_t1w()
    start = align(Volume(np.where(brain, corrected.array, 0), image.affine), model, "affine", mask=brain, centre=True)
    found = warp_to_template(corrected, brain, model, start.matrix)
    points = apply_affine(image.affine, np.argwhere(brain)[::7])
    own = apply_affine(np.linalg.inv(scan.pose), points)
    points, truth = points[head.at(own).maps["brain"] > 0.5], phantom.to_template(own)[head.at(own).maps["brain"] > 0.5]

    def error(there: np.ndarray) -> float:
        return float(np.linalg.norm(there - truth, axis=1).mean()) / VOXEL

    assert error(apply_affine(start.matrix, points)) > 0.8
    assert error(found.to_template(points)) < 0.5
    # it can be inverted, and says so
    back = found.from_template(found.to_template(points))
    assert np.linalg.norm(back - points, axis=1).mean() < 0.2
    assert found.folded == 0
    assert jacobian(found.to_template).min() > 0


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    """Something to hold on to at every scale that matters, 1 on average."""
    noise = np.random.default_rng(0).standard_normal((36, 40, 32)).astype(np.float32)
    fine = gaussian_filter(noise, 1.5)
    return np.asarray(1 + 0.4 * fine / fine.std(), dtype=np.float32)


def warped(texture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The texture, and a displacement in mm under which it looks like what is returned first."""
    random = np.random.default_rng(1)
    field = np.stack([gaussian_filter(random.standard_normal(texture.shape), 5) for _ in range(3)], axis=-1)
    field *= 1.5 / field.std()
    where = np.moveaxis(np.indices(texture.shape), 0, -1) + field / 2.0
    return map_coordinates(texture, np.moveaxis(where, -1, 0), order=3, mode="nearest").astype(np.float32), field


def test_neither_contrast_nor_a_receive_field_matters(texture: np.ndarray) -> None:
    fixed, field = warped(texture)
    weight = np.ones(texture.shape, dtype=np.float32)
    shade = np.linspace(0.6, 1.4, texture.shape[1], dtype=np.float32)[:, None]
    inner = (slice(6, -6),) * 3
    size = np.linalg.norm(field[inner], axis=-1).mean()
    for image in (fixed, 2 - fixed, fixed * shade):
        error = np.linalg.norm(deform(image, texture, weight, 2.0) - field, axis=-1)[inner].mean()
        assert error < 0.25 * size


def test_the_same_image_is_not_moved_and_outside_the_weight_nothing_counts(texture: np.ndarray) -> None:
    weight = np.ones(texture.shape, dtype=np.float32)
    assert np.abs(deform(texture, texture, weight, 2.0)).max() < 0.05
    other = np.where(np.indices(texture.shape)[0] < 18, texture, texture[::-1])
    weight = (np.indices(texture.shape)[0] < 18).astype(np.float32)
    assert np.abs(deform(other, texture, weight, 2.0)[:12]).max() < 0.2


def test_folds_are_taken_out_and_only_they() -> None:
    field = np.zeros((30, 30, 30, 3), dtype=np.float32)
    field[:, :, :, 1] = 0.5 * np.sin(np.arange(30) / 5)[:, None, None]
    field[14, 15, 15, 0] = 9.0  # over its neighbours
    assert volume_change(field, 2.0).min() < 0
    made = unfolded(field, 2.0)
    assert volume_change(made, 2.0).min() >= 0.1
    np.testing.assert_array_equal(made[:6], field[:6])
    stretched = np.zeros((8, 8, 8, 3))
    stretched[..., 0] = 0.5 * 2.0 * np.arange(8)[:, None, None]  # mm
    np.testing.assert_allclose(volume_change(stretched, 2.0), 1.5)
