"""Displacement fields: stored in ITK's convention, read back."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_myelin.core.data.transform import PointTransform, read_transform, write_transform
from napari_myelin.core.errors import MyelinError


def test_points_move_by_the_displacement_interpolated(tmp_path: Path) -> None:
    affine = np.diag([10.0, 10, 10, 1])
    field = np.zeros((4, 4, 4, 3), dtype=np.float32)
    field[..., 0] = np.arange(4)[:, None, None]  # grows by 1 mm every 10 mm along x
    field[..., 2] = 2.0
    transform = PointTransform(field, affine)
    np.testing.assert_allclose(transform(np.array([[15.0, 5.0, 5.0]])), [[16.5, 5.0, 7.0]])
    np.testing.assert_allclose(transform(np.array([[-50.0, 0, 0]])), [[-50.0, 0, 2.0]])  # the nearest value outside
    write_transform(tmp_path / "x.nii.gz", transform)
    again = read_transform(tmp_path / "x.nii.gz")
    np.testing.assert_allclose(again.displacement, field, atol=1.1e-3)
    np.testing.assert_allclose(again.affine, affine)


def test_vectors_on_disk_are_itks_left_posterior_superior(tmp_path: Path) -> None:
    field = np.broadcast_to(np.array([1.0, 2.0, 3.0], dtype=np.float32), (2, 2, 2, 3))
    write_transform(tmp_path / "x.nii.gz", PointTransform(field, np.eye(4)))
    image = nib.load(tmp_path / "x.nii.gz")
    assert image.shape == (2, 2, 2, 1, 3)
    assert image.header.get_intent()[0] == "vector"
    np.testing.assert_allclose(image.get_fdata()[0, 0, 0, 0], [-1, -2, 3], atol=1e-6)


def test_what_is_no_field_is_said(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), dtype=np.float32), np.eye(4)), tmp_path / "x.nii.gz")
    with pytest.raises(MyelinError, match=r"expected a displacement field \(I, J, K, 1, 3\)"):
        read_transform(tmp_path / "x.nii.gz")
    (tmp_path / "y.nii.gz").write_bytes(b"no")
    with pytest.raises(MyelinError, match="cannot be read"):
        read_transform(tmp_path / "y.nii.gz")
