"""Anatomy: the MNI152 template's tissues, warped into a simulated subject.

The template is the ICBM 2009a symmetric MNI152 that nilearn carries: copyright (C) 1993-2004 Louis Collins,
McConnell Brain Imaging Centre, Montreal Neurological Institute, McGill University.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from nilearn import datasets
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter, label, map_coordinates
from scipy.spatial.transform import Rotation

from napari_myelin.core.data.transform import PointTransform

FWHM_TO_SD = 1 / np.sqrt(8 * np.log(2))
COARSE = 2  # mm, of the maps derived from the template
FIELD = 5.0  # mm, of the stored transform
SCALE, SCALE_SD = 0.92, 0.03  # the template is larger than life
WARP_SD, WARP_FWHM = 1.2, 14.0  # mm, along each axis
PERIVENTRICULAR = np.array([0.0, -18.0, 20.0])  # mm, where a grid smaller than the brain is centred


@dataclass(frozen=True, eq=False)
class Template:
    """Tissue fractions at 1 mm and what everyone shares, at 2 mm, float32 in [0, 1] unless said.

    ``myelination`` is regional myelin relative to 1 (SD 10 % over white matter); ``dispersion`` of the fibres;
    ``ventricle`` the distance to the ventricles in mm.
    """

    gm: np.ndarray
    wm: np.ndarray
    csf: np.ndarray
    affine: np.ndarray
    myelination: np.ndarray
    dispersion: np.ndarray
    ventricle: np.ndarray
    coarse_affine: np.ndarray
    low: np.ndarray  # RAS mm, corners of the brain's box
    high: np.ndarray


@lru_cache(maxsize=1)
def template() -> Template:
    """Return the template, prepared once a process."""
    images = [datasets.load_mni152_gm_template(1), datasets.load_mni152_wm_template(1)]
    gm, wm = (np.asarray(image.get_fdata(dtype=np.float32)) for image in images)
    affine = np.asarray(images[0].affine, dtype=np.float64)
    brain = np.asarray(datasets.load_mni152_brain_mask(1).get_fdata() > 0)
    csf = np.clip(brain - gm - wm, 0, 1).astype(np.float32)
    where = np.argwhere(brain)
    low, high = where.min(axis=0) + affine[:3, 3], where.max(axis=0) + affine[:3, 3]
    coarse = (slice(None, None, COARSE),) * 3
    coarse_affine = affine @ np.diag([COARSE, COARSE, COARSE, 1.0])
    ventricles = _ventricles(csf[coarse], coarse_affine)
    depth = distance_transform_edt(wm[coarse] > 0.5) * COARSE
    random = np.random.default_rng(1993)  # shared by everyone: anatomy, not chance
    shape = depth.shape
    crossing = smooth_noise(random, shape, 12 / COARSE)
    dispersion = np.clip(0.15 + 0.45 * np.exp(-depth / 4.0) + 0.05 * crossing, 0.05, 0.8)
    myelination = 1 + 0.09 * smooth_noise(random, shape, 18 / COARSE) + 0.25 * (0.3 - dispersion)
    distance = distance_transform_edt(~ventricles) * COARSE
    return Template(
        gm=gm,
        wm=wm,
        csf=csf,
        affine=affine,
        myelination=myelination.astype(np.float32),
        dispersion=dispersion.astype(np.float32),
        ventricle=distance.astype(np.float32),
        coarse_affine=coarse_affine,
        low=low,
        high=high,
    )


def _ventricles(csf: np.ndarray, affine: np.ndarray) -> np.ndarray:
    # cerebrospinal fluid deep inside the brain; the sulci are parted from it by one erosion
    x, y, z = (np.arange(size) * COARSE + affine[axis, 3] for axis, size in enumerate(csf.shape))
    box = (np.abs(x) < 40)[:, None, None] & ((y > -70) & (y < 40))[None, :, None] & ((z > -8) & (z < 34))[None, None, :]
    inside = binary_erosion((csf > 0.5) & box)
    labels, count = label(inside)
    if count == 0:
        return np.asarray(inside)
    largest = np.argmax(np.bincount(labels.ravel())[1:]) + 1
    return np.asarray(labels == largest)


def smooth_noise(random: np.random.Generator, shape: tuple[int, ...], fwhm: float) -> np.ndarray:
    """Return Gaussian noise of mean 0 and SD 1 with a correlation of ``fwhm`` voxels, float32."""
    sigma = fwhm * FWHM_TO_SD
    margin = int(np.ceil(2 * sigma))
    padded = tuple(edge + 2 * margin for edge in shape)
    noise = gaussian_filter(random.standard_normal(padded, dtype=np.float32), sigma, mode="wrap")
    inner = tuple(slice(margin, margin + edge) for edge in shape)
    return np.asarray(noise[inner] / noise.std(), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Anatomy:
    """One subject's anatomy on its grid: fractions ``gm``, ``wm``, ``csf`` and the shared maps, (I, J, K) float32."""

    affine: np.ndarray
    to_template: PointTransform
    gm: np.ndarray
    wm: np.ndarray
    csf: np.ndarray
    myelination: np.ndarray
    dispersion: np.ndarray
    ventricle: np.ndarray

    @property
    def spacing(self) -> float:
        """Mm."""
        return float(self.affine[0, 0])


