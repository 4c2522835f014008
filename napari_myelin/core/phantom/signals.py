"""Signals: what the scanners make of the tissue. Monotone, saturating, each confounded by another latent.

MTR falls with demyelination and with water (Schmierer et al. 2004, doi:10.1002/ana.20202); RD rises with
demyelination, axon loss, dispersion and water; AD falls with axonal injury and rises with water; FA follows
from RD and AD; DVR depends on myelin and tissue class only.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_myelin.core.phantom.anatomy import FWHM_TO_SD, Anatomy, smooth_noise
from napari_myelin.core.phantom.options import Site
from napari_myelin.core.phantom.tissue import Tissue

MTR_FWHM, DTI_FWHM = 1.1, 2.0  # mm
FREE_WATER = 2.9  # 10^-3 mm2/s
CSF_RD, CSF_AD = 2.55, 2.85


def _saturating(x: np.ndarray, rate: float) -> np.ndarray:
    """Return 0 at 0, 1 at 1, flattening."""
    return np.asarray((1 - np.exp(-rate * x)) / (1 - np.exp(-rate)))


def _blur(image: np.ndarray, fwhm: float, spacing: float) -> np.ndarray:
    # voxels average over their own size already: only what is left of the resolution is blurred
    left = np.sqrt(max(fwhm**2 - (0.6 * spacing) ** 2, 0.0))
    return np.asarray(gaussian_filter(image, left * FWHM_TO_SD / spacing) if left > 0 else image)


def _mix(anatomy: Anatomy, wm: np.ndarray, gm: float, csf: float) -> np.ndarray:
    mixed = anatomy.wm * wm + np.float32(gm) * anatomy.gm + np.float32(csf) * anatomy.csf
    return np.asarray(mixed, dtype=np.float32)


def make_mtr(random: np.random.Generator, anatomy: Anatomy, tissue: Tissue, site: Site) -> np.ndarray:
    """Return the magnetisation transfer ratio in %, (I, J, K) float32."""
    bound = _saturating(tissue.myelin * anatomy.myelination, 1.1)
    wm = (5 + 37 * bound + 9 * tissue.axon) * (1 - 0.95 * tissue.water)
    clean = np.float32(site.mtr) * _blur(_mix(anatomy, wm, 40, 5), site.blur * MTR_FWHM, anatomy.spacing)
    # what is left of the transmit field after correction
    b1 = 1 + 0.025 * np.float32(site.b1) * smooth_noise(random, wm.shape, 60 / anatomy.spacing)
    noise = random.normal(0, 1.0, wm.shape).astype(np.float32)
    return np.asarray(clean * b1 + np.float32(site.noise) * (_in_brain(anatomy) * noise))


def make_diffusion(random: np.random.Generator, anatomy: Anatomy, tissue: Tissue, site: Site) -> dict[str, np.ndarray]:
    """Return FA (none), RD and AD (10^-3 mm2/s), (I, J, K) float32, of an axially symmetric tensor."""
    loss = _saturating(1 - np.clip(tissue.myelin, 0, 1), 1.0)
    rd = 0.36 + 0.62 * anatomy.dispersion + 0.14 * loss + 0.10 * (1 - tissue.axon)
    ad = 1.46 - 0.80 * anatomy.dispersion - 0.14 * (1 - tissue.axon) + 0.20 * loss
    maps = {}
    for name, wm, gm, csf, sd in (("RD", rd, 0.92, CSF_RD, 0.03), ("AD", ad, 1.19, CSF_AD, 0.045)):
        wet = wm * (1 - tissue.water) + FREE_WATER * tissue.water
        clean = _blur(_mix(anatomy, wet, gm, csf), site.blur * DTI_FWHM, anatomy.spacing)
        noise = _in_brain(anatomy) * random.normal(0, sd, rd.shape).astype(np.float32)
        maps[name] = np.maximum(clean + np.float32(site.noise) * noise, 0)
    # eigenvalues are sorted: the axial one is never below the radial one
    maps["AD"] = np.maximum(maps["AD"], maps["RD"])
    length = np.sqrt(maps["AD"] ** 2 + 2 * maps["RD"] ** 2)
    fa = np.divide(maps["AD"] - maps["RD"], length, out=np.zeros_like(length), where=length > 0.05)
    return {"FA": fa.astype(np.float32), "RD": maps["RD"].astype(np.float32), "AD": maps["AD"].astype(np.float32)}


def make_dvr(random: np.random.Generator, anatomy: Anatomy, tissue: Tissue) -> tuple[np.ndarray, np.ndarray]:
    """Return the measured DVR and the noise-free one, (I, J, K) float32.

    Resolution (2.5 to 3.5 mm) and noise (8 to 12 % a voxel, correlated over 2.5 to 3 mm) differ between scans.
    """
    wm = 0.73 + 0.50 * _saturating(tissue.myelin * anatomy.myelination, 0.8)
    clean = _blur(_mix(anatomy, wm, 1.0, 0.6), random.uniform(2.5, 3.5), anatomy.spacing)
    noise = smooth_noise(random, wm.shape, random.uniform(2.5, 3.0) / anatomy.spacing)
    measured = clean * (1 + random.uniform(0.08, 0.12) * noise)
    return measured.astype(np.float32), clean.astype(np.float32)


def make_flair(random: np.random.Generator, anatomy: Anatomy, tissue: Tissue) -> np.ndarray:
    """Return a FLAIR-like image, arbitrary units, lesions bright: for looking and drawing, not for the network."""
    wm = 55 + 90 * tissue.water + 35 * (1 - tissue.myelin)
    clean = _mix(anatomy, wm, 72, 8)
    return np.asarray(np.maximum(clean + _in_brain(anatomy) * random.normal(0, 2.5, wm.shape).astype(np.float32), 0))


def _in_brain(anatomy: Anatomy) -> np.ndarray:
    return np.asarray(anatomy.gm + anatomy.wm + anatomy.csf > 0.05, dtype=np.float32)
