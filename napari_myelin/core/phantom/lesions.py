"""Lesions: how much, how many, where and of what shape.

Load and sizes follow 30 patients of the Ljubljana 3D MR database (Lesjak et al. 2017,
doi:10.1007/s12021-017-9348-7): load median 14 ml (0.3 to 53), 71 % of it in lesions above 1 ml; ln(volume in mm3)
of a single lesion has mean 3.25 and SD 1.41; 74 lesions a patient (median).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_myelin.core.phantom.anatomy import Anatomy, smooth_noise

LOAD_MEDIAN, LOAD_SD = 14_000.0, 0.85  # mm3, and SD of its logarithm
LOAD_RANGE = (300.0, 53_000.0)
LARGE = 1000.0  # mm3
LARGE_SHARE = 0.71
SMALL_MEAN, SMALL_SD = 3.25, 1.41  # of ln(volume in mm3)
SMALL_COUNT = 74


@dataclass(frozen=True, eq=False)
class Lesions:
    """Every lesion of a subject on its grid.

    ``label`` (I, J, K) int16 is 0 outside, else the lesion's number; ``core`` float32 is 1 at a lesion's centre and
    falls to 0 at its rim.
    """

    label: np.ndarray
    core: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """Bool (I, J, K)."""
        return np.asarray(self.label > 0)


def draw_volumes(random: np.random.Generator) -> np.ndarray:
    """Draw the volumes of a patient's lesions in mm3, largest first: most of the load in a few large ones."""
    load = float(np.clip(LOAD_MEDIAN * np.exp(LOAD_SD * random.standard_normal()), *LOAD_RANGE))
    large = LARGE_SHARE * load if load > 2 * LARGE else 0.0
    parts = np.zeros(0)
    if large:
        count = max(1, min(int(large // (2 * LARGE)), int(random.integers(2, 6))))
        shares = random.dirichlet(np.full(count, 2.0))
        parts = LARGE + shares * (large - count * LARGE) if large > count * LARGE else np.array([large])
    small: list[float] = []
    rest = load - parts.sum()
    # as many small ones as the load of such a patient holds; a few more or less by chance
    wanted = max(3, int(random.poisson(SMALL_COUNT * (load / LOAD_MEDIAN) ** 0.5)))
    while len(small) < wanted and rest > 0:
        volume = float(np.exp(SMALL_MEAN + SMALL_SD * random.standard_normal()))
        if volume < LARGE:
            small.append(volume)
    sizes = np.asarray(small) * min(2.0, rest / max(sum(small), 1e-6))
    return np.sort(np.concatenate([parts, sizes]))[::-1]


def no_lesions(anatomy: Anatomy) -> Lesions:
    """Return a control's lesions: none."""
    return Lesions(np.zeros(anatomy.wm.shape, dtype=np.int16), np.zeros(anatomy.wm.shape, dtype=np.float32))


def make_lesions(random: np.random.Generator, anatomy: Anatomy) -> Lesions:
    """Draw a patient's lesions inside the white matter, most of them beside the ventricles."""
    free = anatomy.wm > 0.6
    result = no_lesions(anatomy)
    if not free.any():
        return result
    voxel = anatomy.spacing**3
    texture = smooth_noise(random, anatomy.wm.shape, 7.0 / anatomy.spacing)
    small = (np.exp(-anatomy.ventricle / 7) + 0.02)[free]
    large = (np.exp(-anatomy.ventricle / 4) + 0.002)[free]
    where = np.argwhere(free)
    # a sub-volume holds its share of the lesions that a whole brain has
    covered = min(1.0, float(free.sum() * voxel) / 380_000.0) ** 0.5
    volumes = draw_volumes(random)
    volumes = volumes[random.random(len(volumes)) < max(covered, 0.35)]
    number = 0
    for volume in volumes:
        voxels = int(volume / voxel + random.random())
        if voxels == 0:
            continue  # smaller than a voxel: nobody would draw it
        weights = large if volume > LARGE else small
        centre = where[random.choice(len(where), p=weights / weights.sum())]
        number += _grow(random, anatomy, result, texture, (centre, voxels, number + 1))
    return result


def _grow(
    random: np.random.Generator,
    anatomy: Anatomy,
    lesions: Lesions,
    texture: np.ndarray,
    seed: tuple[np.ndarray, int, int],
) -> int:
    """Grow one irregular ellipsoid of so many voxels from its centre; return 1 if it found room, else 0."""
    centre, voxels, number = seed
    radius = (3 * voxels / (4 * np.pi)) ** (1 / 3)
    reach = int(np.ceil(2.6 * radius)) + 2
    low = np.maximum(centre - reach, 0)
    high = np.minimum(centre + reach + 1, anatomy.wm.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    axes = np.exp(0.25 * random.standard_normal(3))
    offset = np.moveaxis(np.indices(high - low), 0, -1) + low - centre
    distance = np.sqrt((np.square(offset / axes)).sum(axis=-1)) / radius + 0.3 * texture[box]
    free = (anatomy.wm[box] > 0.55) & (lesions.label[box] == 0)
    distance = np.where(free, distance, np.inf)
    count = min(voxels, int(free.sum()))
    if count == 0:
        return 0
    chosen = np.argpartition(distance, count - 1, axis=None)[:count]
    member = np.zeros(distance.shape, dtype=bool)
    member.flat[chosen] = True
    lesions.label[box][member] = number
    inside = distance[member]
    span = max(float(inside.max() - inside.min()), 0.5)
    lesions.core[box][member] = np.clip((inside.max() - inside) / span, 0, 1)
    return 1
