"""White matter of a T1w image: lesion filling, three classes, or the labels of another program."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter
from skimage.filters import threshold_multiotsu

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.prepare.libraries import library

CLASSES = 3  # CSF, grey and white matter, from dark to bright in a T1w image
NEAR = 4.0  # mm, SD of the neighbourhood that a lesion is filled from
FREESURFER_WM = (2, 7, 41, 46, 77, 78, 79, 85, 250, 251, 252, 253, 254, 255)  # with WM hypointensities and callosum
FAST_WM = 3
BETA = 0.1  # how much a voxel's class follows its neighbours'


def fill_lesions(t1w: Volume, lesion: np.ndarray, brain: np.ndarray, seed: int = 0) -> Volume:
    """Return the T1w image with lesions painted over as the white matter around them looks.

    A lesion voxel becomes the Gaussian-weighted mean (SD 4 mm) of the white matter outside lesions, with noise of the
    SD that white matter has about that mean (after Battaglini et al. 2012, doi:10.1002/hbm.21344), so that a
    segmentation takes it for white matter and its classes are not pulled by lesions.

    Parameters
    ----------
    t1w
        Corrected for its bias field.
    lesion, brain
        (I, J, K) bool on its grid.
    seed
        Of the noise.

    Raises
    ------
    MyelinError
        If no white matter is found outside the lesions.
    """
    array = t1w.array.astype(np.float32)
    clear = brain & ~binary_dilation(lesion)
    white = _bright(array, clear) & clear
    if not white.any():
        raise MyelinError("no white matter is found outside the lesion mask: is it this subject's?")
    sigma = NEAR / np.asarray(t1w.spacing)
    weight = gaussian_filter(white.astype(np.float32), sigma)
    near = gaussian_filter(np.where(white, array, 0), sigma) / np.maximum(weight, 1e-6)
    far = weight < 1e-3  # no white matter within reach
    near[far] = array[white].mean()
    sd = float((array - near)[white].std())
    filled = array.copy()
    filled[lesion] = near[lesion] + sd * np.random.default_rng(seed).standard_normal(int(lesion.sum()))
    return Volume(filled, t1w.affine)


def _bright(array: np.ndarray, inside: np.ndarray) -> np.ndarray:
    values = array[inside]
    if values.size < CLASSES or values.min() == values.max():
        raise MyelinError("the T1w image is the same everywhere inside the brain: export it again")
    return np.asarray(array > threshold_multiotsu(values, classes=CLASSES)[-1])


def segment(t1w: Volume, brain: np.ndarray) -> np.ndarray:
    """Return the tissue of each voxel, uint8: 0 outside the brain, 1 CSF, 2 grey matter, 3 white matter.

    A Gaussian mixture whose classes prefer neighbours of their own kind (hidden Markov random field, Zhang et al.
    2001, doi:10.1109/42.906424; dipy's ``TissueClassifierHMRF``).

    Parameters
    ----------
    t1w
        Corrected for its bias field, lesions filled.
    brain
        (I, J, K) bool.
    """
    where = np.argwhere(brain)
    box = tuple(slice(low, high + 1) for low, high in zip(where.min(axis=0), where.max(axis=0), strict=True))
    inside = brain[box]
    values = np.where(inside, t1w.array[box], 0).astype(np.float64)
    low, high = np.percentile(values[inside], [0.5, 99.5])
    # dipy takes 0 for the background
    scaled = np.where(inside, np.clip((values - low) / (high - low), 0, 1) * 0.99 + 0.01, 0)
    classifier = library("dipy.segment.tissue").TissueClassifierHMRF(verbose=False)
    _, found, _ = classifier.classify(scaled, CLASSES, BETA)
    out = np.zeros(brain.shape, dtype=np.uint8)
    out[box] = np.where(inside, found, 0)
    return out


def white_matter(tissue: np.ndarray, lesion: np.ndarray | None = None) -> np.ndarray:
    """Return the white-matter mask of `segment`'s classes, lesions in it (NAWM is what lies outside them)."""
    white = tissue == CLASSES
    return np.asarray(white if lesion is None else white | lesion)


def white_matter_of_labels(labels: np.ndarray) -> np.ndarray:
    """Return white matter from FreeSurfer's labels (``aseg``, ``aparc+aseg``) or FAST's three classes.

    Raises
    ------
    MyelinError
        If it is neither.
    """
    values = {int(value) for value in np.unique(np.round(labels))}
    if values <= {0, 1, 2, 3} and FAST_WM in values:
        return np.asarray(np.round(labels) == FAST_WM)
    if {2, 41} <= values:
        return np.isin(np.round(labels), FREESURFER_WM)
    found = ", ".join(map(str, sorted(values)[:8]))
    raise MyelinError(
        f"the labels are {found}{', ...' if len(values) > 8 else ''}, expected FreeSurfer's (2 and 41 are white "
        "matter) or FAST's (0 to 3)"
    )
