"""When the frames of a dynamic PET were measured: the times of BIDS JSON, and decay."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_myelin.core.errors import MyelinError

HALF_LIFE = {"C11": 20.364 * 60, "F18": 109.771 * 60}  # s


@dataclass(frozen=True, eq=False)
class Frames:
    """Start and duration of each frame in s after the injection, both (F,) float64."""

    start: np.ndarray
    duration: np.ndarray

    @property
    def middle(self) -> np.ndarray:
        """Middle of each frame in s, (F,)."""
        return np.asarray(self.start + self.duration / 2)

    @property
    def count(self) -> int:
        """Frames."""
        return len(self.start)


def read_frames(path: Path, count: int) -> tuple[Frames, np.ndarray]:
    """Return the frames that a PET's BIDS JSON tells of, and what each is to be multiplied with against decay.

    BIDS gives times in s from ``TimeZero``; ``InjectionStart`` is taken off. Where ``ImageDecayCorrected`` is false,
    the factor of a frame from a to a + d is lambda d / (exp(-lambda a) - exp(-lambda (a + d))), which undoes the mean
    decay over it; else it is 1.

    Parameters
    ----------
    path
        The JSON beside the image.
    count
        Volumes of the image.

    Returns
    -------
    frames
        In s after the injection.
    factor
        (count,), 1 and above.

    Raises
    ------
    MyelinError
        If the file cannot be read, the times are missing, overlap or go backwards, or do not fit the image; if the
        image is not corrected for decay and its nuclide is unknown.
    """
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MyelinError(f"{path} cannot be read as JSON: BIDS wants the frame times there") from error
    for name in ("FrameTimesStart", "FrameDuration"):
        if not isinstance(table.get(name), list):
            raise MyelinError(f"{path} has no list {name}: BIDS wants each frame's time in seconds there")
    start = np.asarray(table["FrameTimesStart"], dtype=np.float64) - float(table.get("InjectionStart") or 0)
    frames = Frames(start, np.asarray(table["FrameDuration"], dtype=np.float64))
    if not len(frames.start) == len(frames.duration) == count:
        raise MyelinError(
            f"{path} tells of {len(frames.start)} frame starts and {len(frames.duration)} durations, "
            f"the image has {count} volumes: repair the JSON"
        )
    if (frames.duration <= 0).any() or (np.diff(start) < frames.duration[:-1] - 1e-3).any():
        raise MyelinError(f"the frames in {path} overlap or go backwards: repair FrameTimesStart and FrameDuration")
    return frames, _decay(path, table, frames)


def _decay(path: Path, table: dict[str, Any], frames: Frames) -> np.ndarray:
    if table.get("ImageDecayCorrected", True):
        return np.ones(frames.count)
    nuclide = str(table.get("TracerRadionuclide", "")).replace("-", "").upper()
    nuclide = nuclide[2:] + nuclide[:2] if nuclide[:2].isdigit() else nuclide  # 11C is C11
    if nuclide not in HALF_LIFE:
        raise MyelinError(
            f"{path} says that the image is not corrected for decay, and its TracerRadionuclide is "
            f'"{table.get("TracerRadionuclide", "")}", expected one of {", ".join(HALF_LIFE)}: correct it first'
        )
    rate = np.log(2) / HALF_LIFE[nuclide]
    end = frames.start + frames.duration
    return np.asarray(rate * frames.duration / (np.exp(-rate * frames.start) - np.exp(-rate * end)))
