"""Every number that a prediction is judged by, one function each; maps in DVR units, masks bool, numpy only."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import pearsonr
from skimage.metrics import structural_similarity

PAPER_MAXIMUM = 2.89  # DVR: the MAX in Eq. 9 that the paper's table implies; it is not printed
SSIM_WINDOW = 11  # voxels: a Gaussian of 1.5 voxels cut at 3.5 SD


def mse(true: np.ndarray, predicted: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Return the mean squared error (Eq. 8) in DVR^2, over all voxels or those of ``mask``; NaN if it is empty."""
    error = (predicted.astype(np.float64) - true) ** 2
    return _mean(error if mask is None else error[mask])


def psnr(error: float, maximum: float) -> float:
    """Return the peak signal-to-noise ratio in dB, ``10 log10(maximum^2 / error)`` (Eq. 9).

    Parameters
    ----------
    error
        Mean squared error, DVR squared; 0 gives infinity.
    maximum
        The true image's own, or `PAPER_MAXIMUM`.
    """
    return math.inf if error == 0 else 10 * math.log10(maximum**2 / error)


def ssim(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean structural similarity (Wang et al. 2004, doi:10.1109/TIP.2003.819861), in [-1, 1].

    Three-dimensional, Gaussian weights of 1.5 voxels, the true map's range; NaN where the grid is smaller than the
    window of 11 voxels.
    """
    if min(true.shape) < SSIM_WINDOW:
        return math.nan
    extent = float(true.max() - true.min())
    if extent == 0:
        return math.nan
    value = structural_similarity(
        true.astype(np.float64),
        predicted.astype(np.float64),
        data_range=extent,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(value)


def discrepancy(true: np.ndarray, predicted: np.ndarray, region: np.ndarray) -> float:
    """Return ``|mean of the true DVR - mean of the predicted DVR|`` over a region; NaN where it is empty."""
    return abs(_mean(true[region]) - _mean(predicted[region]))


def voxel_error(true: np.ndarray, predicted: np.ndarray, region: np.ndarray) -> float:
    """Return the mean absolute error over a region's voxels, DVR; NaN where it is empty."""
    return _mean(np.abs(predicted[region].astype(np.float64) - true[region]))


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Return the Dice overlap of two masks, in [0, 1]; NaN where both are empty."""
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else math.nan


def share(demyelinated: np.ndarray, lesion: np.ndarray) -> float:
    """Return the share of lesion voxels that are demyelinated, in [0, 1]; NaN without a lesion."""
    return _mean(demyelinated[lesion].astype(np.float64))


def correlation(true: Sequence[float], predicted: Sequence[float]) -> float:
    """Return Pearson's r; NaN with fewer than three pairs or where either does not vary."""
    if len(true) < 3 or np.ptp(true) == 0 or np.ptp(predicted) == 0:
        return math.nan
    return float(pearsonr(true, predicted).statistic)


def mean_sd(values: Sequence[float]) -> tuple[float, float, int]:
    """Return mean, sample standard deviation and number of the values that are finite; NaN where there are too few."""
    finite = [value for value in values if math.isfinite(value)]
    mean = float(np.mean(finite)) if finite else math.nan
    sd = float(np.std(finite, ddof=1)) if len(finite) > 1 else math.nan
    return mean, sd, len(finite)


def _mean(values: np.ndarray) -> float:
    return float(values.mean(dtype=np.float64)) if values.size else math.nan
