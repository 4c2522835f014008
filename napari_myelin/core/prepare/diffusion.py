"""From a diffusion-weighted series to FA, MD, RD and AD."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.prepare.convention import NAMES, Verdict, detect
from napari_myelin.core.prepare.gradients import Gradients, frame_of
from napari_myelin.core.prepare.motion import Motion, estimate_motion, measured, resample_series
from napari_myelin.core.prepare.mtr import foreground
from napari_myelin.core.prepare.options import DtiOptions
from napari_myelin.core.prepare.series import Series
from napari_myelin.core.prepare.tensor import denoise, fit_tensor
from napari_myelin.core.prepare.transforms import Chain, rotation_of

KURTOSIS = 1500.0  # s/mm2 above which a tensor no longer describes the signal well


@dataclass(frozen=True, eq=False)
class Diffusion:
    """A series made ready for the fit, its first b = 0 volume the reference.

    ``vectors`` (N, 3) are RAS+ directions as measured; ``motion`` maps the reference's points to each volume's.
    """

    series: Series
    bvals: np.ndarray
    vectors: np.ndarray
    head: np.ndarray
    motion: Motion
    verdict: Verdict
    notes: tuple[str, ...]

    @property
    def reference(self) -> Volume:
        """The first volume without weighting."""
        return self.series.volume(int(np.argmin(self.bvals > self.bvals.min() + 1e-6)))


def ready(series: Series, gradients: Gradients, options: DtiOptions, head: np.ndarray | None = None) -> Diffusion:
    """Denoise, estimate motion, and find what the b-vectors refer to; no voxel is interpolated yet.

    Parameters
    ----------
    series, gradients
        As read; volumes above ``max_b`` are left out here.
    options
        Of the step.
    head
        (I, J, K) bool mask of the brain or head; by default the foreground of the first b = 0 volume.

    Raises
    ------
    MyelinError
        If ``max_b`` leaves nothing to fit.
    """
    notes = list(gradients.notes)
    if options.max_b:
        kept = gradients.bvals <= options.max_b
        series, gradients = Series(series.array[..., kept], series.affine), gradients.take(kept)
        if not gradients.weighted.any():
            raise MyelinError(f"no diffusion-weighted volume has b of {options.max_b:g} s/mm2 or less: raise --max-b")
    elif gradients.bvals.max() > KURTOSIS:
        notes.append(f"b goes up to {gradients.bvals.max():.0f} s/mm2: above 1500 a tensor is biased; see --max-b")
    first = int(np.flatnonzero(~gradients.weighted)[0])
    if head is None:
        head = foreground(series.volume(first))
    if options.denoise:
        series = Series(denoise(series.array, head), series.affine)
    verdict = _convention(series, gradients, options, head)
    still = np.tile(np.eye(4), (series.count, 1, 1))
    motion = measured(still, Volume(head, series.affine))
    if options.dwi_motion and min(series.array.shape[:3]) > 1:
        others = [[number] for number in range(series.count) if number != first]
        motion = estimate_motion(series, series.volume(first), others, head)
    vectors = gradients.bvecs @ verdict.frame.T
    return Diffusion(series, gradients.bvals, vectors, head, motion, verdict, (*notes, verdict.text))


def _convention(series: Series, gradients: Gradients, options: DtiOptions, head: np.ndarray) -> Verdict:
    fsl = frame_of("fsl", series.affine)
    if options.gradients != "auto":
        name = options.gradients
        return Verdict(name, frame_of(name, series.affine), f"b-vectors are taken as {NAMES[name]}, as asked", {})
    maps = fit_tensor(series.array, gradients.bvals, gradients.bvecs @ fsl.T, head)
    return detect(maps.direction, maps.fa, series.affine)


def diffusion_maps(
    made: Diffusion, grid: Volume | None = None, chain: Chain | None = None, mask: np.ndarray | None = None
) -> dict[str, Volume]:
    """Return FA, MD, RD and AD on a grid: every volume is interpolated once, motion and chain together.

    Each b-vector is turned back by its volume's motion (Leemans and Jones 2009, doi:10.1002/mrm.21890).

    Parameters
    ----------
    made
        From `ready`.
    grid
        By default the series' own.
    chain
        Maps the grid's points to the reference's, affine; by default they are the same.
    mask
        (I, J, K) bool on the grid: where to fit; by default the head, which needs the series' own grid.
    """
    grid, chain, mask = grid or made.reference, chain or Chain(), made.head if mask is None else mask
    onto = chain.matrix
    if onto is None:
        raise MyelinError("diffusion is brought to the grid by an affine transform, not by a displacement field")
    series = resample_series(made.series, grid, [chain.then(matrix) for matrix in made.motion.matrices])
    turned = [
        rotation_of(matrix @ onto).T @ vector for matrix, vector in zip(made.motion.matrices, made.vectors, strict=True)
    ]
    fit = fit_tensor(series.array, made.bvals, np.array(turned), mask)
    return {name.upper(): Volume(getattr(fit, name), grid.affine) for name in ("fa", "md", "rd", "ad")}
