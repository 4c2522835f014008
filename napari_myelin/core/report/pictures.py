"""Slices as small PNG pictures: axial, the patient's right on the picture's left, as radiologists look at them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO

import matplotlib as mpl
import nibabel as nib
import numpy as np
from matplotlib.image import imsave
from scipy.ndimage import binary_erosion

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.evaluation.demyelination import BOTH, NEITHER, PREDICTED_ONLY, TRUE_ONLY

PIXELS = 280  # width that a slice is enlarged to, at least
OUTLINE = (0.20, 0.85, 1.0)
# the paper's figure 8
AGREEMENT = {
    BOTH: ("#ffd60a", "demyelinated in both"),
    NEITHER: ("#ffffff", "demyelinated in neither"),
    TRUE_ONLY: ("#e01e26", "in the measured map only"),
    PREDICTED_ONLY: ("#ff8c1a", "in the predicted map only"),
}


@dataclass(frozen=True)
class Window:
    """How values become colours: from ``low`` to ``high`` through a matplotlib ``colours`` map, with their ``unit``."""

    low: float
    high: float
    colours: str = "gray"
    unit: str = ""

    def gradient(self) -> str:
        """Return the colours as a CSS gradient."""
        stops = mpl.colormaps[self.colours](np.linspace(0, 1, 9))
        return "linear-gradient(90deg, " + ", ".join(mpl.colors.to_hex(stop) for stop in stops) + ")"


def canonical(volume: Volume) -> Volume:
    """Return a volume with its axes along right, anterior, superior, as near as they come."""
    kind = np.uint8 if volume.array.dtype == bool else np.float32
    image = nib.as_closest_canonical(nib.Nifti1Image(volume.array.astype(kind), volume.affine))
    array = np.asarray(image.dataobj)
    return Volume(array.astype(bool) if volume.array.dtype == bool else array, np.asarray(image.affine))


@dataclass(frozen=True, eq=False)
class Cut:
    """Which axial slice of a subject is shown, and which part of it."""

    k: int
    i: slice
    j: slice
    aspect: float  # height of a voxel over its width

    @classmethod
    def through(cls, brain: Volume, lesion: np.ndarray | None) -> Cut:
        """Return the slice with most lesion voxels (or brain, without one), cropped to the brain; both canonical."""
        wanted = lesion if lesion is not None and lesion.any() else brain.array
        k = int(np.argmax(wanted.sum(axis=(0, 1))))
        i, j = (_extent(np.asarray(brain.array.any(axis=(other, 2)))) for other in (1, 0))
        return cls(k, i, j, brain.spacing[1] / brain.spacing[0])

    def of(self, array: np.ndarray) -> np.ndarray:
        """Return the slice as (rows, columns), top row anterior, left column the patient's right, enlarged."""
        flat = array[self.i, self.j, self.k][::-1, ::-1].T
        times = max(1, -(-PIXELS // flat.shape[1]))
        rows = np.floor(np.arange(round(flat.shape[0] * times * self.aspect)) / (times * self.aspect)).astype(int)
        return np.repeat(flat[np.minimum(rows, flat.shape[0] - 1)], times, axis=1)


def _extent(used: np.ndarray) -> slice:
    where = np.flatnonzero(used)
    if where.size == 0:
        return slice(0, len(used))
    return slice(max(0, int(where[0]) - 2), min(len(used), int(where[-1]) + 3))


def map_picture(array: np.ndarray, cut: Cut, window: Window, outline: np.ndarray | None = None) -> str:
    """Return a map's slice as the source of an ``<img>``; all arrays canonical.

    Parameters
    ----------
    array
        (I, J, K).
    cut, window
        Which slice, and in which colours.
    outline
        A mask whose border is drawn.
    """
    scaled = (cut.of(array) - window.low) / (window.high - window.low)
    rgb = mpl.colormaps[window.colours](np.clip(np.nan_to_num(scaled), 0, 1))[..., :3]
    if outline is not None:
        mask = cut.of(outline)
        # pages show pictures at about half their size: a line of one pixel would fade
        rgb[mask & ~binary_erosion(mask, iterations=2)] = OUTLINE
    return _source(rgb)


def agreement_picture(labels: np.ndarray, background: np.ndarray, cut: Cut, window: Window) -> str:
    """Return where two demyelination masks agree, in the paper's four colours over a grey map."""
    rgb = np.repeat(np.clip((cut.of(background) - window.low) / (window.high - window.low), 0, 1)[..., None], 3, axis=2)
    rgb = 0.75 * np.nan_to_num(rgb)
    flat = cut.of(labels)
    for label, (colour, _) in AGREEMENT.items():
        rgb[flat == label] = mpl.colors.to_rgb(colour)
    return _source(rgb)


def _source(rgb: np.ndarray) -> str:
    buffer = BytesIO()
    imsave(buffer, np.round(rgb * 255).astype(np.uint8), format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
