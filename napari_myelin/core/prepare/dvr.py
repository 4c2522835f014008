"""From a dynamic PET to the DVR map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.prepare.frames import Frames
from napari_myelin.core.prepare.logan import late_frames, logan_reference
from napari_myelin.core.prepare.motion import Motion, estimate_motion, resample_series
from napari_myelin.core.prepare.options import DvrOptions
from napari_myelin.core.prepare.series import Series
from napari_myelin.core.prepare.transforms import Chain

SMALL = 1.0  # ml of reference region below which its curve is noisy
ALONE = 60.0  # s that frames last, together, to be registered
HEAD = 0.2  # of the reference region's activity, above which a voxel counts as head where no mask is given


@dataclass(frozen=True, eq=False)
class DvrMaps:
    """The DVR (none) and R2 of each voxel's line (in [0, 1]), 0 where none was fitted; (F,) the reference's curve.

    ``average`` is the mean of the frames that were fitted, which looks like anatomy.
    """

    dvr: Volume
    r2: Volume
    average: Volume
    curve: np.ndarray
    notes: tuple[str, ...]


def realigned(series: Series, frames: Frames, options: DvrOptions) -> tuple[Series, Motion]:
    """Register every frame to the mean of those that are fitted, rigidly, and resample it.

    Neighbouring frames are taken together until they last a minute: shorter ones have too few counts.
    """
    late = late_frames(frames, options.t_star)
    reference = series.mean(late)
    groups: list[list[int]] = [[]]
    for number in range(series.count):
        if sum(frames.duration[each] for each in groups[-1]) >= ALONE:
            groups.append([])
        groups[-1].append(number)
    if len(groups) > 1 and sum(frames.duration[each] for each in groups[-1]) < ALONE:
        groups[-2:] = [groups[-2] + groups[-1]]
    head = reference.array > HEAD * float(np.percentile(reference.array, 98))
    motion = estimate_motion(series, reference, groups, head)
    return resample_series(series, reference, [Chain((matrix,)) for matrix in motion.matrices]), motion


def dvr_maps(
    series: Series, frames: Frames, region: np.ndarray, options: DvrOptions, mask: np.ndarray | None = None
) -> DvrMaps:
    """Fit every voxel of a dynamic PET; see `logan_reference` for the equation.

    Parameters
    ----------
    series
        (I, J, K, F) activity, corrected for decay; where the head moved, `realigned`.
    frames
        Their times.
    region
        (I, J, K) bool: the reference region.
    options
        Of the step.
    mask
        (I, J, K) bool: where to fit; by default where the late activity is above a fifth of the reference region's.

    Raises
    ------
    MyelinError
        If the reference region is empty, or the fit impossible.
    """
    if not region.any():
        raise MyelinError("the reference region is empty on the PET's grid: give another mask or label")
    curve = series.array[region].mean(axis=0, dtype=np.float64)
    average = series.mean(late_frames(frames, options.t_star))
    if mask is None:
        mask = average.array > HEAD * float(average.array[region].mean())
    fit = logan_reference(series.array[mask], curve, frames, options.t_star, options.k2_prime)
    notes = []
    size = float(region.sum()) * average.voxel_volume / 1000
    if size < SMALL:
        notes.append(f"the reference region has {size:.2f} ml: its curve may be noisy")
    if lost := int((fit.r2 == 0).sum()):
        notes.append(f"{lost} of {len(fit.r2)} voxels have no positive activity in every fitted frame: their DVR is 0")
    maps = []
    for values in (fit.dvr, fit.r2):
        array = np.zeros(mask.shape, dtype=np.float32)
        array[mask] = values
        maps.append(Volume(array, series.affine))
    return DvrMaps(maps[0], maps[1], average, curve, tuple(notes))
