"""The run's diary: ``events.jsonl``, one event a line, cut back on resume to where the state was saved."""

from __future__ import annotations

import os
from pathlib import Path

from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Event
from napari_myelin.core.training.names import EVENTS


class Record:
    """Appends events to a run's file.

    Parameters
    ----------
    run
        The run folder; made if it is missing.
    speaks
        False on every rank but the first: nothing is written.

    Raises
    ------
    MyelinError
        If the folder cannot be made or written to.
    """

    def __init__(self, run: Path, speaks: bool = True) -> None:
        self.path = run / EVENTS
        self.speaks = speaks
        if speaks:
            try:
                run.mkdir(parents=True, exist_ok=True)
                self.path.touch()
            except OSError as error:
                raise MyelinError(f"cannot write to the run folder {run}: {error.strerror}; choose another") from error

    def write(self, event: Event) -> None:
        """Append one event; it is on its way to the disk when this returns.

        Raises
        ------
        MyelinError
            If it cannot be written (a full disk).
        """
        if not self.speaks:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(event.to_json() + "\n")
        except OSError as error:
            raise MyelinError(f"cannot write {self.path}: {error.strerror}; free some space and resume") from error

    def size(self) -> int:
        """Return the bytes written so far."""
        return self.path.stat().st_size if self.speaks else 0

    def cut(self, size: int) -> None:
        """Forget what was written after the first ``size`` bytes: those steps will be done again."""
        if self.speaks and self.path.stat().st_size > size:
            os.truncate(self.path, size)
