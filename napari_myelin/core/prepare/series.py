"""4D images: volumes measured one after the other on one grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from napari_myelin.core.data.header import readable
from napari_myelin.core.data.volume import Volume, write_image
from napari_myelin.core.errors import MyelinError


@dataclass(frozen=True, eq=False)
class Series:
    """Volumes on one grid.

    Parameters
    ----------
    array
        (I, J, K, N) float32, N volumes; the file's scaling is applied.
    affine
        (4, 4), voxel indices to RAS+ mm.
    """

    array: np.ndarray
    affine: np.ndarray

    @property
    def count(self) -> int:
        """Volumes."""
        return int(self.array.shape[3])

    def volume(self, number: int) -> Volume:
        """Return one of the volumes, counted from 0."""
        return Volume(self.array[..., number], self.affine)

    def mean(self, chosen: np.ndarray) -> Volume:
        """Return the mean of the volumes that ``chosen`` (N,), bool, or a list of numbers names."""
        return Volume(self.array[..., chosen].mean(axis=3, dtype=np.float32), self.affine)


def read_series(path: Path) -> Series:
    """Read a 4D NIfTI file; a 3D one is a series of one volume.

    Raises
    ------
    MyelinError
        If the file is missing, empty, truncated, no NIfTI, in colours, of other dimensions, or lies nowhere.
    """
    with readable(path):
        if path.stat().st_size == 0:
            raise MyelinError(f"{path} is empty: copy it again")
        image: Any = nib.load(path)
        if image.get_data_dtype().kind not in "iuf":
            raise MyelinError(f"{path} holds colours or complex numbers, expected one real number a voxel: convert it")
        shape = image.shape
        if len(shape) < 3 or any(extra != 1 for extra in shape[4:]):
            raise MyelinError(f"{path} has shape {shape}, expected volumes one after the other (I, J, K, N)")
        array = np.asarray(image.get_fdata(dtype=np.float32, caching="unchanged"))
    affine = np.asarray(image.affine, dtype=np.float64)
    if not abs(np.linalg.det(affine[:3, :3])) > 0:
        raise MyelinError(f"{path} does not say where its voxels lie (its affine has no inverse): repair its header")
    return Series(array.reshape(*shape[:3], -1), affine)


def write_series(path: Path, series: Series) -> None:
    """Write a series as float32 NIfTI, whole or not at all.

    Raises
    ------
    MyelinError
        If it cannot be written.
    """
    write_image(path, nib.Nifti1Image(series.array.astype(np.float32), series.affine))
