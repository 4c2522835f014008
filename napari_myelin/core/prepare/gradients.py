"""Diffusion gradients: b values, b-vectors, and what their axes are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_myelin.core.errors import MyelinError
from napari_myelin.core.prepare.transforms import rotation_of

B0 = 50.0  # s/mm2 up to which a volume counts as not weighted
FEWEST = 6  # directions that a tensor needs
AXES = 3
ROUNDED = 0.01  # by which a unit vector may differ from length 1


@dataclass(frozen=True, eq=False)
class Gradients:
    """b values in s/mm2, (N,), and unit vectors, (N, 3), zero where a volume has none; float64.

    ``notes`` say what was read leniently. What the vectors' axes are is not said: see `to_world`.
    """

    bvals: np.ndarray
    bvecs: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def weighted(self) -> np.ndarray:
        """Which volumes are diffusion-weighted, (N,) bool."""
        return np.asarray(self.bvals > B0)

    def take(self, chosen: np.ndarray) -> Gradients:
        """Return those of some volumes."""
        return Gradients(self.bvals[chosen], self.bvecs[chosen], self.notes)


def read_gradients(bval: Path, bvec: Path, count: int) -> Gradients:
    """Read FSL's two text files; vectors may stand in rows or in columns.

    Parameters
    ----------
    bval, bvec
        The files.
    count
        Volumes of the image.

    Raises
    ------
    MyelinError
        If they cannot be read, do not fit the image, have no volume without weighting or fewer than six directions.
    """
    bvals, table = _numbers(bval).ravel(), np.atleast_2d(_numbers(bvec))
    if table.shape[0] == AXES and table.shape[1] != AXES:
        table = table.T
    if table.shape[1:] != (AXES,) or not len(table) == len(bvals) == count:
        raise MyelinError(
            f"{bvec.name} holds {len(table)} vectors and {bval.name} {len(bvals)} b values, "
            f"the image has {count} volumes: give the table that belongs to it"
        )
    notes = []
    lengths = np.linalg.norm(np.nan_to_num(table), axis=1)
    weighted = bvals > B0
    if lost := int((weighted & (lengths < 1e-3)).sum()):
        raise MyelinError(f"{bvec.name} has no direction for {lost} volumes with b above {B0:g} s/mm2: repair it")
    if weighted.any() and (np.abs(lengths[weighted] - 1) >= ROUNDED).any():
        notes.append("b-vectors that are not of length 1 are scaled to it; b values are taken as they stand")
    # within a hundredth of 1 they are rounded, or meant: dipy takes them as they stand, and so do we
    vectors = np.nan_to_num(table) / np.where((lengths < 1e-3) | (np.abs(lengths - 1) < ROUNDED), 1, lengths)[:, None]
    if weighted.all():
        raise MyelinError(
            f"{bval.name} has no b value of {B0:g} s/mm2 or less: the fit needs a volume without weighting"
        )
    directions = np.unique(
        np.round(vectors[weighted] * np.sign(vectors[weighted] @ [1, 1e-3, 1e-6])[:, None], 3), axis=0
    )
    if len(directions) < FEWEST:
        raise MyelinError(f"{bvec.name} has {len(directions)} directions, expected {FEWEST} or more for a tensor")
    return Gradients(bvals, vectors, tuple(notes))


def _numbers(path: Path) -> np.ndarray:
    try:
        return np.loadtxt(path, dtype=np.float64, ndmin=1)
    except (OSError, ValueError) as error:
        raise MyelinError(f"{path} cannot be read as a table of numbers: {error}") from error


def frame_of(convention: str, affine: np.ndarray) -> np.ndarray:
    """Return the matrix (3, 3) that turns b-vectors of a convention into RAS+ directions.

    Parameters
    ----------
    convention
        ``fsl``: along the image's axes, the first mirrored where the image is right-handed (FSL's way of keeping
        tables as if first voxels lay to the right); ``scanner``: RAS+ already.
    affine
        (4, 4) of the image.
    """
    if convention == "scanner":
        return np.eye(3)
    mirror = np.diag([-1.0 if np.linalg.det(affine[:3, :3]) > 0 else 1.0, 1.0, 1.0])
    return np.asarray(rotation_of(affine) @ mirror)
