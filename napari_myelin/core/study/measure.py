"""From a subject's maps to the rows of the study's table."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from napari_myelin.core.evaluation import metrics
from napari_myelin.core.evaluation.results import LESION, Row
from napari_myelin.core.evaluation.score import Truth, score
from napari_myelin.core.inference.attention import Target, saliency
from napari_myelin.core.inference.model import Model

# the measures of a score, by region and name; the mean DVR of every region comes from `_region_means`
PLACES = {
    "mse": ("image", "mse"),
    "mse_brain": ("brain", "mse"),
    "psnr": ("image", "psnr"),
    "psnr_2.89": ("image", "psnr_2.89"),
    "ssim": ("image", "ssim"),
    "discrepancy_wm": ("wm", "discrepancy"),
    "discrepancy_nawm": ("nawm", "discrepancy"),
    "discrepancy_lesion": ("lesion", "discrepancy"),
    "lesion_voxel_error": ("lesion", "voxel_error"),
    "dice": ("lesion", "dice"),
    "share_true": ("lesion", "share_true"),
    "share_predicted": ("lesion", "share_predicted"),
}


def regions(truth: Truth) -> dict[str, np.ndarray]:
    """Return the regions that a subject has: ``brain``, ``wm`` of a control or ``nawm`` of a patient, ``lesion``."""
    return {name: mask for name, mask in truth.regions.items() if mask.any()}


def prediction_rows(
    truth: Truth,
    predicted: np.ndarray,
    who: tuple[str, str, str],
    below: float | np.ndarray | None = None,
    sd: np.ndarray | None = None,
) -> Iterator[Row]:
    """Return every number of one predicted map.

    Parameters
    ----------
    truth
        The subject's.
    predicted
        DVR (I, J, K).
    who
        Method, inputs and fold.
    below, sd
        As for `score`.
    """
    key = truth.subject.key
    scored = score(truth, predicted, who[0], below, sd)
    for name, (region, metric) in PLACES.items():
        if math.isfinite(scored.values[name]):
            yield Row(*who, key, region, metric, scored.values[name])
    if below is not truth.threshold and truth.threshold is not None and truth.lesion.any():
        # beside a method that decides by a probability: what it scores when it is cut where the measured map is
        same = score(truth, predicted, who[0]).values["dice"]
        yield Row(*who, key, "lesion", "dice_same_threshold", same)
    noisefree = truth.subject.volume("noisefree").array if truth.subject.has("noisefree") else None
    for region, mask in regions(truth).items():
        yield Row(*who, key, region, "voxels", float(mask.sum()))
        yield Row(*who, key, region, "dvr_true", float(truth.dvr[mask].mean(dtype=np.float64)))
        yield Row(*who, key, region, "dvr_predicted", float(predicted[mask].mean(dtype=np.float64)))
        if noisefree is not None:
            yield Row(*who, key, region, "dvr_noisefree", float(noisefree[mask].mean(dtype=np.float64)))
            if region == "lesion":
                error = metrics.voxel_error(noisefree, predicted, mask)
                yield Row(*who, key, region, "voxel_error_noisefree", error)
    for number, (true, ours) in enumerate(scored.lesions):
        yield Row(*who, key, f"{LESION}{number + 1:02d}", "dvr_true", true)
        yield Row(*who, key, f"{LESION}{number + 1:02d}", "dvr_predicted", ours)


def calibration_rows(truth: Truth, predicted: np.ndarray, sd: np.ndarray, who: tuple[str, str, str]) -> Iterator[Row]:
    """Return the share of voxels whose measured DVR lies within 1 and 2 SD of the prediction, and the mean SD.

    Calibrated and normal, they are .68 and .95.

    Parameters
    ----------
    truth, predicted, who
        As for `prediction_rows`.
    sd
        Uncertainty (I, J, K), DVR.
    """
    error = np.abs(predicted.astype(np.float64) - truth.dvr)
    for region, mask in regions(truth).items():
        for times in (1, 2):
            inside = metrics.share(error <= times * sd, mask)
            yield Row(*who, truth.subject.key, region, f"inside_{times}sd", inside)
        yield Row(*who, truth.subject.key, region, "uncertainty", float(sd[mask].mean(dtype=np.float64)))


def attention_rows(model: Model, truth: Truth, who: tuple[str, str, str], device: str, resample: bool) -> Iterator[Row]:
    """Return how much more a network looks at lesions than at NAWM: mean saliency (maximum over maps) of the two.

    Against its own loss, as in the paper, and against a target common to all losses, the mean predicted DVR of the
    brain: the weighted loss inflates the gradients of lesions by their small number alone.

    Parameters
    ----------
    model
        The network.
    truth
        A patient's; nothing is returned for anybody without lesions or NAWM.
    who
        As for `prediction_rows`.
    device, resample
        As for `predict`.
    """
    there = regions(truth)
    if "lesion" not in there or "nawm" not in there:
        return
    targets: dict[str, Target] = {"attention_loss": "loss", "attention_common": "dvr"}
    for metric, target in targets.items():
        attention = saliency(model, truth.subject, target, region="brain", device=device, resample=resample)
        ratio = lesion_over_nawm(attention.maps["Max"].array, there["lesion"], there["nawm"])
        yield Row(*who, truth.subject.key, "lesion", metric, ratio)


def lesion_over_nawm(saliency_map: np.ndarray, lesion: np.ndarray, nawm: np.ndarray) -> float:
    """Return the mean saliency in lesions over that in NAWM; NaN where the latter is 0."""
    below = float(saliency_map[nawm].mean(dtype=np.float64))
    return float(saliency_map[lesion].mean(dtype=np.float64)) / below if below > 0 else math.nan
