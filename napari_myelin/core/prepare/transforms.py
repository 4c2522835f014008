"""Transforms of points, one after the other, and affine ones in files that ITK's programs read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine

from napari_myelin.core.data.transform import LPS, PointTransform
from napari_myelin.core.data.volume import write_atomically
from napari_myelin.core.errors import MyelinError

_FLIP = np.diag([*LPS, 1.0])
_HEAD = "#Insight Transform File V1.0"


@dataclass(frozen=True, eq=False)
class Chain:
    """Transforms that are applied in this order: matrices (4, 4) and displacement fields, RAS+ mm points to points."""

    steps: tuple[np.ndarray | PointTransform, ...] = ()

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Return where ``points`` (..., 3) come to lie."""
        for step in self.steps:
            points = step(points) if isinstance(step, PointTransform) else np.asarray(apply_affine(step, points))
        return points

    @property
    def matrix(self) -> np.ndarray | None:
        """All of it as one matrix (4, 4); None where a displacement field is among it."""
        product = np.eye(4)
        for step in self.steps:
            if isinstance(step, PointTransform):
                return None
            product = step @ product
        return product

    def then(self, *steps: np.ndarray | PointTransform) -> Chain:
        """Return the chain with more after it."""
        return Chain((*self.steps, *steps))


def rotation_of(matrix: np.ndarray) -> np.ndarray:
    """Return the rotation (3, 3) nearest to a matrix (4, 4) or (3, 3), or rotation and mirroring where it mirrors."""
    left, _, right = np.linalg.svd(np.asarray(matrix)[:3, :3])
    return np.asarray(left @ right)


def write_matrix(path: Path, matrix: np.ndarray) -> None:
    """Write an affine transform as an ITK text file (LPS), which ANTs, 3D Slicer and ITK-SNAP read.

    Parameters
    ----------
    path
        ``*_xfm.txt``.
    matrix
        (4, 4), RAS+ mm: points of the image that is resampled onto, to points of the one that is resampled.

    Raises
    ------
    MyelinError
        If it cannot be written.
    """
    flipped = _FLIP @ matrix @ _FLIP
    numbers = " ".join(f"{each:.17g}" for each in (*flipped[:3, :3].ravel(), *flipped[:3, 3]))
    text = (
        f"{_HEAD}\n#Transform 0\nTransform: AffineTransform_double_3_3\nParameters: {numbers}\nFixedParameters: 0 0 0\n"
    )
    write_atomically(path, text.encode())


def read_matrix(path: Path) -> np.ndarray:
    """Read an affine transform that `write_matrix` wrote, as (4, 4), RAS+ mm.

    Raises
    ------
    MyelinError
        If it is missing or something else.
    """
    try:
        lines = dict(line.split(": ", 1) for line in path.read_text(encoding="utf-8").splitlines() if ": " in line)
        numbers = np.array(lines["Parameters"].split(), dtype=np.float64)
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = numbers[:9].reshape(3, 3), numbers[9:12]
        if np.array(lines["FixedParameters"].split(), dtype=np.float64).any():
            raise ValueError("a centre of its own")
    except (OSError, ValueError, KeyError) as error:
        raise MyelinError(f"{path} is no ITK affine transform with its centre at 0: {error}") from error
    return np.asarray(_FLIP @ matrix @ _FLIP)
