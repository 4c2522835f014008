"""One prediction of one subject against its measured DVR: a row of numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import label

from napari_myelin.core.data.subject import Subject
from napari_myelin.core.evaluation import metrics
from napari_myelin.core.evaluation.components import NEIGHBOURS
from napari_myelin.core.evaluation.demyelination import classify
from napari_myelin.core.evaluation.probability import expected_share

SMALLEST = 106.0  # mm3: lesions below it are limited by the PET's noise (test-retest above 10 %)

# what each number of a row is, in the order of the tables
MEASURES = {
    "mse": "mean squared error over all voxels, DVR^2 (Eq. 8)",
    "mse_brain": "mean squared error inside the brain, DVR^2",
    "psnr": "peak signal-to-noise ratio with the true map's own maximum, dB (Eq. 9)",
    "psnr_2.89": "the same with a maximum of 2.89, which the paper's table implies, dB",
    "ssim": "structural similarity",
    "discrepancy_wm": "|mean true - mean predicted DVR|, white matter of a control",
    "discrepancy_nawm": "the same, normal-appearing white matter of a patient",
    "discrepancy_lesion": "the same, lesions",
    "lesion_voxel_error": "mean absolute error over lesion voxels, DVR",
    "dice": "Dice overlap of the demyelinated lesion voxels",
    "share_true": "share of lesion voxels demyelinated, measured",
    "share_predicted": "share of lesion voxels demyelinated, predicted",
    "lesion_dvr_true": "mean measured DVR of the lesions",
    "lesion_dvr_predicted": "mean predicted DVR of the lesions",
}


@dataclass(frozen=True)
class Score:
    """A row: who, by what, every number of `MEASURES` (NaN where it does not apply), and each lesion's mean DVR.

    ``lesions`` holds (true, predicted) of every lesion above `SMALLEST`.
    """

    subject: str
    group: str | None
    method: str
    values: dict[str, float]
    lesions: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Truth:
    """What a subject's predictions are held against, all (I, J, K) on its own grid."""

    subject: Subject
    dvr: np.ndarray
    brain: np.ndarray
    wm: np.ndarray
    lesion: np.ndarray
    voxel_volume: float
    threshold: float | np.ndarray | None

    @classmethod
    def of(cls, subject: Subject, threshold: float | np.ndarray | None, resample: bool = False) -> Truth:
        """Read a subject's measured DVR and masks; a mask that is not there is empty.

        Raises
        ------
        MyelinError
            If a map cannot be used.
        """
        dvr = subject.volume("dvr", resample)
        nothing = np.zeros(dvr.shape, dtype=bool)
        masks = {role: subject.volume(role, resample).array if subject.has(role) else nothing for role in _MASKS}
        brain = subject.brain(resample).array
        return cls(subject, dvr.array, brain, masks["wm"], masks["lesion"], dvr.voxel_volume, threshold)

    @property
    def regions(self) -> dict[str, np.ndarray]:
        """Masks by name, bool (I, J, K), some empty: ``brain``, ``lesion``, ``wm`` (controls), ``nawm`` (others)."""
        nowhere = np.zeros_like(self.lesion)
        control = self.subject.group == "HC"
        white = {"wm": self.wm if control else nowhere, "nawm": nowhere if control else self.wm & ~self.lesion}
        return {"brain": self.brain, **white, "lesion": self.lesion}


_MASKS = ("wm", "lesion")


def score(
    truth: Truth,
    predicted: np.ndarray,
    method: str,
    below: float | np.ndarray | None = None,
    sd: np.ndarray | None = None,
) -> Score:
    """Return every number of one prediction.

    Parameters
    ----------
    truth
        The subject's.
    predicted
        DVR (I, J, K).
    method
        What made it: ``predicted``, ``sketch``, ``linear``, ``noise-free``.
    below
        Predicted DVR below which a lesion voxel is demyelinated (`predicted_threshold`), a value or (I, J, K); by
        default the threshold of the measured map.
    sd
        (I, J, K), DVR, of a prediction that says its own variance: its demyelinated share is the expected one.
    """
    true, lesion, regions = truth.dvr, truth.lesion, truth.regions
    error = metrics.mse(true, predicted)
    values = {
        "mse": error,
        "mse_brain": metrics.mse(true, predicted, truth.brain),
        "psnr": metrics.psnr(error, float(true.max())),
        "psnr_2.89": metrics.psnr(error, metrics.PAPER_MAXIMUM),
        "ssim": metrics.ssim(true, predicted),
        "discrepancy_wm": metrics.discrepancy(true, predicted, regions["wm"]),
        "discrepancy_nawm": metrics.discrepancy(true, predicted, regions["nawm"]),
        "discrepancy_lesion": metrics.discrepancy(true, predicted, lesion),
        "lesion_voxel_error": metrics.voxel_error(true, predicted, lesion),
    }
    values |= _demyelination(truth, predicted, truth.threshold if below is None else below, sd)
    values["lesion_dvr_true"] = float(true[lesion].mean()) if lesion.any() else np.nan
    values["lesion_dvr_predicted"] = float(predicted[lesion].mean()) if lesion.any() else np.nan
    return Score(truth.subject.key, truth.subject.group, method, values, _lesion_means(truth, predicted))


def _demyelination(
    truth: Truth, predicted: np.ndarray, below: float | np.ndarray | None, sd: np.ndarray | None
) -> dict[str, float]:
    if truth.threshold is None or below is None:
        return dict.fromkeys(("dice", "share_true", "share_predicted"), np.nan)
    measured = classify(truth.dvr, truth.lesion, truth.threshold)
    ours = classify(predicted, truth.lesion, below)
    share = metrics.share(ours, truth.lesion)
    if sd is not None:
        threshold = np.broadcast_to(truth.threshold, predicted.shape)
        share = expected_share(predicted[truth.lesion], threshold[truth.lesion], sd[truth.lesion])
    return {
        "dice": metrics.dice(measured, ours),
        "share_true": metrics.share(measured, truth.lesion),
        "share_predicted": share,
    }


def _lesion_means(truth: Truth, predicted: np.ndarray) -> list[tuple[float, float]]:
    labels, count = label(truth.lesion, NEIGHBOURS)
    if count == 0:
        return []
    flat = labels.ravel()
    size = np.bincount(flat, minlength=count + 1)
    true = np.bincount(flat, truth.dvr.ravel(), minlength=count + 1) / np.maximum(size, 1)
    ours = np.bincount(flat, predicted.ravel(), minlength=count + 1) / np.maximum(size, 1)
    large = [number for number in range(1, count + 1) if size[number] * truth.voxel_volume > SMALLEST]
    return [(float(true[number]), float(ours[number])) for number in large]
