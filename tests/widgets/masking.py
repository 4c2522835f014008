"""A Lesions panel on two subjects that have no lesion mask yet, on an oblique, flipped, anisotropic grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.data.export import write_folder
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume

SHAPE = (18, 26, 14)
# flipped (the first axis runs to the left), anisotropic (1 x 1.5 x 3 mm), oblique by 12 and 7 degrees
TURN = [[np.cos(0.21), -np.sin(0.21), 0], [np.sin(0.21), np.cos(0.21), 0], [0, 0, 1]] @ np.array(
    [[1, 0, 0], [0, np.cos(0.12), -np.sin(0.12)], [0, np.sin(0.12), np.cos(0.12)]]
)
AFFINE = np.eye(4)
AFFINE[:3, :3] = TURN @ np.diag([-1.0, 1.5, 3.0])
AFFINE[:3, 3] = (12.0, -31.0, 8.0)
VOXEL = 4.5  # mm3
LESION_PATH = "sub-01/anat/sub-01_space-pet_label-L_mask.nii.gz"


def write_unmasked(folder: Path) -> Cohort:
    """Write sub-01 and sub-02, whose DVR is 1 everywhere, and open the cohort."""
    maps = {"dvr": Volume(np.ones(SHAPE, dtype=np.float32), AFFINE)}
    subjects = (Subject("01", None, "MS", 30.0, "F", maps), Subject("02", None, "MS", 30.0, "F", maps))
    write_folder(Cohort(folder.parent, subjects), folder)
    return open_cohort(folder)


def filled(qtbot: Any, panel: Any, count: int) -> None:
    """Wait until the list has so many lesions."""
    qtbot.waitUntil(lambda: len(panel.lesions.rows) == count, timeout=10_000)


def put(panel: Any, *boxes: tuple[slice, slice, slice]) -> np.ndarray:
    """Make a mask of boxes of voxels the one that is drawn in, and return it."""
    mask = np.zeros(SHAPE, dtype=bool)
    for box in boxes:
        mask[box] = True
    panel.put(Volume(mask, AFFINE))
    return mask
