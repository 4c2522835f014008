"""Grids to bring images onto, and the points of their voxels."""

from __future__ import annotations

import nibabel as nib
import numpy as np

from napari_myelin.core.data.volume import Volume


def covering(mask: Volume, spacing: float, margin: float) -> Volume:
    """Return an empty grid of cubic voxels around what a mask marks, its axes those of the mask, nearest to RAS first.

    Parameters
    ----------
    mask
        Bool; not empty.
    spacing
        mm.
    margin
        mm on each side.
    """
    image = nib.as_closest_canonical(nib.Nifti1Image(mask.array.astype(np.uint8), mask.affine))
    affine = np.asarray(image.affine)
    edges = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    where = np.argwhere(np.asarray(image.dataobj) > 0)
    # from the outer faces of the first and last voxels
    low, high = where.min(axis=0) - 0.5 - margin / edges, where.max(axis=0) + 0.5 + margin / edges
    shape = np.ceil((high - low) * edges / spacing - 1e-6).astype(int)
    new = affine.copy()
    new[:3, :3] = affine[:3, :3] / edges * spacing
    middle = affine[:3, :3] @ ((low + high) / 2) + affine[:3, 3]
    new[:3, 3] = middle - new[:3, :3] @ ((shape - 1) / 2)
    return Volume(np.broadcast_to(np.uint8(0), tuple(int(each) for each in shape)), new)


def centres(grid: Volume) -> np.ndarray:
    """Return the points of a grid's voxels, (I, J, K, 3), RAS+ mm."""
    return grid.world(np.moveaxis(np.indices(grid.shape, dtype=np.float32), 0, -1))
