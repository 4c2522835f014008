"""The reference region of a subject without one: inferior cerebellar grey matter of the template."""

from __future__ import annotations

import numpy as np
from nilearn import datasets

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.prepare.resampling import resample
from napari_myelin.core.prepare.transforms import Chain

BELOW, BEHIND = -30.0, -40.0  # mm in MNI space: lower and further back there is cerebellum only
GREY = 0.6  # probability from which a voxel counts


def cerebellar_grey(grid: Volume, to_template: Chain) -> np.ndarray:
    """Return the inferior cerebellar grey matter on a subject's grid, (I, J, K) bool.

    Below z = -30 and behind y = -40 mm of MNI space, the template's grey matter (probability above .6) is the
    cerebellum's; its upper part, which a PET's resolution mixes with the occipital lobe, is left out.

    Parameters
    ----------
    grid
        The subject's.
    to_template
        Maps its points to the template's.
    """
    image = datasets.load_mni152_gm_template(1)
    affine = np.asarray(image.affine, dtype=np.float64)
    grey = np.array(image.get_fdata(dtype=np.float32))
    first = [np.arange(edge) * affine[axis, axis] + affine[axis, 3] for axis, edge in enumerate(grey.shape)]
    grey[:, first[1] > BEHIND, :] = 0
    grey[:, :, first[2] > BELOW] = 0
    return np.asarray(resample(Volume(grey, affine), grid, to_template).array > GREY)