def grid_affine(shape: tuple[int, int, int], spacing: float) -> np.ndarray:
    """Return the affine (4, 4) of a grid centred on the brain, or where it is smaller, on the deep white matter."""
    parts = template()
    size = np.asarray(shape) * spacing
    middle = (parts.low + parts.high) / 2 * SCALE
    whole = size >= (parts.high - parts.low) * SCALE
    centre = np.where(whole, middle, PERIVENTRICULAR * SCALE)
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = np.round(centre - spacing * (np.asarray(shape) - 1) / 2, 3)
    return affine


def make_transform(random: np.random.Generator, shape: tuple[int, int, int], affine: np.ndarray) -> PointTransform:
    """Draw a subject's transform to the template: a random affine and a smooth random displacement.

    Parameters
    ----------
    random
        Source of chance.
    shape, affine
        The subject's grid, which the coarse field covers.
    """
    nodes = tuple(int(edge * affine[0, 0] // FIELD) + 3 for edge in shape)
    coarse = np.diag([FIELD, FIELD, FIELD, 1.0])
    coarse[:3, 3] = affine[:3, 3] - FIELD
    scale = 1 / (SCALE * (1 + SCALE_SD * random.standard_normal(3) / 2 + SCALE_SD * random.standard_normal() / 2))
    turn = Rotation.from_euler("xyz", 3 * random.standard_normal(3), degrees=True).as_matrix()
    shift = 1.5 * random.standard_normal(3)
    points = np.moveaxis(np.indices(nodes), 0, -1) * FIELD + coarse[:3, 3]
    target = (points @ turn.T) * scale + shift
    warp = np.stack([smooth_noise(random, nodes, WARP_FWHM / FIELD) for _ in range(3)], axis=-1)
    return PointTransform((target - points + WARP_SD * warp).astype(np.float32), coarse)


def make_anatomy(random: np.random.Generator, shape: tuple[int, int, int], spacing: float) -> Anatomy:
    """Draw a subject's anatomy.

    Parameters
    ----------
    random
        Source of chance.
    shape
        Voxels of the subject's grid.
    spacing
        mm.
    """
    parts = template()
    affine = grid_affine(shape, spacing)
    transform = make_transform(random, shape, affine)
    points = transform(np.moveaxis(np.indices(shape, dtype=np.float32), 0, -1) * np.float32(spacing) + affine[:3, 3])

    def sample(image: np.ndarray, where: np.ndarray) -> np.ndarray:
        indices = np.moveaxis((points - where[:3, 3]) / where[0, 0], -1, 0)
        return np.asarray(map_coordinates(image, indices, order=1, mode="nearest", output=np.float32))

    fine = [sample(image, parts.affine) for image in (parts.gm, parts.wm, parts.csf)]
    shared = [sample(image, parts.coarse_affine) for image in (parts.myelination, parts.dispersion, parts.ventricle)]
    return Anatomy(affine, transform, *fine, *shared)
