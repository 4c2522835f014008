"""Demyelination of a prediction that says how uncertain it is: which voxels, and which share of a lesion."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri  # scipy.stats has them too, and takes half as long to import as torch


def predicted_threshold(threshold: float | np.ndarray, sd: np.ndarray | None, probability: float) -> float | np.ndarray:
    """Return below which predicted DVR a voxel is called demyelinated, for a prediction that says its uncertainty.

    A prediction is the mean of what may be measured: nearer to the middle than a measurement. Where the measured DVR is
    normal around it, it lies below the threshold t with a probability above p if the prediction is below
    ``t - z(p) sd``, z being the normal quantile. The p that gives the highest Dice is half of that Dice
    (Lipton et al. 2014, arXiv:1402.1892), so it is below .5 and the predicted threshold above t.

    Parameters
    ----------
    threshold
        DVR t, or a map of it; it holds for measured maps as it is.
    sd
        Uncertainty of the prediction, (I, J, K), DVR; None leaves the threshold as it is.
    probability
        p, in (0, 1); 0.5 leaves the threshold as it is.
    """
    if sd is None or probability == 0.5:
        return threshold
    return np.asarray(threshold - np.float32(ndtri(probability)) * sd, dtype=np.float32)


def demyelinated_probability(dvr: np.ndarray, threshold: float | np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return the probability, in [0, 1], that the measured DVR lies below the threshold.

    Where it is normal around the prediction: ``Phi((t - dvr) / sd)``, Phi being the normal distribution function. Its
    mean over a lesion is the share of the lesion's voxels that a measurement is expected to find demyelinated, which
    the voxels of `predicted_threshold`, chosen for their overlap with the measured ones, are not.

    Parameters
    ----------
    dvr
        Predicted, any shape.
    threshold
        DVR t, or one for each voxel.
    sd
        Uncertainty of the prediction, DVR, as ``dvr``; where it is 0 the probability is 0 or 1.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        probability = ndtr((threshold - dvr) / sd)
    return np.asarray(np.where(sd > 0, probability, dvr < threshold), dtype=np.float64)


def expected_share(dvr: np.ndarray, threshold: float | np.ndarray, sd: np.ndarray | None) -> float:
    """Return the share of voxels below the threshold, or with ``sd`` the expected one; NaN of no voxels.

    Parameters
    ----------
    dvr, threshold, sd
        As for `demyelinated_probability`, of a lesion's voxels alone; ``sd`` None takes the prediction as it is.
    """
    if dvr.size == 0:
        return float("nan")
    below = dvr < threshold if sd is None else demyelinated_probability(dvr, threshold, sd)
    return float(below.mean())
