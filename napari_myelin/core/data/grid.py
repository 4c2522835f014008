"""The network's grid, and the way from a subject's own space to it and back."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from scipy.ndimage import affine_transform

from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.events import Progress

SAME = 0.01  # relative difference of spacing below which voxels are copied and never interpolated
RAS = np.array([[0, 1], [1, 1], [2, 1]])


@dataclass(frozen=True)
class Grid:
    """The box of voxels that the network sees, along right, anterior, superior.

    Parameters
    ----------
    shape
        Voxels.
    spacing
        mm.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the grid for JSON."""
        return {"shape": list(self.shape), "spacing": list(self.spacing)}

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Grid:
        """Return what `to_dict` wrote."""
        i, j, k = (int(edge) for edge in table["shape"])
        x, y, z = (float(edge) for edge in table["spacing"])
        return cls((i, j, k), (x, y, z))

    def place(self, reference: Volume, brain: Volume | None = None) -> Placement:
        """Return where this grid lies in a subject.

        The grid's axes are the subject's own, permuted and flipped to be nearest to right, anterior, superior:
        an oblique subject stays oblique and is not rotated. Where the spacings agree within 1 %, voxels are
        copied, so that nothing is lost; elsewhere they are interpolated along the axes. The grid is centred on
        the brain's bounding box.

        Parameters
        ----------
        reference
            Its shape and affine are the subject's own space.
        brain
            bool, on the same grid; without it (or where it is empty) the whole volume is centred on.
        """
        orientation = io_orientation(reference.affine)
        canonical_affine = reference.affine @ inv_ornt_aff(orientation, reference.shape)
        low, high = _box(reference, brain, orientation)
        spacing = np.linalg.norm(canonical_affine[:3, :3], axis=0)
        scale = np.asarray(self.spacing) / spacing
        scale = np.where(np.abs(scale - 1) < SAME, 1.0, scale)
        centre = (low + high - 1) / 2
        start = centre - scale * (np.asarray(self.shape) - 1) / 2
        if (scale == 1).all():
            start = np.floor(start + 1e-6)  # whole voxels: a copy, not an interpolation
        inside = 1.0
        for axis in range(3):
            first, last = start[axis], start[axis] + scale[axis] * (self.shape[axis] - 1)
            size = high[axis] - low[axis]
            inside *= max(0.0, min(high[axis] - 0.5, last + 0.5) - max(low[axis] - 0.5, first - 0.5)) / size
        return Placement(self, reference, orientation, canonical_affine, start, scale, min(1.0, inside))


def _box(reference: Volume, brain: Volume | None, orientation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return first and one past last voxel of the brain along the canonical axes."""
    if brain is None or not brain.array.any():
        shape = apply_orientation(np.broadcast_to(np.uint8(0), reference.shape), orientation).shape
        return np.zeros(3), np.asarray(shape, dtype=float)
    array = apply_orientation(brain.array, orientation)
    low, high = [], []
    for axis in range(3):
        used = np.flatnonzero(array.any(axis=tuple(other for other in range(3) if other != axis)))
        low.append(used[0])
        high.append(used[-1] + 1)
    return np.asarray(low, dtype=float), np.asarray(high, dtype=float)


