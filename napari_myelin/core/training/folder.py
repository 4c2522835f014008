"""The run folder: which file is where, and whether a run may be started or gone on with there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_myelin.core.data.volume import write_atomically
from napari_myelin.core.errors import MyelinError, UsageError
from napari_myelin.core.inference.model import read_card
from napari_myelin.core.options import Options
from napari_myelin.core.options_file import read_options, to_toml
from napari_myelin.core.runtime import is_first_rank
from napari_myelin.core.training.names import CACHE as CACHE
from napari_myelin.core.training.names import EVENTS
from napari_myelin.core.training.names import LAST as LAST
from napari_myelin.core.training.names import MODEL as MODEL
from napari_myelin.core.training.names import OPTIONS as OPTIONS
from napari_myelin.core.training.names import PREVIEW as PREVIEW
from napari_myelin.core.training.names import SMALLER as SMALLER
from napari_myelin.core.training.names import STATE as STATE
from napari_myelin.core.training.names import STOP as STOP
from napari_myelin.core.training.state import load_state

WRITTEN = (STATE, MODEL, LAST, PREVIEW, CACHE, EVENTS)


def open_run(run: Path, options: Options, resume: bool) -> dict[str, Any] | None:
    """Make the run folder with its ``options.toml``, or read the state to go on from.

    Returns
    -------
    dict or None
        The last state saved; None where nothing was saved yet.

    Raises
    ------
    MyelinError
        If there is nothing to resume, or a run is there already, or the folder cannot be written to.
    UsageError
        If the run to resume was started with other options.
    """
    state = load_state(run / STATE) if resume else None
    there = (run / OPTIONS).exists()
    if resume and not there:
        raise MyelinError(f"there is no run in {run} to resume: leave out --resume to start one")
    if resume:
        check_same_options(read_options(run / OPTIONS), options)
    if is_first_rank():
        if there and not resume:
            raise MyelinError(f"{run} holds a run already: pass --resume to go on with it, or choose another --out")
        if not there and (others := [name for name in WRITTEN if (run / name).exists()]):
            raise MyelinError(f"{run} holds {others[0]}, which would be written over: choose another --out")
        write_atomically(run / OPTIONS, to_toml(options).encode())
        (run / STOP).unlink(missing_ok=True)
    return state


def check_same_options(old: Options, new: Options) -> None:
    """Raise where a resumed run would not be the same run; where it runs may differ.

    Raises
    ------
    UsageError
        Naming the first option that differs, with both values.
    """
    before, after = _flat(old), _flat(new)
    for key, value in before.items():
        if value != after[key]:
            raise UsageError(
                f"the run was started with {key} = {value}, now it is {after[key]}: "
                "resume with the same options, or start another run"
            )


def _flat(options: Options) -> dict[str, Any]:
    groups = options.model_dump(exclude={"runtime", "preset"})
    named = {f"{group}.{key}": value for group, values in groups.items() for key, value in values.items()}
    del named["training.checkpointing"]  # changes memory and time, not what is learnt
    return {**named, "preset": options.preset}


def is_finished(run: Path) -> bool:
    """Return whether the run's model is there and is the finished one, not one saved on the way."""
    try:
        return read_card(run / MODEL).training.finished
    except MyelinError:
        return False
