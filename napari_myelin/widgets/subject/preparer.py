"""Prepares raw scans for a viewer, whether the Subject panel is open or not, and keeps what came of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_info
from qtpy.QtCore import Signal

from napari_myelin.core.events import Event, Noted, Progress, Saved, Skipped, Stopped, StopRequest
from napari_myelin.core.prepare.options import PrepareOptions
from napari_myelin.widgets.jobs import Job
from napari_myelin.widgets.session import Session
from napari_myelin.widgets.settings import threads
from napari_myelin.widgets.worker import Worker


@dataclass(frozen=True)
class Wanted:
    """What is to be prepared: ``visits`` of the raw dataset ``raw`` into the cohort ``out``, ``jobs`` side by side."""

    raw: Path
    out: Path
    visits: tuple[str, ...]
    options: PrepareOptions
    jobs: int


class Preparer(Worker):
    """One preparation at a time; `preparer_of` gives the viewer's.

    Signals: a `Worker`'s, and ``ended`` when it ended and not by a failure.

    Attributes
    ----------
    wanted
        What is prepared, or was last; None before.
    skipped, notes
        Steps that failed, and what is to be known, by visit.
    page
        The cohort's quality page; None before it is written.
    cancelled
        Whether it was cancelled before its end.
    """

    ended = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.wanted: Wanted | None = None
        self.skipped: list[Skipped] = []
        self.notes: list[Noted] = []
        self.page: Path | None = None
        self.cancelled = False
        self._heard = 0.0  # when the time left was last said

    @property
    def seconds_left(self) -> float | None:
        """Time left as the engine expects; None before the first step is through."""
        if self.progress is None or self.progress.seconds_left is None:
            return None
        return max(0.0, self.progress.seconds_left - (time.monotonic() - self._heard))

    @property
    def share(self) -> float | None:
        """Share of the time that is over, 0 to 1; None before there is a guess."""
        left, gone = self.seconds_left, time.monotonic() - self._began
        return None if left is None else gone / (gone + left + 1e-9)

    def start(self, wanted: Wanted) -> None:
        """Begin; only where none is under way."""
        self.wanted, self.page, self.cancelled = wanted, None, False
        self.skipped, self.notes = [], []
        share = threads()

        def work(stop: StopRequest) -> Iterator[Event]:
            # imported here, in the thread, because it imports what draws the pages
            from napari_myelin.core.prepare.cohort import prepare_cohort

            given: dict[str, Any] = {"subjects": wanted.visits, "jobs": wanted.jobs, "threads": share}
            yield from prepare_cohort(wanted.raw, wanted.out, wanted.options, stop=stop, **given)

        self._begin("preparing", work)

    def failures(self) -> Sequence[str]:
        """Return what failed, a sentence each."""
        return [f"{each.subject}: {each.reason}" for each in self.skipped]

    def _take(self, event: Event) -> None:
        if isinstance(event, Progress):
            self._heard = time.monotonic()
            super()._take(event)
            return
        if isinstance(event, Skipped):
            self.skipped.append(event)
        elif isinstance(event, Noted):
            self.notes.append(event)
        elif isinstance(event, Saved):
            self.page = Path(event.path)
        elif isinstance(event, Stopped):
            self.cancelled = True
        self.changed.emit()

    def _ended(self, job: Job) -> None:
        if self.receivers(self.ended):
            self.ended.emit()
        elif not self.cancelled and self.wanted is not None:
            show_info(f"Prepared: {self.wanted.out}")


def preparer_of(session: Session) -> Preparer:
    """Return the preparer of a session, made at the first call."""
    return session.findChild(Preparer) or Preparer(session)
