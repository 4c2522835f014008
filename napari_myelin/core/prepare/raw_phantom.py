"""A simulated subject as scanners would give it: raw BIDS from the phantom's maps, each scan in a pose of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import distance_transform_edt, map_coordinates
from scipy.spatial.transform import Rotation

from napari_myelin.core.phantom.anatomy import template
from napari_myelin.core.phantom.cohort import PhantomSubject

SKULL, SCALP = 5.0, 10.0  # mm from the brain where skull and skin end
TURN, SHIFT = 2.5, 2.5  # degrees about each axis and mm, SD of a scan's pose
NUDGE = 0.5  # degrees and mm, SD of the motion between DWI volumes
MAPS = ("MTR", "RD", "AD")
FIBRES = np.array([0.5, 0.4, 0.77]) / np.linalg.norm([0.5, 0.4, 0.77])  # that fibres run round
CENTRE = np.array([0.0, -18.0, 10.0])  # mm, on their axis


@dataclass(frozen=True, eq=False)
class Tissues:
    """What lies at some points: fractions ``wm``, ``gm``, ``csf`` and ``scalp``, and the phantom's maps by name."""

    wm: np.ndarray
    gm: np.ndarray
    csf: np.ndarray
    scalp: np.ndarray
    maps: dict[str, np.ndarray]

    def mixed(self, wm: float | np.ndarray, gm: float, csf: float, scalp: float) -> np.ndarray:
        """Return a signal from its value in each tissue."""
        return np.asarray(self.wm * wm + gm * self.gm + csf * self.csf + scalp * self.scalp)


class Head:
    """A phantom subject whose tissue can be asked for at any point, with a skull and a scalp round its brain."""

    def __init__(self, phantom: PhantomSubject) -> None:
        self.phantom = phantom
        brain = phantom.volumes["brain"]
        self.affine, self.spacing = brain.affine, brain.spacing[0]
        self.margin = int(np.ceil((SCALP + 4) / self.spacing))
        padded = np.pad(brain.array, self.margin)
        away = distance_transform_edt(~padded) * self.spacing
        self._scalp = np.clip((away - SKULL) / 2, 0, 1) * np.clip((SCALP - away) / 2 + 1, 0, 1)
        self._maps = {
            name: np.pad(volume.array.astype(np.float32), self.margin)
            for name, volume in phantom.volumes.items()
            if name in (*MAPS, "lesion", "brain")
        }
        self._maps["myelin"] = np.pad(phantom.tissue.myelin, self.margin, constant_values=1)

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the corners in mm of the box that holds the head."""
        where = np.argwhere(self._scalp > 0)
        ends = np.stack([where.min(axis=0), where.max(axis=0)]) - self.margin
        low, high = apply_affine(self.affine, ends)
        return low, high

    def at(self, points: np.ndarray) -> Tissues:
        """Return what lies at points (..., 3) of the subject, RAS+ mm."""
        index = np.moveaxis((points - self.affine[:3, 3]) / self.spacing + self.margin, -1, 0)
        parts = template()
        fine = np.moveaxis(self.phantom.to_template(points) - parts.affine[:3, 3], -1, 0)

        def sample(array: np.ndarray, where: np.ndarray, mode: str = "constant") -> np.ndarray:
            return np.asarray(map_coordinates(array, where, order=1, mode=mode, output=np.float32))

        maps = {name: sample(array, index, "nearest") for name, array in self._maps.items()}
        inside = maps["brain"] > 0.5
        for name in MAPS:  # they are 0 outside the brain, which must not bleed into its edge
            maps[name] = np.where(inside, maps[name] / np.maximum(maps["brain"], 0.5), 0)
        wm, gm, csf = (sample(array, fine) * inside for array in (parts.wm, parts.gm, parts.csf))
        return Tissues(wm, gm, csf, sample(self._scalp, index), maps)


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan's grid, ``shape`` and ``affine``, and its ``pose`` (4, 4): points of the subject to points of the scan."""

    shape: tuple[int, int, int]
    affine: np.ndarray
    pose: np.ndarray

    def points(self, nudge: np.ndarray | None = None) -> np.ndarray:
        """Return the subject's points of the scan's voxels, (I, J, K, 3), where ``nudge`` moved the head further."""
        world = apply_affine(self.affine, np.moveaxis(np.indices(self.shape), 0, -1))
        pose = self.pose if nudge is None else nudge @ self.pose
        return np.asarray(apply_affine(np.linalg.inv(pose), world))


