"""Lesion masks as files: where one is saved, saving it so that it is sure to be there, and taking one in."""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import napari_myelin
from napari_myelin.core.data.bids import bids_path, sidecar, write_json
from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.export import SPATIAL_REFERENCE
from napari_myelin.core.data.samples import sample_folder
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume, read_volume, write_volume
from napari_myelin.core.errors import MyelinError

BACKUP = ".bak"


def own_place(subject: Subject, cohort: Cohort | None) -> Path | None:
    """Return where a subject's mask is saved without asking for a name; None where nothing is given.

    That is the file it was read from or last saved to, so that the cohort finds it again; else its BIDS name in the
    cohort's folder. The cohort that comes with the package is never written to, and beside files from anywhere no
    folders are made.
    """
    sample = cohort is not None and _is_sample(cohort.root)
    given = subject.files.get("lesion")
    if isinstance(given, Path) and not (sample and given.resolve().is_relative_to(cohort.root.resolve())):
        return given
    if cohort is None or sample:
        return None
    root = cohort.root
    if root.is_dir() and not (root / f"sub-{subject.name}").is_dir():
        return None
    return bids_path(root if root.is_dir() else root.parent, subject.name, subject.session, "lesion")


def suggested_place(subject: Subject, cohort: Cohort | None) -> Path:
    """Return what *Save as* starts with: its own place, else its BIDS name beside its maps (or in the home)."""
    place = own_place(subject, cohort)
    if place is not None:
        return place
    maps = [file for file in subject.files.values() if isinstance(file, Path)]
    folder = maps[0].parent if maps and not (cohort is not None and _is_sample(cohort.root)) else Path.home()
    return folder / bids_path(folder, subject.name, subject.session, "lesion").name


def _is_sample(root: Path) -> bool:
    try:
        return root.resolve() == sample_folder().resolve()
    except MyelinError:
        return False


def save_mask(path: Path, mask: Volume, subject: Subject, *, backup: bool = False) -> None:
    """Write a mask, read it back, and only then let it take its name; a file of that name is replaced.

    Parameters
    ----------
    path
        ``.nii.gz`` or ``.nii``; its folders are made. A sidecar is written beside it, whose other fields are kept.
    mask
        bool, on the subject's own grid.
    subject
        Whose it is.
    backup
        Whether a file of that name is kept, with `BACKUP` appended to its name.

    Raises
    ------
    MyelinError
        If it cannot be written, or what was written is not the mask; what was there before is then untouched.
    """
    if not path.name.endswith((".nii.gz", ".nii")):
        raise MyelinError(f"{path.name} is no name for a mask: let it end in .nii.gz")
    unproved = path.with_name(f".unproved-{path.name}")
    try:
        write_volume(unproved, mask, intent="lesion", description=f"napari-myelin {napari_myelin.__version__}")
        _prove(unproved, path, mask)
        if backup and path.exists():
            path.replace(_free_name(path))
        unproved.replace(path)
        _write_sidecar(path)
    except MyelinError as error:
        raise MyelinError(str(error).replace(str(unproved), str(path))) from error
    except OSError as error:
        raise MyelinError(f"cannot write {path}: {error.strerror}; choose another folder or free some space") from error
    finally:
        _forget(unproved)


def _prove(written: Path, path: Path, mask: Volume) -> None:
    with written.open("rb") as file:
        os.fsync(file.fileno())
    back = read_volume(written, mask=True)
    if not (back.same_grid(mask) and np.array_equal(back.array, mask.array)):
        raise MyelinError(f"{path} was written but reads back differently: the disk may be failing; save elsewhere")


def _free_name(path: Path) -> Path:
    for number in itertools.count():
        free = path.with_name(f"{path.name}{BACKUP}{number or ''}")
        if not free.exists():
            break
    return free


def _forget(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # the folder is gone, or was none
        return


def _write_sidecar(path: Path) -> None:
    try:
        before: dict[str, Any] = json.loads(sidecar(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = {}
    ours = {
        "SpatialReference": SPATIAL_REFERENCE,
        "Type": "Lesion",
        "Manual": True,
        "Software": f"napari-myelin {napari_myelin.__version__}",
    }
    write_json(sidecar(path), {"Sources": [], **before, **ours})


@dataclass(frozen=True, eq=False)
class Imported:
    """A mask from a file or a layer, on a subject's own grid.

    ``mask``, bool; ``resampled``, whether it lay on another grid; ``before`` and ``after``, what it was and is, in
    words; ``notes``, sentences on what else happened to it.
    """

    source: str
    mask: Volume
    resampled: bool
    before: str
    after: str
    notes: tuple[str, ...] = ()


def import_mask(path: Path, grid: Volume) -> Imported:
    """Read a mask file onto a subject's own grid, to the nearest voxel where it lies on another.

    Parameters
    ----------
    path
        NIfTI; several labels become one.
    grid
        Its shape and affine are the subject's.

    Raises
    ------
    MyelinError
        If it cannot be read, holds no mask, or lies outside the grid.
    """
    volume = read_volume(path)
    values = np.unique(volume.array)
    if not np.isfinite(values).all() or (values != np.round(values)).any():
        odd = next(value for value in values if value != np.round(value) or not np.isfinite(value))
        raise MyelinError(f"{path.name} holds values such as {odd:.3g}, expected labels: cut it at a threshold first")
    labels = values[values != 0]
    notes = (f"its {len(labels)} labels became one mask",) if len(labels) > 1 else ()
    return place_mask(path.name, Volume(volume.array != 0, volume.affine), grid, notes)


def place_mask(source: str, mask: Volume, grid: Volume, notes: tuple[str, ...] = ()) -> Imported:
    """Return a mask on a subject's own grid, with how much of it there was and is.

    Raises
    ------
    MyelinError
        If it has voxels, but none on the grid.
    """
    same = mask.same_grid(grid)
    placed = Volume(mask.array, grid.affine.copy()) if same else mask.resampled_to(grid)
    if mask.array.any() and not placed.array.any():
        raise MyelinError(f"no voxel of {source} lies in this subject's grid: is it another subject's?")
    outside = 0 if same else _outside(mask, grid)
    if outside:
        notes += (f"{outside} of its voxels lie outside the grid and are lost",)
    return Imported(source, placed, not same, amount(mask), amount(placed), notes)


def _outside(mask: Volume, grid: Volume) -> int:
    there = (mask.world(np.argwhere(mask.array)) - grid.affine[:3, 3]) @ np.linalg.inv(grid.affine[:3, :3]).T
    return int(((there < -0.5) | (there > np.asarray(grid.shape) - 0.5)).any(axis=1).sum())


def amount(mask: Volume) -> str:
    """Return how much a mask holds, in words: ``1204 voxels, 1.53 ml``."""
    count = int(mask.array.sum())
    return f"{count} voxel{'' if count == 1 else 's'}, {millilitres(count * mask.voxel_volume)}"


def millilitres(volume: float) -> str:
    """Return a volume given in mm3, in ml with three significant digits."""
    return f"{volume / 1000:.3g} ml"
