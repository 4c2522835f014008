"""What a single step writes: its files, their sidecars, and what is to be known of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from napari_myelin.core.data.volume import Volume, read_volume, write_volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.prepare.geometry import header_notes
from napari_myelin.core.prepare.provenance import write_provenance

UNITS = {"MTR": "%", "FA": "1", "MD": "10^-3 mm2/s", "RD": "10^-3 mm2/s", "AD": "10^-3 mm2/s", "DVR": "1", "R2": "1"}


@dataclass(frozen=True, eq=False)
class Made:
    """What a step wrote: name -> file, notes in sentences, and the median of each map where it is not 0."""

    files: dict[str, Path]
    notes: list[str]
    medians: dict[str, float] = field(default_factory=dict)


def stem(path: Path, *suffixes: str) -> str:
    """Return a BIDS file's name without ending and suffix: ``sub-01`` of ``sub-01_dwi.nii.gz``."""
    name = path.name.split(".nii")[0]
    for suffix in suffixes:
        name = name.removesuffix(suffix)
    return name


def write_maps(
    folder: Path,
    names: dict[str, str],
    maps: dict[str, Volume],
    made_from: tuple[list[Path], dict[str, object]],
    notes: list[str],
) -> Made:
    """Write a step's maps with their sidecars.

    Parameters
    ----------
    folder
        Where to.
    names
        Map -> name of its file.
    maps
        Map -> volume.
    made_from
        The inputs, and the step's options.
    notes
        What is to be known, in sentences.

    Raises
    ------
    MyelinError
        If something cannot be written.
    """
    sources, options = made_from
    files, medians = {}, {}
    for name, volume in maps.items():
        path = folder / names[name]
        write_volume(path, volume, intent=name)
        extra = {"Units": UNITS[name], "Notes": notes} if name in UNITS else {"Notes": notes}
        write_provenance(path, sources, options, extra)
        files[name] = path
        if volume.array.any():
            medians[name] = float(np.median(volume.array[volume.array != 0]))
    return Made(files, notes, medians)


def notes_of(*paths: Path) -> list[str]:
    """Return what is odd about files' headers, each with the file's name."""
    return [f"{path.name}: {note}" for path in paths for note in header_notes(path)]


def mask_on(path: Path, grid: Volume) -> np.ndarray:
    """Return a mask on an image's grid (nearest neighbour), by their headers.

    Raises
    ------
    MyelinError
        If it cannot be read, or is empty there.
    """
    mask = read_volume(path, mask=True)
    if not mask.same_grid(grid):
        mask = mask.resampled_to(grid)
    if not mask.array.any():
        raise MyelinError(f"the mask {path} is empty where the image lies: is it the same person's?")
    return mask.array
