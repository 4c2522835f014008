"""The smooth displacement that brings one image onto another: Gauss-Newton steps under a Gaussian prior.

The displacement is ``u = c G v``: white noise ``v`` of SD 1, blurred by a Gaussian ``G``, scaled to an SD of some mm.
Sought is the ``v`` that makes

    sum_x w(x) / (2 s^2) (F(x) - a(x) M(x + u(x)) - b(x))^2  +  |v|^2 / 2

smallest: the most probable displacement (a Gaussian process) where what is left of the images is noise of SD ``s``. The
gain ``a`` and offset ``b`` are the least-squares ones of each voxel's neighbourhood, so that only how images vary
together counts, as in the local correlation of Cachier and Pennec 2000 (doi:10.1109/MMBIA.2000.852376), and neither
contrast nor a receive field matters. Each step solves the linearised problem by conjugate gradients (as Ashburner 2007
does by multigrid, doi:10.1016/j.neuroimage.2007.07.007).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter, map_coordinates

WINDOW = 3.0  # mm, SD of the neighbourhood of which gain and offset are found
NOISE = 0.08  # of the brain's brightness: what is left between the images is not taken for less
SOLVES = 8  # conjugate gradients of each step
CLOSE = 1e-3  # of the squared residual, at which they end
FLAT = 1e-4  # of the squared brightness: a neighbourhood that varies less tells no gain
LEAST = 0.1  # of a voxel's volume, to which it may be shrunk


@dataclass(frozen=True)
class Level:
    """One round: how far images are blurred (SD, mm), the prior's width and SD (mm), and how many steps are made."""

    blur: float
    width: float
    sd: float
    steps: int


# what a whole brain differs by first, then its gyri
LEVELS = (Level(4.0, 15.0, 3.0, 4), Level(2.0, 6.0, 1.5, 4), Level(1.0, 6.0, 1.5, 6))


def deform(fixed: np.ndarray, moving: np.ndarray, weight: np.ndarray, spacing: float) -> np.ndarray:
    """Return the displacement u, mm along the grid's axes: ``moving`` at x + u looks like ``fixed`` at x.

    Parameters
    ----------
    fixed, moving
        (I, J, K) on one grid of cubic voxels, already aligned as a whole; about 1 on average in the brain.
    weight
        (I, J, K) in [0, 1]: where the images are to agree.
    spacing
        mm.

    Returns
    -------
    displacement
        (I, J, K, 3) float32. Its Jacobian is positive everywhere, or nearly so: see `unfolded`.
    """
    found = np.zeros((*fixed.shape, 3), dtype=np.float32)
    base, noise, before = found, found, None
    for level in LEVELS:
        if (level.width, level.sd) != before:  # another prior is about what is left
            base, noise, before = found, np.zeros_like(found), (level.width, level.sd)
        images = [gaussian_filter(np.asarray(each, dtype=np.float32), level.blur / spacing) for each in (fixed, moving)]
        blur = _Blur(level.width / spacing, level.sd)
        for _ in range(level.steps):
            left, slope, certain = _compared(images[0], images[1], weight, found, spacing)
            noise = noise + _solved(left, slope, certain, noise, blur)
            found = base + blur(noise)
    return unfolded(found, spacing)


class _Blur:
    """From white noise of SD 1 to displacements of SD ``sd``; its own transpose."""

    def __init__(self, width: float, sd: float) -> None:
        self.width = width
        self.scale = float((2 * np.sqrt(np.pi) * width) ** 1.5 * sd)  # a Gaussian's L2 norm, inverted

    def __call__(self, field: np.ndarray) -> np.ndarray:
        parts = [gaussian_filter(field[..., axis], self.width, mode="constant", truncate=3) for axis in range(3)]
        return np.asarray(self.scale * np.stack(parts, axis=-1), dtype=np.float32)


def _compared(
    fixed: np.ndarray, moving: np.ndarray, weight: np.ndarray, field: np.ndarray, spacing: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what is left between the images, its slope along each axis (1/mm), and its certainty w / s^2."""
    where = np.moveaxis(np.moveaxis(np.indices(fixed.shape, dtype=np.float32), 0, -1) + field / spacing, -1, 0)
    moved = map_coordinates(moving, where, order=1, mode="nearest")
    gain, offset = _fitted(fixed, moved, weight, WINDOW / spacing)
    left = fixed - gain * moved - offset
    # the mean of both images' slopes points better than either alone
    slopes = [np.stack(np.gradient(each, spacing), axis=-1) for each in (moved, fixed)]
    slope = 0.5 * (gain[..., None] * slopes[0] + slopes[1])
    variance = float((weight * left**2).sum() / max(float(weight.sum()), 1.0))
    return left, slope.astype(np.float32), (weight / max(variance, NOISE**2)).astype(np.float32)


def _fitted(fixed: np.ndarray, moved: np.ndarray, weight: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    def mean(array: np.ndarray) -> np.ndarray:
        return np.asarray(gaussian_filter(weight * array, width) / (share + 1e-4))

    share = gaussian_filter(weight.astype(np.float32), width)
    first, second = mean(fixed), mean(moved)
    gain = (mean(fixed * moved) - first * second) / (mean(moved * moved) - second**2 + FLAT)
    return gain, first - gain * second


def _solved(left: np.ndarray, slope: np.ndarray, certain: np.ndarray, noise: np.ndarray, blur: _Blur) -> np.ndarray:
    """Return the change of the noise that the linearised problem asks for."""
    rest: np.ndarray = blur(slope * (certain * left)[..., None]) - noise
    change: np.ndarray = np.zeros_like(rest)
    along = rest.copy()
    first = size = float((rest**2).sum())
    for _ in range(SOLVES):
        if size <= CLOSE * first or not first:
            break
        pulled = certain * (slope * blur(along)).sum(axis=-1)
        image = blur(slope * pulled[..., None]) + along
        length = size / float((along * image).sum())
        change += length * along
        rest -= length * image
        size, before = float((rest**2).sum()), size
        along = rest + size / before * along
    return change


def unfolded(field: np.ndarray, spacing: float) -> np.ndarray:
    """Return a displacement that turns nothing inside out: smoothed where it shrinks a voxel below a tenth.

    Parameters
    ----------
    field
        (I, J, K, 3), mm along the grid's axes.
    spacing
        mm.
    """
    for _ in range(20):
        bad = volume_change(field, spacing) < LEAST
        if not bad.any():
            break
        share = gaussian_filter(binary_dilation(bad, iterations=3).astype(np.float32), 1.5)[..., None]
        smooth = np.stack([gaussian_filter(field[..., axis], 1.5) for axis in range(3)], axis=-1)
        field = field + share * (smooth - field)
    return np.asarray(field, dtype=np.float32)


def volume_change(field: np.ndarray, spacing: float) -> np.ndarray:
    """Return the determinant of a displacement's Jacobian, (I, J, K): volume of a voxel after it over before."""
    slopes = [np.gradient(field.astype(np.float64), spacing, axis=axis) for axis in range(3)]
    return np.asarray(np.linalg.det(np.stack(slopes, axis=-1) + np.eye(3)))
