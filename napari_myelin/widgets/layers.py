"""A volume as a napari layer and back: the only place that knows both geometries.

A subject is shown axis by axis on its own grid (painting does not work on an oblique layer): the array's axes are
superior, anterior, right, so that the first slider walks axial slices, and coordinates are mm. Where the grid is not
oblique they are the scanner's own RAS+ coordinates; an oblique grid is turned about its centre until it is straight,
and everything shown with it turns along.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.affines import apply_affine
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from scipy.ndimage import affine_transform

from napari_myelin.core.data.volume import Volume

AXES = ("superior", "anterior", "right")
UNITS = ("mm", "mm", "mm")
RAS = np.array([[0, 1], [1, 1], [2, 1]])
PARALLEL = 1e-4  # largest difference of direction cosines of two grids that count as parallel


@dataclass(frozen=True, eq=False)
class Frame:
    """How the grid of one subject is shown.

    Parameters
    ----------
    reference
        Its shape and affine are the subject's own grid; its values do not matter.
    """

    reference: Volume

    @property
    def orientation(self) -> np.ndarray:
        """Orientation (nibabel's) of the own grid against RAS+, (3, 2)."""
        return np.asarray(io_orientation(self.reference.affine))

    @property
    def canonical_affine(self) -> np.ndarray:
        """(4, 4), voxel indices of the grid, reordered to right, anterior, superior, to RAS+ mm."""
        return np.asarray(self.reference.affine @ inv_ornt_aff(self.orientation, self.reference.shape))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along superior, anterior, right."""
        i, j, k = apply_orientation(np.broadcast_to(np.uint8(0), self.reference.shape), self.orientation).shape
        return k, j, i

    @property
    def spacing(self) -> np.ndarray:
        """Voxel size in mm along superior, anterior, right."""
        return np.asarray(np.linalg.norm(self.canonical_affine[:3, :3], axis=0)[::-1])

    @property
    def origin(self) -> np.ndarray:
        """Shown coordinates of the first voxel's centre, mm along superior, anterior, right."""
        last = np.asarray(self.shape) - 1
        centre = apply_affine(self.canonical_affine, last[::-1] / 2)[::-1]
        return np.asarray(centre - self.spacing * last / 2)

    @property
    def to_world(self) -> np.ndarray:
        """(4, 4), shown coordinates (superior, anterior, right) to RAS+ mm."""
        index = np.diag([*(1 / self.spacing), 1.0])
        index[:3, 3] = -self.origin / self.spacing
        return np.asarray(self.canonical_affine @ _swap() @ index)

    def shown(self, world: Any) -> np.ndarray:
        """Return the shown coordinates (..., 3) of RAS+ mm coordinates (..., 3)."""
        return np.asarray(apply_affine(np.linalg.inv(self.to_world), np.asarray(world, dtype=float)))

    def world(self, shown: Any) -> np.ndarray:
        """Return the RAS+ mm coordinates (..., 3) of shown coordinates (..., 3)."""
        return np.asarray(apply_affine(self.to_world, np.asarray(shown, dtype=float)))

    @property
    def placing(self) -> dict[str, Any]:
        """What a layer on the own grid is given: scale, translate, units, axis labels."""
        return _placing(self.spacing, self.origin)

    def array(self, volume: Volume) -> np.ndarray:
        """Return a volume of the own grid as (superior, anterior, right), contiguous, a copy.

        Raises
        ------
        ValueError
            If it is on another grid.
        """
        if volume.shape != self.reference.shape:
            raise ValueError(f"the volume has shape {volume.shape}, the subject's grid {self.reference.shape}")
        return np.array(apply_orientation(volume.array, self.orientation).transpose(2, 1, 0), order="C")

    def volume(self, array: np.ndarray) -> Volume:
        """Return a layer's array (superior, anterior, right) as a volume on the subject's own grid.

        Raises
        ------
        ValueError
            If its shape is not the grid's.
        """
        if array.shape != self.shape:
            raise ValueError(f"the layer has shape {array.shape}, the subject's grid is shown as {self.shape}")
        own = apply_orientation(array.transpose(2, 1, 0), ornt_transform(RAS, self.orientation))
        return Volume(np.ascontiguousarray(own), self.reference.affine.copy())

    def layer(self, volume: Volume) -> tuple[np.ndarray, dict[str, Any], Volume]:
        """Return array and placing of any volume, whatever its grid, and the grid on which the array is written.

        On the own grid, and on any grid whose axes are parallel to it, voxels are shown as they are. A volume that is
        turned against the subject's grid is interpolated along the grid's axes at its own resolution.
        """
        if volume.same_grid(self.reference):
            return self.array(volume), self.placing, grid_of(self.reference)
        other = Frame(volume)
        turned = np.linalg.inv(self.to_world) @ other.to_world
        if np.abs(turned[:3, :3] - np.eye(3)).max() < PARALLEL:
            origin = apply_affine(turned, other.origin)
            return other.array(volume), _placing(other.spacing, origin), grid_of(volume)
        return self._straightened(volume, other)

    def lies(self, shape: tuple[int, ...], scale: Any, translate: Any) -> Volume:
        """Return the grid of a layer that is shown with this scale and place (mm along superior, anterior, right).

        Parameters
        ----------
        shape
            Of the layer's array, (superior, anterior, right).
        scale, translate
            As the layer has them.
        """
        index = np.diag([*scale, 1.0])
        index[:3, 3] = translate
        return Volume(np.broadcast_to(np.uint8(0), shape[::-1]), self.to_world @ index @ _swap())

    def _straightened(self, volume: Volume, other: Frame) -> tuple[np.ndarray, dict[str, Any], Volume]:
        corners = np.array(np.meshgrid(*[(0, edge - 1) for edge in volume.shape])).reshape(3, -1).T
        reach = self.shown(volume.world(corners))
        low, spacing = reach.min(axis=0), other.spacing
        shape = np.ceil((reach.max(axis=0) - low) / spacing).astype(int) + 1
        index = np.diag([*spacing, 1.0])
        index[:3, 3] = low
        to_source = np.linalg.inv(volume.affine) @ self.to_world @ index
        mask = volume.array.dtype == bool
        array = affine_transform(
            volume.array.astype(np.uint8 if mask else np.float32),
            to_source[:3, :3],
            to_source[:3, 3],
            output_shape=tuple(shape),
            order=0 if mask else 1,
        )
        grid = self.lies(array.shape, spacing, low)
        return array.astype(bool) if mask else array, _placing(spacing, low), grid


def grid_of(volume: Volume) -> Volume:
    """Return where a volume lies, without its values."""
    return Volume(np.broadcast_to(np.uint8(0), volume.shape), volume.affine)


def _swap() -> np.ndarray:
    """Superior, anterior, right to right, anterior, superior."""
    return np.eye(4)[[2, 1, 0, 3]]


def _placing(spacing: np.ndarray, origin: np.ndarray) -> dict[str, Any]:
    return {"scale": tuple(spacing), "translate": tuple(origin), "units": UNITS, "axis_labels": AXES}
