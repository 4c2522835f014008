"""Opening a NIfTI file without reading its voxels: what it is, and where it lies."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from napari_myelin.core.errors import MyelinError


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a NIfTI file is read into a sentence.

    Raises
    ------
    MyelinError
        The file is missing, no NIfTI, truncated or damaged.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise MyelinError(f"{path} does not exist: correct the path or leave the entry out") from error
    except nib.filebasedimages.ImageFileError as error:
        raise MyelinError(f"{path} is not a NIfTI file that can be read: convert it to .nii.gz") from error
    except (EOFError, OSError, OverflowError, ValueError, zlib.error, nib.spatialimages.HeaderDataError) as error:
        raise MyelinError(f"{path} cannot be read to its end (truncated or damaged): copy it again") from error


def open_image(path: Path) -> tuple[Any, tuple[int, int, int], np.ndarray]:
    """Return a NIfTI image whose voxels are not read yet, its three dimensions, and its affine (4, 4), RAS+ mm.

    Raises
    ------
    MyelinError
        If the file is missing, empty, no NIfTI, 4D, in colours, or lies nowhere.
    """
    with readable(path):
        if path.stat().st_size == 0:
            raise MyelinError(f"{path} is empty: copy it again")
        image: Any = nib.load(path)
        shape = image.shape
    if len(shape) < 3 or any(extra != 1 for extra in shape[3:]):
        raise MyelinError(f"{path} has shape {shape}, expected three dimensions: extract one volume")
    if image.get_data_dtype().kind not in "iuf":
        raise MyelinError(f"{path} holds colours or complex numbers, expected one real number a voxel: convert it")
    affine = np.asarray(image.affine, dtype=np.float64)
    if not abs(np.linalg.det(affine[:3, :3])) > 0:  # NaN is not above 0 either
        raise MyelinError(f"{path} does not say where its voxels lie (its affine has no inverse): repair its header")
    return image, shape[:3], affine
