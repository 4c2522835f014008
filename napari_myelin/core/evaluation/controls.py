"""The demyelination threshold of a group: mean - k SD of the healthy controls' white matter."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from napari_myelin.core.data.normalisation import Moments
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.transform import read_transform
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.evaluation.demyelination import Threshold
from napari_myelin.core.events import Progress
from napari_myelin.core.options import ThresholdOptions

TASK = "reading the controls' white matter"
FWHM_TO_SD = 1 / np.sqrt(8 * np.log(2))
TEMPLATE_SHAPE = (91, 109, 91)  # MNI152 at 2 mm
TEMPLATE_AFFINE = np.array([[2.0, 0, 0, -90], [0, 2.0, 0, -126], [0, 0, 2.0, -72], [0, 0, 0, 1]])


def global_threshold(
    controls: Sequence[Subject], k: float = 1.0, *, resample: bool = False
) -> Generator[Progress, None, Threshold]:
    """Return mean - k SD over the white-matter voxels of all controls, in one pass.

    Parameters
    ----------
    controls
        With ``dvr`` and ``wm``.
    k
        Standard deviations.
    resample
        As for `Subject.volume`.

    Raises
    ------
    MyelinError
        If there is no white-matter voxel at all.
    """
    total = Moments.of(np.zeros(0))
    for number, subject in enumerate(controls, 1):
        total += Moments.of(subject.volume("dvr", resample).array[subject.volume("wm", resample).array])
        yield Progress(TASK, number, len(controls), subject.key)
    if total.count == 0:
        raise MyelinError("the controls' white-matter masks are empty: a group threshold needs white matter")
    return Threshold("global", total.mean - k * total.sd, k, len(controls))


def template_threshold(
    controls: Sequence[Subject], k: float = 1.0, *, fwhm: float = 4.0, sd_floor: float = 0.05, resample: bool = False
) -> Generator[Progress, None, Threshold]:
    """Return mean - k SD over controls, voxel by voxel in template space (MNI152, 2 mm).

    Each control's DVR is smoothed, then brought to the template with its transform, whose inverse is found by
    fixed-point iteration. Where fewer than two controls have a voxel, the global value holds.

    Parameters
    ----------
    controls
        With ``dvr``, ``wm`` and ``to_template``.
    k
        Standard deviations.
    fwhm
        Of the smoothing, mm.
    sd_floor
        Smallest SD believed of so few controls, DVR.
    resample
        As for `Subject.volume`.

    Raises
    ------
    MyelinError
        If a control has no transform, or there are fewer than two.
    """
    if len(controls) < 2:
        raise MyelinError("a voxelwise threshold needs two controls or more: use --threshold global")
    total = np.zeros(TEMPLATE_SHAPE)
    squares, count = np.zeros(TEMPLATE_SHAPE), np.zeros(TEMPLATE_SHAPE, dtype=int)
    for number, subject in enumerate(controls, 1):
        values, there = _on_template(subject, fwhm, resample)
        total += np.where(there, values, 0)
        squares += np.where(there, values**2, 0)
        count += there
        yield Progress(TASK, number, len(controls), subject.key)
    enough = count >= 2
    mean = np.divide(total, count, where=enough, out=np.zeros(TEMPLATE_SHAPE))
    variance = np.divide(squares - count * mean**2, count - 1, where=enough, out=np.zeros(TEMPLATE_SHAPE))
    sd = np.maximum(np.sqrt(np.maximum(variance, 0)), sd_floor)
    fallback = yield from global_threshold(controls, k, resample=resample)
    voxelwise = np.where(enough, mean - k * sd, np.nan).astype(np.float32)
    return Threshold("template", fallback.value, k, len(controls), voxelwise, TEMPLATE_AFFINE)


def group_threshold(
    controls: Sequence[Subject], wanted: ThresholdOptions, resample: bool = False
) -> Generator[Progress, None, Threshold | None]:
    """Return the threshold that the options ask for; None where no control has white matter to take it from.

    Parameters
    ----------
    controls
        Healthy subjects with a measured DVR; those without a white-matter mask are passed over.
    wanted
        Which kind, and how many SD.
    resample
        As for `Subject.volume`.

    Raises
    ------
    MyelinError
        As `template_threshold`.
    """
    if wanted.threshold == "value" and wanted.threshold_value is not None:
        return Threshold.fixed(wanted.threshold_value)
    usable = [s for s in controls if s.has("wm") and s.volume("wm", resample).array.any()]
    if not usable:
        return None
    if wanted.threshold == "template":
        return (yield from template_threshold(usable, wanted.threshold_k, resample=resample))
    return (yield from global_threshold(usable, wanted.threshold_k, resample=resample))


def _on_template(subject: Subject, fwhm: float, resample: bool) -> tuple[np.ndarray, np.ndarray]:
    source = subject.files.get("to_template")
    if source is None or isinstance(source, Volume):
        raise MyelinError(f"{subject.key} has no transform to the template: use --threshold global")
    to_template = read_transform(source)
    dvr, brain = subject.volume("dvr", resample), subject.brain(resample).array
    sigma = [fwhm * FWHM_TO_SD / edge for edge in dvr.spacing]
    # smoothed inside the brain only, so that its edge is not pulled towards the background
    weight = gaussian_filter(brain.astype(np.float32), sigma)
    smooth = gaussian_filter(np.where(brain, dvr.array, 0), sigma) / np.maximum(weight, 1e-3)
    targets = Volume(np.empty(TEMPLATE_SHAPE, dtype=bool), TEMPLATE_AFFINE).world(
        np.moveaxis(np.indices(TEMPLATE_SHAPE), 0, -1)
    )
    points = targets.copy()
    for _ in range(8):  # x = target - displacement(x): a smooth field contracts by far in each turn
        points += targets - to_template(points)
    inverse = np.linalg.inv(dvr.affine)
    indices = np.moveaxis(points @ inverse[:3, :3].T + inverse[:3, 3], -1, 0)
    values = map_coordinates(smooth, indices, order=1, mode="constant")
    there = map_coordinates(brain.astype(np.float32), indices, order=1, mode="constant") > 0.5
    return values, there
