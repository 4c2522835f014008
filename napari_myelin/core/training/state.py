"""The resumable state of a run: written whole or not at all, the one before it kept."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from napari_myelin.core.errors import MyelinError

KEEP = 2  # states on disk: should the newest be damaged, the one before it is used


def save_state(folder: Path, number: int, state: dict[str, Any]) -> Path:
    """Write ``state`` as ``folder/<number>.pt`` atomically and delete all but the newest `KEEP` files.

    Parameters
    ----------
    folder
        Made if it is missing.
    number
        Grows from save to save (the count of optimiser steps done).
    state
        Tensors, numbers, strings and containers of them: nothing that needs code to be read.

    Raises
    ------
    MyelinError
        If the folder cannot be written to, or is full; no half file is left.
    """
    path = folder / f"{number:012d}.pt"
    temporary = path.with_suffix(".tmp")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        reason = _system_error(error)
        if reason is None:
            raise
        raise MyelinError(
            f"cannot save the run's state in {folder}: {reason.strerror}; free some space and resume"
        ) from error
    for old in _states(folder)[KEEP:]:
        old.unlink(missing_ok=True)
    return path


def _system_error(error: BaseException | None) -> OSError | None:
    # torch ends a file that it could not write with a RuntimeError of its own; the system's error is behind it
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def load_state(folder: Path) -> dict[str, Any] | None:
    """Return the newest state that is whole, or None where there is none at all.

    Raises
    ------
    MyelinError
        If there are state files and none of them is whole.
    """
    states = _states(folder)
    for path in states:
        if _whole(path):
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state
    if states:
        raise MyelinError(f"no state in {folder} is whole: start the run again in a new folder")
    return None


def _states(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.pt"), reverse=True)


def _whole(path: Path) -> bool:
    # a .pt file is a zip: its directory stands at the end, and every entry carries a checksum
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, OSError):
        return False
