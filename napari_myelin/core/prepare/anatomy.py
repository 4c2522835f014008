"""The structural images: bias field, brain mask, and the ratio of T1w and T2w."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from nilearn import datasets
from scipy.ndimage import binary_closing, binary_fill_holes, distance_transform_edt, label

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.prepare.itk import array_of, to_itk
from napari_myelin.core.prepare.libraries import library
from napari_myelin.core.prepare.registration import align
from napari_myelin.core.prepare.resampling import resample
from napari_myelin.core.prepare.transforms import Chain

STRIPPED = 0.25  # share of voxels that are exactly 0 from which an image counts as skull-stripped
FIELD = 4.0  # mm: the bias field is estimated on a grid about this coarse
REACH = 5.0  # mm that the brain may lie outside the template's mask
NECK = 2.5  # mm: what is thinner joins brain and skin, and is cut
DARK = 0.45  # of the median inside the template's mask: what is darker is CSF, bone or air
CLOSED = 8.0  # mm: sulci and ventricles narrower than this are closed


@lru_cache(maxsize=1)
def template_t1w() -> tuple[Volume, Volume]:
    """Return the MNI152 T1w (ICBM 2009a symmetric, without skull) and its brain mask, 2 mm, from nilearn."""
    image, mask = datasets.load_mni152_template(2), datasets.load_mni152_brain_mask(2)
    affine = np.asarray(image.affine, dtype=np.float64)
    return (
        Volume(np.asarray(image.get_fdata(dtype=np.float32)), affine),
        Volume(np.asarray(mask.get_fdata() > 0), affine),
    )


def unbiased(volume: Volume, mask: np.ndarray) -> tuple[Volume, np.ndarray]:
    """Divide an image by its bias field: N4 (Tustison et al. 2010, doi:10.1109/TMI.2010.2046908).

    Parameters
    ----------
    volume
        Any structural image.
    mask
        (I, J, K) bool: where the field is estimated.

    Returns
    -------
    volume
        The corrected image, everywhere.
    field
        (I, J, K) float32, 1 on average in the mask.

    Raises
    ------
    MyelinError
        If the mask is empty.
    """
    if not mask.any():
        raise MyelinError("the mask is empty: there is nothing to estimate a bias field from")
    sitk = library("SimpleITK")
    image = to_itk(Volume(np.maximum(np.nan_to_num(volume.array), 0), volume.affine))
    factors = [
        max(1, min(int(np.ceil(FIELD / edge)), size // 16))
        for edge, size in zip(volume.spacing, volume.shape, strict=True)
    ]
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations([40, 40, 30])
    n4.Execute(sitk.Shrink(image, factors), sitk.Shrink(to_itk(Volume(mask, volume.affine)), factors))
    field = np.exp(array_of(n4.GetLogBiasFieldAsImage(image)).astype(np.float32))
    field /= field[mask].mean()
    return Volume((volume.array / field).astype(np.float32), volume.affine), field


def brain_mask(t1w: Volume) -> Volume:
    """Return where the brain is, (I, J, K) bool.

    A skull-stripped image says it itself: where it is not 0. Else the template's mask is brought over by an affine
    registration; inside it and up to 5 mm around, what is bright is kept, parted from the skin by an opening of
    2.5 mm, and its sulci and ventricles are closed. A mask of your own (SynthStrip, HD-BET) is the better one.

    Parameters
    ----------
    t1w
        With or without skull.

    Raises
    ------
    MyelinError
        If nothing is left.
    """
    nonzero = np.nan_to_num(t1w.array) > 0
    if nonzero.mean() < 1 - STRIPPED and (np.nan_to_num(t1w.array) == 0).mean() >= STRIPPED:
        return Volume(np.asarray(binary_fill_holes(_largest(nonzero))), t1w.affine)
    template, inside = template_t1w()
    around = distance_transform_edt(~inside.array) * template.spacing[0] < REACH
    matrix = align(template, t1w, "affine", mask=around, centre=True).matrix
    share = resample(Volume(inside.array.astype(np.float32), inside.affine), t1w, Chain((np.linalg.inv(matrix),)))
    rough = share.array > 0.5
    if not rough.any():
        raise MyelinError("the T1w image cannot be brought onto the template: look at it, or give a brain mask")
    near = distance_transform_edt(~rough, sampling=t1w.spacing) < REACH
    bright = near & (t1w.array > DARK * np.median(t1w.array[rough]))
    neck = max(NECK, 1.01 * max(t1w.spacing))  # the outermost voxels go in any case
    core = _largest(distance_transform_edt(bright, sampling=t1w.spacing) > neck)
    brain = near & (distance_transform_edt(~core, sampling=t1w.spacing) <= neck)
    return Volume(_closed(brain, t1w.spacing), t1w.affine)


def _largest(mask: np.ndarray) -> np.ndarray:
    labels, count = label(mask)
    return np.asarray(labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1) if count else mask


def _closed(mask: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    margin = [int(np.ceil(CLOSED / edge)) for edge in spacing]
    padded = np.pad(mask, [(each, each) for each in margin])
    away = distance_transform_edt(~padded, sampling=spacing) <= CLOSED
    closed = distance_transform_edt(away, sampling=spacing) > CLOSED
    inner = tuple(slice(each, -each) for each in margin)
    return np.asarray(binary_fill_holes(binary_closing(closed[inner] | mask)))


def ratio(t1w: Volume, t2w: Volume, brain: np.ndarray) -> Volume:
    """Return the ratio of T1w and T2w, none (about 1 in the brain), 0 outside the brain; clipped to [0, 10].

    Both are corrected for their bias field, T2w is registered to T1w (rigid), and each is divided by its median in
    the brain first, as their units are arbitrary (after Glasser and Van Essen 2011, doi:10.1523/JNEUROSCI.2180-11.2011,
    who calibrate nothing; ratios of different scanners are not comparable).

    Parameters
    ----------
    t1w
        Corrected for its bias field.
    t2w
        As scanned.
    brain
        (I, J, K) bool on the grid of T1w.
    """
    matrix = align(t1w, t2w, mask=brain).matrix
    second = resample(t2w, t1w, Chain((matrix,)))
    second, _ = unbiased(second, brain & (second.array > 0))
    first = t1w.array / np.median(t1w.array[brain])
    below = second.array / np.median(second.array[brain])
    array = np.divide(first, below, out=np.zeros_like(first), where=brain & (below > 0.05))
    return Volume(np.clip(np.nan_to_num(array), 0, 10).astype(np.float32), t1w.affine)
