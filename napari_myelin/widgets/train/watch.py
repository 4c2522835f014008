"""A run folder that another process or machine writes: its events as they come, and the wish that it stops."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Event, StopRequest, duration, from_json
from napari_myelin.core.training.names import EVENTS, STOP
from napari_myelin.widgets.train.course import Course

INTERVAL = 0.5  # s between two looks; a folder on a network is not asked more often

PORTION = 500  # events
PATIENCE = 60.0  # s of silence that are worth a word; at least
STEPS = 10  # this many of the run's own steps


@dataclass(frozen=True)
class Heard:
    """Events that came: after ``again`` all from the first one; ``more`` of the same look follow."""

    events: list[Event]
    again: bool = False
    more: bool = False


def in_portions(heard: Heard) -> Iterator[Heard]:
    """Yield what was heard in portions that the window takes without a halt."""
    for first in range(0, max(1, len(heard.events)), PORTION):
        last = first + PORTION >= len(heard.events)
        yield Heard(heard.events[first : first + PORTION], heard.again and first == 0, not last)


@dataclass(frozen=True)
class Silent:
    """Nothing new came for ``seconds``."""

    seconds: float


class Tail:
    """Reads the lines that were added to a run's ``events.jsonl`` since the last look.

    The engine cuts the file back when a run is resumed: then everything is read again.

    Parameters
    ----------
    run
        The run folder.
    """

    def __init__(self, run: Path) -> None:
        self.path = run / EVENTS
        self._at = 0
        self._last = b""  # the last whole line, which must still stand before ``_at``

    def look(self) -> Heard:
        """Return what is new; a last line that is still being written waits.

        Raises
        ------
        OSError
            If the file is not there any more.
        """
        again = self._cut_back()
        if again:
            self._at, self._last = 0, b""
        with self.path.open("rb") as file:
            file.seek(self._at)
            fresh = file.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        lines = whole.splitlines(keepends=True)
        if lines:
            self._at, self._last = self._at + len(whole), lines[-1]
        return Heard([event for event in map(_event, lines) if event is not None], again)

    def _cut_back(self) -> bool:
        if self._at == 0:
            return False
        # a file that was cut may have grown beyond this point again: look at what stands there
        with self.path.open("rb") as file:
            file.seek(self._at - len(self._last))
            return file.read(len(self._last)) != self._last


def _event(line: bytes) -> Event | None:
    try:
        return from_json(line.decode("utf-8"))
    except (ValueError, TypeError):  # torn by a kill, or of a newer version
        return None


def follow(run: Path, stop: StopRequest, interval: float = INTERVAL) -> Iterator[Heard | Silent]:
    """Yield what a run writes, as it comes, until ``stop``.

    Parameters
    ----------
    run
        The run folder; it may be written to by another process.
    stop
        Ends the following, not the run.
    interval
        Seconds between two looks.

    Raises
    ------
    MyelinError
        If the folder holds no run, or it is taken away.
    """
    tail = Tail(run)
    if not tail.path.exists():
        raise MyelinError(f"{run} holds no run ({EVENTS} is missing): choose the folder that was given as --out")
    heard_at = time.time()
    while not stop:
        try:
            heard = tail.look()
            if heard.events or heard.again:
                heard_at = min(time.time(), tail.path.stat().st_mtime)
                yield from in_portions(heard)
            else:
                yield Silent(time.time() - heard_at)
        except OSError as error:
            raise MyelinError(
                f"the run folder {run} can no longer be read ({error.strerror}): it was moved or deleted, "
                "or its disk is away"
            ) from error
        time.sleep(interval)


def ask_to_stop(run: Path) -> None:
    """Ask a run to save and stop, whatever process it is in.

    Raises
    ------
    MyelinError
        If the folder cannot be written to.
    """
    try:
        (run / STOP).touch()
    except OSError as error:
        raise MyelinError(f"cannot ask the run in {run} to stop: {error.strerror}; stop its process itself") from error


def patience(course: Course) -> float:
    """Return the seconds of silence after which the process of a run may be gone."""
    return max(PATIENCE, STEPS * course.pace)


def refuse_two(folder: Path, events: list[Event]) -> None:
    """Refuse to go on with a run that seems to be under way somewhere else: the two would spoil each other.

    Raises
    ------
    MyelinError
        If the last of its events is no end, and was written a short while ago.
    """
    course = Course()
    for event in events:
        course.take(event)
    since = time.time() - (folder / EVENTS).stat().st_mtime if events else math.inf
    if course.end is None and since < patience(course):
        raise MyelinError(
            f"the run in {folder} was written to {duration(max(0.0, since))} ago and has not ended: another process "
            f"may be training it; watch it and ask it to stop, or wait {duration(patience(course))} if it was killed"
        )
