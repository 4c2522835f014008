"""A volume: an array and where it lies in the world; reading and writing NIfTI."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy.ndimage import affine_transform

from napari_myelin.core.data.header import open_image, readable
from napari_myelin.core.errors import MyelinError


@dataclass(frozen=True, eq=False)
class Volume:
    """A 3D image with its place in the world.

    Parameters
    ----------
    array
        (I, J, K) in the file's own orientation; maps are float32, masks bool.
    affine
        (4, 4), voxel indices to millimetres in RAS+ (x to the right, y to anterior, z to superior).
    """

    array: np.ndarray
    affine: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along the array's axes."""
        i, j, k = self.array.shape
        return i, j, k

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm along the array's axes."""
        i, j, k = voxel_sizes(self.affine)
        return float(i), float(j), float(k)

    @property
    def orientation(self) -> str:
        """Nearest anatomical direction of each axis, such as ``LAS``."""
        return "".join(nib.aff2axcodes(self.affine))

    @property
    def voxel_volume(self) -> float:
        """Volume of a voxel in mm3."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    def world(self, indices: Any) -> np.ndarray:
        """Return the RAS+ mm coordinates (..., 3) of voxel ``indices`` (..., 3)."""
        return np.asarray(apply_affine(self.affine, np.asarray(indices)))

    def same_grid(self, other: Volume, tolerance: float = 1e-2) -> bool:
        """Return whether both have the same shape and every corner within ``tolerance`` mm."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T
        return bool(np.abs(self.world(corners) - other.world(corners)).max() < tolerance)

    def resampled_to(self, reference: Volume, order: int = 1) -> Volume:
        """Return this volume on the grid of ``reference``; zero outside its own.

        Parameters
        ----------
        reference
            Only its shape and affine matter.
        order
            1 is linear; 0 is nearest neighbour, which masks get whatever is asked for.
        """
        to_source = np.linalg.inv(self.affine) @ reference.affine
        mask = self.array.dtype == bool
        array = affine_transform(
            self.array.astype(np.uint8 if mask else np.float32),
            to_source[:3, :3],
            to_source[:3, 3],
            output_shape=reference.shape,
            order=0 if mask else order,
            mode="grid-constant",
        )
        return Volume(array.astype(bool) if mask else array, reference.affine.copy())


def read_volume(path: Path, *, mask: bool = False) -> Volume:
    """Read a 3D NIfTI file (a 4D one with a single volume counts as 3D).

    Parameters
    ----------
    path
        ``.nii`` or ``.nii.gz``.
    mask
        The file is a mask with one label (0 and 1, or 0 and any other number): bool is returned.

    Raises
    ------
    MyelinError
        If the file is missing, empty, truncated, no NIfTI, 4D, in colours, lies nowhere, or is a mask with several
        labels.
    """
    image, shape, affine = open_image(path)
    with readable(path):
        array = np.asarray(image.get_fdata(dtype=np.float32, caching="unchanged")).reshape(shape)
    return Volume(_one_label(array, path) if mask else array, affine)


def read_grid(path: Path) -> Volume:
    """Return where a NIfTI file lies, from its header alone: a volume of zeros that takes no memory.

    Raises
    ------
    MyelinError
        As `read_volume`, but for what only its voxels tell.
    """
    _, shape, affine = open_image(path)
    return Volume(np.broadcast_to(np.uint8(0), shape), affine)


def _one_label(array: np.ndarray, path: Path) -> np.ndarray:
    labels = np.unique(array)
    if not np.isfinite(labels).all():
        raise MyelinError(f"the mask {path} holds NaN or infinity, expected 0 and one label: make it binary")
    others = labels[labels != 0]
    if len(others) > 1:
        found = ", ".join(f"{label:g}" for label in labels[:6])
        raise MyelinError(
            f"the mask {path} holds the values {found}{', ...' if len(labels) > 6 else ''}, "
            "expected 0 and one label: make it binary"
        )
    return np.asarray(array != 0)


def content_digest(array: np.ndarray) -> str:
    """Return 12 digits that tell a map from any other, whatever its file and its subject are called."""
    return hashlib.sha256(np.ascontiguousarray(array, dtype=np.float32).tobytes()).hexdigest()[:12]


def write_volume(
    path: Path,
    volume: Volume,
    *,
    dtype: Any = None,
    step: float | None = None,
    intent: str = "",
    description: str = "",
) -> None:
    """Write a volume as ``.nii.gz`` (or ``.nii``), whole or not at all, the same bytes every time.

    Parameters
    ----------
    path
        Its folders are made.
    volume
        A mask is written as uint8, a map as float32.
    dtype
        Another type to store.
    step
        Store scaled 16-bit integers in steps of this many units instead (values are rounded to it).
    intent, description
        NIfTI header: intent name (15 characters at most) and description (79 at most).

    Raises
    ------
    MyelinError
        If the folder cannot be written to or is full; no half file is left.
    """
    array = volume.array
    if step is not None:
        stored = np.round(array / step)
        if np.abs(stored).max(initial=0) > 32767:
            raise ValueError(f"a step of {step} cannot hold values up to {np.abs(array).max()}")
        image = nib.Nifti1Image(stored.astype(np.int16), volume.affine)
    else:
        kind = dtype or (np.uint8 if array.dtype == bool else np.float32)
        image = nib.Nifti1Image(array.astype(kind), volume.affine)
    write_image(path, image, slope=step, intent=intent, description=description)


def write_image(path: Path, image: Any, *, slope: float | None = None, intent: str = "", description: str = "") -> None:
    """Write a nibabel image in mm and scanner space, atomically, without a time stamp in the gzip header.

    Parameters
    ----------
    path, image
        Where, and what.
    slope
        What the stored integers are to be multiplied with by whoever reads them.
    intent, description
        As for `write_volume`.

    Raises
    ------
    MyelinError
        If the folder cannot be written to or is full.
    """
    image.set_sform(image.affine, code="scanner")
    image.set_qform(image.affine, code="scanner")
    image.header.set_xyzt_units("mm")
    if intent:
        image.header.set_intent(image.header["intent_code"].item() or "estimate", name=intent[:15])
    image.header["descrip"] = description[:79].encode()
    raw = image.to_bytes()
    if slope is not None:
        # set in the bytes: nibabel resets the slope of an image that holds integers when it writes it
        header = image.header.copy()
        header["vox_offset"], header["scl_slope"], header["scl_inter"] = 352, slope, 0
        raw = header.binaryblock + raw[len(header.binaryblock) :]
    if path.suffix != ".gz":
        return write_atomically(path, raw)
    buffer = BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=6, mtime=0, filename="") as file:
        file.write(raw)
    write_atomically(path, buffer.getvalue())


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, making its folders.

    Raises
    ------
    MyelinError
        If it cannot be written; what was there before is untouched.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # the folder itself cannot be written to
            temporary.unlink(missing_ok=True)
        raise MyelinError(f"cannot write {path}: {error.strerror}; choose another folder or free some space") from error
