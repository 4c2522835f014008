"""Rigid and affine registration (SimpleITK): where each point of one image lies in another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.prepare.itk import matrix_of, to_itk, to_itk_affine
from napari_myelin.core.prepare.libraries import library

SAMPLES = 30_000  # voxels whose metric is looked at, on each level
SEED = 1  # which voxels: always the same
BINS = 32
THIN = 8  # voxels an edge that a level must keep

Kind = Literal["rigid", "affine"]


@dataclass(frozen=True, eq=False)
class Alignment:
    """How one image lies to another.

    ``matrix`` (4, 4) maps points of the fixed image to points of the moving one, RAS+ mm; ``before`` and ``after`` are
    their mutual information (Mattes, nats, larger is better) with the headers alone and with the matrix.
    """

    matrix: np.ndarray
    before: float
    after: float


def align(
    fixed: Volume, moving: Volume, kind: Kind = "rigid", *, mask: np.ndarray | None = None, centre: bool = False
) -> Alignment:
    """Register two images of one head by mutual information (Mattes et al. 2003, doi:10.1109/TMI.2003.809072).

    Parameters
    ----------
    fixed, moving
        Any contrast; overlapping by their headers, or ``centre``.
    kind
        6 or 12 parameters.
    mask
        Where of the fixed image to look, bool.
    centre
        Start with the centres of mass on each other where that is the better start: for images of other sessions.
    """
    target, source = to_itk(fixed), to_itk(moving)
    method = _method(_sample_share(fixed, mask))
    if mask is not None:
        method.SetMetricFixedMask(to_itk(Volume(mask, fixed.affine)))
    starts = [np.eye(4)] + ([_centred(fixed, moving)] if centre else [])
    scores = [_score(method, target, source, start) for start in starts]
    start = starts[int(np.argmax(scores))]
    for step in ("rigid", "affine") if kind == "affine" else ("rigid",):
        start = _optimise(method, target, source, start, step, _levels(fixed))
    after = _score(method, target, source, start)
    if after < max(scores):  # the search went astray: what there was is better
        start, after = starts[int(np.argmax(scores))], max(scores)
    return Alignment(start, scores[0], after)


def _sample_share(fixed: Volume, mask: np.ndarray | None) -> float:
    voxels = int(np.prod(fixed.shape)) if mask is None else max(1, int(mask.sum()))
    return float(min(1.0, SAMPLES / voxels))


def _method(share: float) -> Any:
    sitk = library("SimpleITK")
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricSamplingStrategy(method.RANDOM if share < 1 else method.NONE)
    method.SetMetricSamplingPercentage(share, SEED)
    method.SetInterpolator(sitk.sitkLinear)
    return method


def _levels(fixed: Volume) -> Sequence[int]:
    # thin stacks keep their slices
    return [factor for factor in (4, 2, 1) if factor == 1 or min(fixed.shape) // factor >= THIN]


def _centred(fixed: Volume, moving: Volume) -> np.ndarray:
    def centre(volume: Volume) -> np.ndarray:
        weight = np.clip(np.nan_to_num(volume.array.astype(np.float64)), 0, None)
        total = weight.sum() or 1.0
        means = [
            (weight.sum(axis=tuple({0, 1, 2} - {axis})) * np.arange(edge)).sum() / total
            for axis, edge in enumerate(volume.shape)
        ]
        return volume.world(means)

    matrix = np.eye(4)
    matrix[:3, 3] = centre(moving) - centre(fixed)
    return matrix


def _score(method: Any, target: Any, source: Any, start: np.ndarray) -> float:
    method.SetInitialTransform(to_itk_affine(start))
    try:
        return -float(method.MetricEvaluate(target, source))
    except RuntimeError:  # no sample falls into the moving image
        return 0.0


def _optimise(method: Any, target: Any, source: Any, start: np.ndarray, kind: str, levels: Sequence[int]) -> np.ndarray:
    sitk = library("SimpleITK")
    middle = target.TransformContinuousIndexToPhysicalPoint([(edge - 1) / 2 for edge in target.GetSize()])
    transform = sitk.Euler3DTransform() if kind == "rigid" else sitk.AffineTransform(3)
    transform.SetCenter(middle)
    # the start is applied after the search's own transform, so that this stays near the identity
    method.SetMovingInitialTransform(to_itk_affine(start))
    method.SetInitialTransform(transform, inPlace=True)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 2e-3, 100, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(levels)
    method.SetSmoothingSigmasPerLevel([0.5 * factor if factor > 1 else 0.0 for factor in levels])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    method.Execute(target, source)
    method.SetMovingInitialTransform(sitk.Transform(3, sitk.sitkIdentity))
    return np.asarray(start @ matrix_of(transform))
