"""Volumes as SimpleITK images and back, and its matrices as ours."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_myelin.core.data.transform import LPS
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.prepare.libraries import library

_FLIP = np.diag([*LPS, 1.0])  # ITK's x and y point to left and posterior


def to_itk(volume: Volume) -> Any:
    """Return a volume as a SimpleITK image: float32, or uint8 for a mask."""
    sitk = library("SimpleITK")
    kind = np.uint8 if volume.array.dtype == bool else np.float32
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array.T, dtype=kind))
    affine = _FLIP @ volume.affine
    spacing = np.asarray(volume.spacing)
    image.SetSpacing([float(edge) for edge in spacing])
    image.SetOrigin([float(each) for each in affine[:3, 3]])
    image.SetDirection([float(each) for each in (affine[:3, :3] / spacing).ravel()])
    return image


def array_of(image: Any) -> np.ndarray:
    """Return a SimpleITK image's voxels as (I, J, K) or (I, J, K, C)."""
    array = library("SimpleITK").GetArrayFromImage(image)
    return np.ascontiguousarray(np.moveaxis(array, [0, 1, 2], [2, 1, 0]))


def to_itk_affine(matrix: np.ndarray) -> Any:
    """Return a matrix (4, 4), RAS+ mm points to points, as a SimpleITK affine transform."""
    flipped = _FLIP @ matrix @ _FLIP
    transform = library("SimpleITK").AffineTransform(3)
    transform.SetMatrix([float(each) for each in flipped[:3, :3].ravel()])
    transform.SetTranslation([float(each) for each in flipped[:3, 3]])
    return transform


def matrix_of(transform: Any) -> np.ndarray:
    """Return a SimpleITK rigid or affine transform as a matrix (4, 4), RAS+ mm points to points."""
    linear = np.asarray(transform.GetMatrix()).reshape(3, 3)
    centre, shift = np.asarray(transform.GetCenter()), np.asarray(transform.GetTranslation())
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = shift + centre - linear @ centre
    return np.asarray(_FLIP @ matrix @ _FLIP)
