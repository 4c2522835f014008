"""Head motion between the volumes of a series: estimated once, applied together with whatever follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from nibabel.affines import apply_affine

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.prepare.registration import align
from napari_myelin.core.prepare.resampling import resample
from napari_myelin.core.prepare.series import Series
from napari_myelin.core.prepare.transforms import Chain, rotation_of

FURTHEST = 15.0  # mm and degrees: a head in a coil does not move further


@dataclass(frozen=True, eq=False)
class Motion:
    """Where the head lay in each volume.

    ``matrices`` (N, 4, 4) map points of the reference to points of volume n, RAS+ mm. ``shift`` (N,) is the mean
    distance in mm that the points of the head moved, ``turn`` (N,) the rotation in degrees. ``lost`` are volumes whose
    registration came out further away than a head can move, and was not taken.
    """

    matrices: np.ndarray
    shift: np.ndarray
    turn: np.ndarray
    lost: tuple[int, ...] = ()

    def notes(self) -> list[str]:
        """Return in sentences how much the head moved."""
        said = [f"head motion: {self.shift.mean():.2f} mm on average, {self.shift.max():.2f} mm at most"]
        if self.lost:
            numbers = ", ".join(map(str, self.lost[:8])) + (", ..." if len(self.lost) > 8 else "")
            said.append(f"volumes {numbers} (from 0) could not be registered and are left where they are: look at them")
        return said


def estimate_motion(series: Series, reference: Volume, groups: Sequence[Sequence[int]], mask: np.ndarray) -> Motion:
    """Register volumes to a reference, rigidly.

    Parameters
    ----------
    series
        The volumes.
    reference
        On the grid of the series.
    groups
        Volumes that are registered as one, their mean: single numbers, or frames too short for a registration of
        their own. Volumes in no group count as not having moved.
    mask
        (I, J, K) bool, of the head.
    """
    matrices = np.tile(np.eye(4), (series.count, 1, 1))
    for group in groups:
        matrices[list(group)] = align(reference, series.mean(np.asarray(group)), mask=mask).matrix
    head = Volume(mask, reference.affine)
    found = measured(matrices, head)
    lost = np.flatnonzero((found.shift > FURTHEST) | (found.turn > FURTHEST))
    matrices[lost] = np.eye(4)
    return replace(measured(matrices, head), lost=tuple(int(number) for number in lost))


def measured(matrices: np.ndarray, head: Volume) -> Motion:
    """Return matrices (N, 4, 4) with how far and how much each moves the points of ``head``, a mask."""
    points = head.world(np.argwhere(head.array)[:: max(1, int(head.array.sum()) // 5000)])
    shift = [float(np.linalg.norm(apply_affine(matrix, points) - points, axis=1).mean()) for matrix in matrices]
    cosine = [(np.trace(rotation_of(matrix)) - 1) / 2 for matrix in matrices]
    return Motion(matrices, np.array(shift), np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))


def resample_series(series: Series, grid: Volume, chains: Sequence[Chain]) -> Series:
    """Return a series on another grid, each volume through its own chain (grid's points to the volume's).

    Volumes whose chain is the identity onto their own grid are copied, not interpolated.
    """
    out = np.empty((*grid.shape, series.count), dtype=np.float32)
    same = series.volume(0).same_grid(grid, tolerance=1e-4)
    for number, chain in enumerate(chains):
        still = same and chain.matrix is not None and np.array_equal(chain.matrix, np.eye(4))
        volume = series.volume(number)
        out[..., number] = volume.array if still else resample(volume, grid, chain).array
    return Series(out, grid.affine.copy())
