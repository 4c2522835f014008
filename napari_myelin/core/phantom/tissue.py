"""Latent tissue: myelin, axons, free water, voxel by voxel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_myelin.core.phantom.anatomy import Anatomy, smooth_noise
from napari_myelin.core.phantom.lesions import Lesions

DEMYELINATED = 0.7  # relative myelin below which a voxel counts as demyelinated
SHARE = (0.2, 0.8)  # of a patient's lesion voxels

# kind of lesion: relative myelin, axons and free water at the centre, as (low, high)
KINDS = {
    "active": ((0.25, 0.60), (0.70, 0.90), (0.12, 0.30)),
    "chronic": ((0.15, 0.55), (0.40, 0.70), (0.06, 0.23)),
    "remyelinated": ((0.65, 0.92), (0.70, 0.95), (0.02, 0.13)),
    "inflammatory": ((0.85, 1.00), (0.85, 1.00), (0.10, 0.28)),
}
FREQUENCY = (0.25, 0.35, 0.22, 0.18)


@dataclass(frozen=True, eq=False)
class Tissue:
    """Latents on the subject's grid, (I, J, K) float32: ``myelin`` and ``axon`` 1 in normal WM, ``water`` in [0, 1]."""

    myelin: np.ndarray
    axon: np.ndarray
    water: np.ndarray


def make_tissue(random: np.random.Generator, anatomy: Anatomy, lesions: Lesions, patient: bool) -> Tissue:
    """Draw the latents of a subject.

    Parameters
    ----------
    random
        Source of chance.
    anatomy, lesions
        The subject's.
    patient
        Whether normal-appearing white matter has lost up to 3 % of its myelin.
    """
    shape = anatomy.wm.shape
    background = 1 - random.uniform(0, 0.03) if patient else 1.0
    texture = smooth_noise(random, shape, 2.5 / anatomy.spacing)
    second = smooth_noise(random, shape, 3.0 / anatomy.spacing)
    count = int(lesions.label.max())
    inside = lesions.mask
    if count == 0:
        return _healthy(shape, background, texture)
    near = 0.12 * np.exp(-anatomy.ventricle[inside] / 6)
    share = -1.0
    for _ in range(200):  # the kinds are drawn again until the patient is neither spared nor all demyelinated
        latents = _draw_kinds(random, count)
        myelin, axon, water = (latents[:, column][lesions.label[inside] - 1] for column in range(3))
        depth = np.clip(0.45 + 0.75 * lesions.core[inside], 0, 1)
        loss = (1 - myelin) * depth + 0.10 * texture[inside] * (1.1 - myelin) + near * (1 - myelin)
        relative = np.clip(1 - loss, 0.05, 1.0)
        share = float((relative < DEMYELINATED).mean())
        if SHARE[0] <= share <= SHARE[1]:
            break
    tissue = _healthy(shape, background, texture)
    tissue.myelin[inside] = background * relative
    tissue.axon[inside] = np.clip(1 - (1 - axon) * depth, 0, 1)
    tissue.water[inside] = np.clip(water * (0.5 + 0.7 * lesions.core[inside]) + 0.05 * second[inside], 0, 0.6)
    return tissue


def _draw_kinds(random: np.random.Generator, count: int) -> np.ndarray:
    """Return myelin, axon and water at the centre of each lesion, (count, 3)."""
    # patients differ in what their lesions are like
    mix = random.dirichlet(6 * np.asarray(FREQUENCY))
    kinds = random.choice(len(KINDS), size=count, p=mix)
    bounds = np.asarray(list(KINDS.values()))[kinds]
    return np.asarray(random.uniform(bounds[..., 0], bounds[..., 1]))


def _healthy(shape: tuple[int, ...], background: float, texture: np.ndarray) -> Tissue:
    return Tissue(
        myelin=np.full(shape, background, dtype=np.float32),
        axon=np.ones(shape, dtype=np.float32),
        water=np.clip(0.01 + 0.01 * texture, 0, 1).astype(np.float32),
    )
