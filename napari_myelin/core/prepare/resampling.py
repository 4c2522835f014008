"""An image on another grid, through one interpolation."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import affine_transform, gaussian_filter, map_coordinates

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.prepare.transforms import Chain


def resample(volume: Volume, reference: Volume, chain: Chain, order: int = 1) -> Volume:
    """Return an image on the grid of ``reference``; 0 outside its own.

    Parameters
    ----------
    volume
        The image, float.
    reference
        Only its shape and affine matter.
    chain
        Maps the reference's points to the image's.
    order
        Of the interpolating spline: 1 is linear, 3 cubic.
    """
    array = np.nan_to_num(volume.array).astype(np.float32)
    matrix = chain.matrix
    if matrix is not None:
        index = np.linalg.inv(volume.affine) @ matrix @ reference.affine
        out = affine_transform(
            array, index[:3, :3], index[:3, 3], output_shape=reference.shape, order=order, mode="grid-constant"
        )
        return Volume(out, reference.affine.copy())
    out = np.empty(reference.shape, dtype=np.float32)
    inverse = np.linalg.inv(volume.affine)
    for k in range(reference.shape[2]):  # a slice at a time: coordinates take six times the image's memory
        indices = np.stack(np.meshgrid(*map(np.arange, reference.shape[:2]), [k], indexing="ij"), axis=-1)[:, :, 0]
        points = chain(reference.world(indices))
        where = np.moveaxis(points @ inverse[:3, :3].T + inverse[:3, 3], -1, 0)
        out[:, :, k] = map_coordinates(array, where, order=order, mode="grid-constant")
    return Volume(out, reference.affine.copy())


def resample_mask(mask: Volume, reference: Volume, chain: Chain) -> Volume:
    """Return a mask on another grid, with the volume that it had.

    Each voxel's share of the mask is interpolated linearly, after blurring to the reference's voxel size where that
    is the larger one; the voxels with the largest share are taken, as many as give the mask's volume. A threshold at
    one half would do for large regions, but loses small lesions.

    Parameters
    ----------
    mask, reference, chain
        As for `resample`; the mask is bool.
    """
    widths = np.sqrt(np.maximum((reference.voxel_volume ** (1 / 3) / np.asarray(mask.spacing)) ** 2 - 1, 0)) / np.sqrt(
        12
    )
    share = gaussian_filter(mask.array.astype(np.float32), widths) if widths.any() else mask.array.astype(np.float32)
    found = resample(Volume(share, mask.affine), reference, chain).array
    out = np.zeros(reference.shape, dtype=bool)
    # what the shares add up to is the volume of what lies on the reference's grid
    out.flat[np.argsort(-found, axis=None, kind="stable")[: round(float(found.sum()))]] = True
    return Volume(out, reference.affine.copy())
