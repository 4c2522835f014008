"""Magnetisation transfer ratio from an image with and one without MT pulse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_fill_holes, label
from skimage.filters import threshold_otsu

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError


@dataclass(frozen=True, eq=False)
class MtrMap:
    """The map in %, (I, J, K) float32, 0 outside the mask; and the voxels inside it that were clipped to 0 or 100."""

    array: np.ndarray
    clipped: int


def mtr_map(on: np.ndarray, off: np.ndarray, mask: np.ndarray) -> MtrMap:
    r"""Compute the magnetisation transfer ratio.

    .. math:: \mathrm{MTR} = 100\,\frac{M_0 - M_\mathrm{MT}}{M_0}

    (Wolff and Balaban 1989, doi:10.1002/mrm.1910100113), clipped to [0, 100] inside the mask and 0 outside.

    Parameters
    ----------
    on, off
        (I, J, K) signal with and without MT pulse, on one grid, any unit.
    mask
        (I, J, K) bool.

    Raises
    ------
    MyelinError
        If the mask is empty, or the image with MT pulse is the brighter one.
    """
    if not mask.any():
        raise MyelinError("the mask is empty: nothing is left to compute the MTR of")
    signal, saturated = off[mask].astype(np.float64), on[mask].astype(np.float64)
    if np.median(saturated) > np.median(signal):
        raise MyelinError(
            f"the image with MT pulse is brighter (median {np.median(saturated):.4g}) than the one without "
            f"({np.median(signal):.4g}): are the two swapped?"
        )
    ratio = 100 * np.divide(signal - saturated, signal, out=np.zeros_like(signal), where=signal > 0)
    array = np.zeros(off.shape, dtype=np.float32)
    array[mask] = np.clip(ratio, 0, 100)
    return MtrMap(array, int(((ratio < 0) | (ratio > 100)).sum()))


def foreground(volume: Volume) -> np.ndarray:
    """Return where an image shows something: its largest part above half of Otsu's threshold, holes filled.

    The whole head where the image shows one; a brain mask is better, where there is one.

    Parameters
    ----------
    volume
        Any magnitude image.

    Raises
    ------
    MyelinError
        If the image is the same everywhere.
    """
    finite = np.nan_to_num(volume.array)
    if finite.min() == finite.max():
        raise MyelinError(f"the image is {finite.flat[0]:g} everywhere: export it again")
    bright = finite > threshold_otsu(finite) / 2
    labels, count = label(bright)
    if count > 1:
        bright = labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1
    # slice by slice too: an air cavity may be open towards the first or last slice
    filled = binary_fill_holes(bright)
    return np.stack([binary_fill_holes(filled[..., k]) for k in range(filled.shape[2])], axis=-1)
