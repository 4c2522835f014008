"""The transform from a subject to the template, as a displacement field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy.ndimage import map_coordinates

from napari_myelin.core.data.volume import write_image
from napari_myelin.core.errors import MyelinError

LPS = np.array([-1.0, -1.0, 1.0])  # ITK's vectors point to left and posterior, ours to right and anterior
STEP = 0.002  # mm, of the stored integers


@dataclass(frozen=True, eq=False)
class PointTransform:
    """Where points of a subject lie in the template: ``x + displacement(x)``, RAS+ mm.

    Parameters
    ----------
    displacement
        (I, J, K, 3), RAS+ mm, on a grid of its own (smooth fields are stored coarsely).
    affine
        (4, 4) of that grid.
    """

    displacement: np.ndarray
    affine: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Return the template's coordinates (..., 3) of the subject's ``points`` (..., 3), both RAS+ mm.

        Outside the field's grid its nearest value is taken.
        """
        inverse = np.linalg.inv(self.affine)
        indices = np.moveaxis(points @ inverse[:3, :3].T + inverse[:3, 3], -1, 0)
        moved = [map_coordinates(self.displacement[..., axis], indices, order=1, mode="nearest") for axis in range(3)]
        return np.asarray(points + np.stack(moved, axis=-1))


def write_transform(path: Path, transform: PointTransform) -> None:
    """Write an ITK displacement field: 5D NIfTI, vector intent, LPS mm, 16-bit integers in steps of 0.002 mm.

    The field is defined on the subject and gives template points, so ANTs' ``antsApplyTransforms`` with the subject
    as reference pulls template images into the subject's space with it.

    Raises
    ------
    MyelinError
        If it cannot be written.
    """
    stored = np.round(transform.displacement * LPS / STEP).astype(np.int16)
    image = nib.Nifti1Image(stored[:, :, :, None, :], transform.affine)
    image.header.set_intent("vector")
    write_image(path, image, slope=STEP, description="subject to template, ITK displacement, mm LPS")


def read_transform(path: Path) -> PointTransform:
    """Read a displacement field that `write_transform` or ANTs wrote.

    Raises
    ------
    MyelinError
        If it is missing, damaged, or no displacement field.
    """
    try:
        image: Any = nib.load(path)
        field = np.asarray(image.get_fdata(dtype=np.float32))
    except (OSError, EOFError, ValueError, nib.filebasedimages.ImageFileError) as error:
        raise MyelinError(f"the transform {path} cannot be read: {error}") from error
    if field.ndim != 5 or field.shape[3:] != (1, 3):
        raise MyelinError(f"{path} has shape {field.shape}, expected a displacement field (I, J, K, 1, 3)")
    return PointTransform(field[:, :, :, 0, :] * LPS.astype(np.float32), np.asarray(image.affine))
