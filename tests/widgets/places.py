"""Subjects whose voxels lie in awkward places, and looking up where they are shown."""

from __future__ import annotations

from typing import Any

import numpy as np
from nibabel.affines import apply_affine

from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume

SHAPE = (20, 22, 18)
SPOT = (5, 14, 7)  # the voxel that stands out, in the file's own indices


def awkward_affine() -> np.ndarray:
    """Return an affine that is oblique, flipped and anisotropic: axes run left, anterior, inferior."""
    a, b = np.deg2rad(14), np.deg2rad(-8)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag([-1.5, 2.0, -2.75])
    affine[:3, 3] = (20.0, -25.0, 31.0)
    return affine


def awkward_subject() -> Subject:
    """Return a subject in memory on that grid, with the spot brightest in every map and alone in the lesion mask.

    Its FLAIR lies on a grid of its own: turned against the maps, finer, with a bright ball of 3 mm at the spot.
    """
    affine = awkward_affine()
    random = np.random.default_rng(7)
    files: dict[str, Volume] = {}
    for name, low, high in (("MTR", 30, 50), ("FA", 0.1, 0.5), ("RD", 0.4, 0.9), ("AD", 1.0, 1.5), ("dvr", 0.9, 1.2)):
        array = random.uniform(low, high, SHAPE).astype(np.float32)
        array[SPOT] = high * 1.5
        files[name] = Volume(array, affine)
    lesion = np.zeros(SHAPE, dtype=bool)
    lesion[SPOT] = True
    files |= {"lesion": Volume(lesion, affine), "brain": Volume(np.ones(SHAPE, dtype=bool), affine)}
    finer = np.diag([1.0, 1.0, 1.0, 1.0])
    finer[:3, 3] = apply_affine(affine, (10, 11, 9)) - 30
    places = apply_affine(finer, np.moveaxis(np.indices((60, 60, 60)), 0, -1))
    ball = np.linalg.norm(places - spot_in_world(), axis=-1) < 3
    files["flair"] = Volume((100 + 400 * ball).astype(np.float32), finer)
    return Subject("awk", None, "MS", files=files)


def spot_in_world() -> np.ndarray:
    """Return where the spot lies, RAS+ mm."""
    return np.asarray(apply_affine(awkward_affine(), SPOT))


def brightest(layer: Any) -> np.ndarray:
    """Return where a layer's brightest voxels are shown, their mean, in the viewer's coordinates."""
    data = np.asarray(layer.data)
    at = np.argwhere(data == data.max())
    return np.asarray([layer.data_to_world(tuple(index)) for index in at]).mean(axis=0)
