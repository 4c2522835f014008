"""Non-linear registration to the template: a displacement field and its inverse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_myelin.core.data.transform import LPS, PointTransform
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.prepare.deform import deform
from napari_myelin.core.prepare.grids import centres, covering
from napari_myelin.core.prepare.itk import array_of, to_itk
from napari_myelin.core.prepare.libraries import library
from napari_myelin.core.prepare.resampling import resample
from napari_myelin.core.prepare.transforms import Chain

WORKING = 1.5  # mm, of the grid that the field is found on
MARGIN = 12.0  # mm round the brain
EDGE, SEEN = 4.0, 0.01  # mm and share: how far outside the brain the images are to agree


@dataclass(frozen=True, eq=False)
class Warp:
    """How a brain lies to the template, points to points in RAS+ mm, and back.

    ``folded`` is the share of voxels at which the field turns space inside out: 0 where it can be inverted.
    """

    to_template: PointTransform
    from_template: PointTransform
    folded: float


def warp_to_template(subject: Volume, brain: np.ndarray, template: Volume, start: np.ndarray) -> Warp:
    """Find the smooth displacement that makes a brain look like the template.

    See `deform` for the equation; the field is found on voxels of 1.5 mm.

    Parameters
    ----------
    subject
        T1w, corrected for its bias field.
    brain
        (I, J, K) bool on its grid.
    template
        T1w without skull.
    start
        (4, 4): points of the subject to points of the template, affine.
    """
    grid = covering(Volume(brain, subject.affine), WORKING, MARGIN)
    masked = Volume(np.where(brain, subject.array, 0).astype(np.float32), subject.affine)
    fixed, inside = resample(masked, grid, Chain()), resample(Volume(brain, subject.affine), grid, Chain()).array > 0.5
    moving = resample(template, grid, Chain((start,)))
    near = gaussian_filter(inside.astype(np.float32), EDGE / WORKING) > SEEN  # the brain's outline tells, too
    one, other = (each.array / np.median(each.array[inside & (each.array > 0)]) for each in (fixed, moving))
    along = deform(one, other, near.astype(np.float32), WORKING)
    field = (along @ (grid.affine[:3, :3] / WORKING).T).astype(np.float32)  # from the grid's axes to RAS+
    warp = PointTransform(field, grid.affine)
    points = centres(grid)
    forward = Chain((warp, start))(points) - points
    inverse = PointTransform(_inverted(field, fixed), grid.affine)
    there = centres(template)
    backward = Chain((np.linalg.inv(start), inverse))(there) - there
    return Warp(
        PointTransform(forward.astype(np.float32), grid.affine),
        PointTransform(backward.astype(np.float32), template.affine),
        float((jacobian(warp) <= 0).mean()),
    )


def _inverted(field: np.ndarray, fixed: Volume) -> np.ndarray:
    sitk = library("SimpleITK")
    image = sitk.GetImageFromArray(np.moveaxis(field * LPS, [0, 1, 2], [2, 1, 0]).astype(np.float64), isVector=True)
    image.CopyInformation(to_itk(fixed))
    found = sitk.InvertDisplacementField(
        image, maximumNumberOfIterations=30, maxErrorToleranceThreshold=0.1, meanErrorToleranceThreshold=0.001
    )
    return np.asarray(array_of(found) * LPS, dtype=np.float32)


def jacobian(transform: PointTransform) -> np.ndarray:
    """Return the determinant of a displacement field's Jacobian, (I, J, K): volume of a voxel after it over before."""
    linear = np.linalg.inv(transform.affine[:3, :3])
    # derivative of each component along each axis of the grid, then along x, y, z
    slopes = [np.gradient(transform.displacement.astype(np.float64), axis=axis) for axis in range(3)]
    along = np.stack(slopes, axis=-1) @ linear
    return np.asarray(np.linalg.det(along + np.eye(3)))


def coarse(transform: Chain, grid: Volume, spacing: float = 4.0) -> PointTransform:
    """Return a chain as one displacement field on a coarse grid that covers ``grid``: what is written to disk."""
    nodes = covering(Volume(np.ones(grid.shape, dtype=bool), grid.affine), spacing, spacing)
    points = centres(nodes)
    return PointTransform((transform(points) - points).astype(np.float32), nodes.affine)