def rigid(random: np.random.Generator, turn: float, shift: float, centre: np.ndarray) -> np.ndarray:
    """Draw a rigid motion (4, 4) about ``centre``: ``turn`` degrees and ``shift`` mm, SD along each axis."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", turn * random.standard_normal(3), degrees=True).as_matrix()
    matrix[:3, 3] = centre - matrix[:3, :3] @ centre + shift * random.standard_normal(3)
    return matrix


def make_scan(
    random: np.random.Generator, head: Head, spacing: tuple[float, float, float], left_first: bool, oblique: float = 0.0
) -> Scan:
    """Draw a scan of the whole head.

    Parameters
    ----------
    random
        Source of chance.
    head
        That it shows.
    spacing
        mm along its axes.
    left_first
        Whether its first axis runs from right to left.
    oblique
        Degrees that its grid is turned about the x axis.
    """
    low, high = head.box()
    middle, size = (low + high) / 2, high - low + 8
    shape = tuple(int(each) for each in np.ceil(size / spacing))
    turn = Rotation.from_euler("x", oblique, degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(np.asarray(spacing) * ([-1, 1, 1] if left_first else [1, 1, 1]))
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Scan(shape, affine, rigid(random, TURN, SHIFT, middle))  # type: ignore[arg-type]


def bias_field(random: np.random.Generator, shape: tuple[int, int, int], strength: float = 0.15) -> np.ndarray:
    """Return a smooth multiplicative receive field, about 1: the exponential of a random quadratic polynomial."""
    u, v, w = np.meshgrid(*[np.linspace(-1, 1, edge, dtype=np.float32) for edge in shape], indexing="ij", sparse=True)
    weights = strength * random.uniform(-1, 1, 6)
    terms = (u, v, w, u * v, v * w - 0.3, u * u + w * w - 0.6)
    return np.asarray(np.exp(sum(weight * term for weight, term in zip(weights, terms, strict=True))))


def t1w(random: np.random.Generator, head: Head, scan: Scan) -> np.ndarray:
    """Return a T1w image, arbitrary units: lesions dark, a receive field, noise."""
    tissue = head.at(scan.points())
    lost = 1 - np.clip(tissue.maps["myelin"], 0, 1)
    signal = tissue.mixed(200 - 90 * lost, 140, 50, 230) * bias_field(random, scan.shape)
    return _rician(random, signal, 4)


def t2w(random: np.random.Generator, head: Head, scan: Scan) -> np.ndarray:
    """Return a T2w image, arbitrary units."""
    tissue = head.at(scan.points())
    lost = 1 - np.clip(tissue.maps["myelin"], 0, 1)
    return _rician(random, tissue.mixed(90 + 60 * lost, 130, 280, 110) * bias_field(random, scan.shape), 4)


def flair(random: np.random.Generator, head: Head, scan: Scan) -> tuple[np.ndarray, np.ndarray]:
    """Return a FLAIR and the lesion mask that was drawn on it."""
    tissue = head.at(scan.points())
    lesion = tissue.maps.get("lesion", np.zeros(scan.shape, dtype=np.float32))
    signal = tissue.mixed(90 + 110 * lesion, 120, 20, 130) * bias_field(random, scan.shape)
    return _rician(random, signal, 4), lesion >= 0.5


def mt_pair(random: np.random.Generator, head: Head, scans: tuple[Scan, Scan]) -> tuple[np.ndarray, np.ndarray]:
    """Return the images with and without MT pulse, each in a pose of its own, with one receive field."""
    field = bias_field(random, scans[1].shape)
    images = []
    for scan, pulse in zip(scans, (True, False), strict=True):
        tissue = head.at(scan.points())
        left = 1 - tissue.maps["MTR"] / 100 if pulse else 1.0
        brain = tissue.mixed(350, 400, 430, 0) * left
        images.append(_rician(random, (brain + 300 * tissue.scalp) * field, 3))
    return images[0], images[1]


def diffusion(
    random: np.random.Generator, head: Head, scan: Scan, directions: np.ndarray, bval: float
) -> Iterator[np.ndarray]:
    """Yield a volume without and then one with weighting along each RAS+ direction; the head moves in between."""
    centre = np.asarray(head.box()).mean(axis=0)
    for vector in (np.zeros(3), *directions):
        nudge = np.eye(4) if not vector.any() else rigid(random, NUDGE, NUDGE, centre)
        points = scan.points(nudge)
        tissue = head.at(points)
        fibre = np.cross(FIBRES, points - CENTRE)
        fibre /= np.maximum(np.linalg.norm(fibre, axis=-1), 1e-3)[..., None]
        own = (nudge @ scan.pose)[:3, :3].T @ vector
        along = (fibre @ own) ** 2
        rd, ad = tissue.maps["RD"], tissue.maps["AD"]
        lost = np.exp(-bval * 1e-3 * (rd + (ad - rd) * along)) if vector.any() else 1.0
        yield _rician(random, tissue.mixed(300, 360, 700, 0) * lost + 60 * tissue.scalp, 8)


def _rician(random: np.random.Generator, signal: np.ndarray, sd: float) -> np.ndarray:
    real, imaginary = (sd * random.standard_normal(signal.shape, dtype=np.float32) for _ in range(2))
    return np.asarray(np.hypot(signal + real, imaginary), dtype=np.float32)
