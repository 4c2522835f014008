"""What a file's header says about where it lies, and what is odd about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, obliquity

from napari_myelin.core.data.header import readable

OBLIQUE = 1.0  # degrees from which a grid counts as oblique
DISAGREE = 0.5  # mm between the two places a header gives, from which it is said
PLACES = 4  # dimensions of a series


def header_notes(path: Path) -> list[str]:
    """Return in sentences what is odd about a NIfTI header; an empty list where nothing is.

    Looked at are the angle of the grid, whether sform and qform agree (nibabel,
    and so all of this, takes the sform where both are set), scaled integers, and 4D files that hold one volume.

    Parameters
    ----------
    path
        A file that can be read; its voxels are not.

    Raises
    ------
    MyelinError
        If it cannot be read.
    """
    with readable(path):
        image: Any = nib.load(path)
        header = image.header
        qform, qcode = header.get_qform(coded=True)
        sform, scode = header.get_sform(coded=True)
    notes = []
    if not qcode and not scode:
        notes.append("the header does not say where the image lies: its middle is taken for the origin, left is first")
    elif qcode and scode:
        notes.extend(_disagreement(qform, sform, image.shape[:3]))
    angle = float(np.rad2deg(obliquity(image.affine).max()))
    if angle >= OBLIQUE:
        notes.append(f"oblique by {angle:.1f} degrees")
    slope, offset = image.dataobj.slope, image.dataobj.inter
    if (slope, offset) != (1, 0):
        notes.append(f"stored as {header.get_data_dtype()} times {slope:g} plus {offset:g}: the scaling is applied")
    if len(image.shape) == PLACES and image.shape[3] == 1:
        notes.append("a 4D file with one volume: read as 3D")
    return notes


def _disagreement(qform: np.ndarray, sform: np.ndarray, shape: tuple[int, ...]) -> list[str]:
    if np.sign(np.linalg.det(qform[:3, :3])) != np.sign(np.linalg.det(sform[:3, :3])):
        return [
            "sform and qform disagree about left and right: the sform is used; "
            "look whether the left side is the left side, or set both to the true one"
        ]
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1).T
    apart = float(np.linalg.norm(apply_affine(qform, corners) - apply_affine(sform, corners), axis=1).max())
    return [f"sform and qform disagree by up to {apart:.1f} mm: the sform is used"] if apart > DISAGREE else []
