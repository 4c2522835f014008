"""Logan's graphical analysis with a reference region, for every voxel at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_myelin.core.errors import MyelinError
from napari_myelin.core.prepare.frames import Frames

FEWEST = 3  # frames a line is put through
SLAB = 1 << 15  # voxels at a time: what a processor's cache likes


@dataclass(frozen=True, eq=False)
class LoganFit:
    """Slope (``dvr``, none), ``intercept`` (min) and ``r2`` (in [0, 1]) of each curve, (V,) float32; 0 where no fit.

    There is none where the activity of a frame that is fitted is not above 0. ``frames`` (F,), bool, are those fitted.
    """

    dvr: np.ndarray
    intercept: np.ndarray
    r2: np.ndarray
    frames: np.ndarray


def late_frames(frames: Frames, t_star: float) -> np.ndarray:
    """Return the frames whose middle is ``t_star`` min or later, (F,) bool: those that a line is put through.

    Raises
    ------
    MyelinError
        If there are fewer than three.
    """
    late = np.asarray(frames.middle / 60 >= t_star)
    if late.sum() < FEWEST:
        end = (frames.start + frames.duration).max() / 60
        raise MyelinError(
            f"{late.sum()} frames lie after t* = {t_star:g} min, expected {FEWEST} or more (the scan ends at "
            f"{end:.3g} min): lower --t-star, or look whether the JSON's times are in seconds"
        )
    return late


def integrals(curves: np.ndarray, frames: Frames) -> np.ndarray:
    """Return the time integral of each curve from injection to each frame's middle, in (unit) min, (V, F).

    A frame's value is its mean, so the frames before count whole and its own by half; nothing is measured between
    frames that are apart, where the mean of the two neighbours stands in.

    Parameters
    ----------
    curves
        (V, F) activity.
    frames
        Their times.
    """
    minutes = frames.duration / 60
    gap = np.maximum(frames.start - np.concatenate([[0.0], (frames.start + frames.duration)[:-1]]), 0) / 60
    before = np.concatenate([curves[:, :1] * 0, curves[:, :-1]], axis=1)
    between = (before + curves) / 2 * gap
    return np.asarray(np.cumsum(curves * minutes + between, axis=1) - curves * minutes / 2)


def logan_reference(
    curves: np.ndarray, reference: np.ndarray, frames: Frames, t_star: float = 30.0, k2_prime: float | None = None
) -> LoganFit:
    r"""Fit DVR to time-activity curves.

    .. math:: \frac{\int_0^T C\,dt}{C(T)} = \mathrm{DVR}\,\frac{\int_0^T C_r\,dt + C_r(T)/k_2'}{C(T)} + c

    by ordinary least squares over the frames whose middle T is ``t_star`` or later (Logan et al. 1996,
    doi:10.1097/00004647-199609000-00008). Without k2' its term is left out, which their Eq. 7 allows where C / C_r is
    about constant by then. C(T) is in both coordinates, so noise biases the slope downwards.

    Parameters
    ----------
    curves
        (V, F) activity of V voxels or regions in any one unit, corrected for decay.
    reference
        (F,) activity of the reference region.
    frames
        Their times.
    t_star
        From when the line is straight, min.
    k2_prime
        Mean clearance of the reference region, 1/min; None leaves its term out.

    Raises
    ------
    MyelinError
        If fewer than three frames are left, or the reference region's activity is not above 0 in them.
    """
    fitted = late_frames(frames, t_star)
    reference = np.asarray(reference, dtype=np.float64)
    if not (reference[fitted] > 0).all():
        raise MyelinError("the reference region's activity is not above 0 after t*: is it the right region?")
    above = integrals(reference[None], frames)[0]
    if k2_prime is not None:
        above = above + reference / k2_prime
    dvr, intercept, r2 = (np.zeros(len(curves), dtype=np.float32) for _ in range(3))
    for first in range(0, len(curves), SLAB):
        slab = slice(first, first + SLAB)
        part = np.asarray(curves[slab], dtype=np.float64)
        good = (part[:, fitted] > 0).all(axis=1)
        here = np.flatnonzero(good) + first
        dvr[here], intercept[here], r2[here] = _lines(part[good], above[fitted], frames, fitted)
    return LoganFit(dvr, intercept, r2, fitted)


def _lines(curves: np.ndarray, above: np.ndarray, frames: Frames, fitted: np.ndarray) -> tuple[np.ndarray, ...]:
    y = integrals(curves, frames)[:, fitted] / curves[:, fitted]
    x = above / curves[:, fitted]
    mean_x, mean_y = x.mean(axis=1), y.mean(axis=1)
    x, y = x - mean_x[:, None], y - mean_y[:, None]
    xx, xy, yy = (x * x).sum(axis=1), (x * y).sum(axis=1), (y * y).sum(axis=1)
    slope = np.divide(xy, xx, out=np.zeros_like(xy), where=xx > 0)
    r2 = np.divide(xy * xy, xx * yy, out=np.zeros_like(xy), where=xx * yy > 0)
    return slope, mean_y - slope * mean_x, r2