@dataclass(frozen=True, eq=False)
class Placement:
    """A grid laid into one subject's space: there and back.

    ``start`` and ``scale`` give, along the canonical axes, the subject's voxel index of the grid's first voxel and
    the subject's voxels a step; ``covered`` is the share of the brain's bounding box inside the grid, in [0, 1].
    """

    grid: Grid
    reference: Volume
    orientation: np.ndarray
    canonical_affine: np.ndarray
    start: np.ndarray
    scale: np.ndarray
    covered: float

    @property
    def affine(self) -> np.ndarray:
        """(4, 4), voxel indices of the network's grid to RAS+ mm."""
        step = np.eye(4)
        step[:3, :3] = np.diag(self.scale)
        step[:3, 3] = self.start
        return np.asarray(self.canonical_affine @ step)

    @property
    def copies(self) -> bool:
        """Whether voxels are copied, not interpolated."""
        return bool((self.scale == 1).all())

    def to_network(self, volume: Volume, order: int = 1) -> np.ndarray:
        """Return a volume of the subject on the network's grid, 0 outside.

        Parameters
        ----------
        volume
            On the subject's own grid.
        order
            1 is linear, 0 nearest neighbour; a mask is always nearest. It matters only where spacings differ.

        Raises
        ------
        ValueError
            If the volume is not on the subject's grid.
        """
        if volume.shape != self.reference.shape:
            raise ValueError(f"the volume has shape {volume.shape}, the subject's grid {self.reference.shape}")
        array = apply_orientation(volume.array, self.orientation)
        mask = array.dtype == bool
        if self.copies:
            out = np.zeros(self.grid.shape, dtype=bool if mask else np.float32)
            there, here = self._overlap(array.shape)
            out[here] = array[there]
            return out
        moved = affine_transform(
            array.astype(np.uint8 if mask else np.float32),
            self.scale,
            self.start,
            output_shape=self.grid.shape,
            order=0 if mask else order,
            mode="nearest" if self._inside(array.shape) else "grid-constant",
        )
        return np.asarray(moved.astype(bool) if mask else moved)

    def to_subject(self, array: np.ndarray, fill: float = 0.0, order: int = 1) -> Volume:
        """Return an array of the network's grid as a volume on the subject's own grid.

        Parameters
        ----------
        array
            (I, J, K) of the grid's shape.
        fill
            Value outside the network's grid.
        order
            As for `to_network`.
        """
        canonical = apply_orientation(np.broadcast_to(np.uint8(0), self.reference.shape), self.orientation).shape
        mask = array.dtype == bool
        if self.copies:
            out = np.full(canonical, fill, dtype=bool if mask else np.float32)
            there, here = self._overlap(canonical)
            out[there] = array[here]
        else:
            back = affine_transform(
                array.astype(np.uint8 if mask else np.float32),
                1 / self.scale,
                -self.start / self.scale,
                output_shape=canonical,
                order=0 if mask else order,
                mode="grid-constant",
                cval=fill,
            )
            out = back.astype(bool) if mask else back
        own = apply_orientation(out, ornt_transform(RAS, self.orientation))
        return Volume(np.ascontiguousarray(own), self.reference.affine.copy())

    def box(self, brain: np.ndarray | None = None) -> tuple[slice, slice, slice]:
        """Return the voxels of the grid that `to_subject` takes a brain's values from.

        Parameters
        ----------
        brain
            bool, on the subject's own grid; without it (or where it is empty) all of the subject's volume.
        """
        mask = None if brain is None else Volume(brain, self.reference.affine)
        low, high = _box(self.reference, mask, self.orientation)
        first = np.maximum(0, np.floor((low - self.start) / self.scale)).astype(int)
        last = np.minimum(np.asarray(self.grid.shape) - 1, np.ceil((high - 1 - self.start) / self.scale)).astype(int)
        i, j, k = (slice(int(a), int(b) + 1) for a, b in zip(first, last, strict=True))
        return i, j, k

    def _overlap(self, shape: Iterable[int]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        there, here = [], []
        for size, start, edge in zip(shape, self.start.astype(int), self.grid.shape, strict=True):
            first, last = max(0, start), min(size, start + edge)
            last = max(first, last)
            there.append(slice(first, last))
            here.append(slice(first - start, last - start))
        return tuple(there), tuple(here)

    def _inside(self, shape: Iterable[int]) -> bool:
        last = self.start + self.scale * (np.asarray(self.grid.shape) - 1)
        return bool((self.start >= -0.5).all() and (last <= np.asarray(tuple(shape)) - 0.5).all())


def fitting_grid(
    subjects: Sequence[Subject], spacing: float | None, multiple: int, resample: bool = False
) -> Generator[Progress, None, Grid]:
    """Return the smallest grid that holds every subject's brain.

    Parameters
    ----------
    subjects
        Read one after the other.
    spacing
        mm, isotropic; None takes the first subject's own.
    multiple
        Every edge is a multiple of this.
    resample
        As for `Subject.volume`.
    """
    extents, own = [], None
    for number, subject in enumerate(subjects, 1):
        reference = subject.reference()
        orientation = io_orientation(reference.affine)
        low, high = _box(reference, subject.brain(resample), orientation)
        size = np.linalg.norm((reference.affine @ inv_ornt_aff(orientation, reference.shape))[:3, :3], axis=0)
        own = size if own is None else own
        extents.append((high - low) * size)
        yield Progress("measuring brains", number, len(subjects), subject.key)
    step = np.full(3, spacing) if spacing is not None else np.asarray(own)
    voxels = np.ceil(np.max(extents, axis=0) / step - 1e-3)
    i, j, k = (int(-(-int(count) // multiple) * multiple) for count in voxels)
    x, y, z = (round(float(edge), 4) for edge in step)
    return Grid((i, j, k), (x, y, z))
