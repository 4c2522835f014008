"""Runs evaluations for a viewer, whether the Evaluate panel is open or not, and keeps the last one."""

from __future__ import annotations

import time
from typing import Any

from qtpy.QtCore import Signal

from napari_myelin.core.events import Saved, Skipped
from napari_myelin.widgets.evaluate.evaluation_job import Evaluated
from napari_myelin.widgets.jobs import Job, Work
from napari_myelin.widgets.session import Session
from napari_myelin.widgets.worker import Worker


class Evaluator(Worker):
    """One piece of work at a time; `evaluator_of` gives the viewer's.

    Signals: a `Worker`'s; ``evaluated``, when there is a new evaluation; ``ended`` with the name of the work that
    ended well (``predicting``, ``evaluating``, ``page``); ``wrote`` with the path of a page.

    Attributes
    ----------
    result
        The last evaluation; None before.
    skipped
        Subjects that could not be done, and why.
    """

    evaluated = Signal()
    ended = Signal(str)
    wrote = Signal(str)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.result: Evaluated | None = None
        self.skipped: list[Skipped] = []

    @property
    def doing(self) -> str:
        """Name of the work under way; empty where there is none."""
        return "" if self.job is None else self.job.name

    @property
    def seconds_left(self) -> float | None:
        """Time left as the subjects so far suggest; None before the first one is through."""
        if self.progress is None or not self.progress.done:
            return None
        return (time.monotonic() - self._began) / self.progress.done * (self.progress.total - self.progress.done)

    def start(self, name: str, work: Work) -> None:
        """Begin work of a name; only where none is under way."""
        if name != "page":
            self.skipped = []
        self._begin(name, work)

    def _take(self, event: Any) -> None:
        super()._take(event)
        if isinstance(event, Skipped):
            self.skipped.append(event)
        elif isinstance(event, Evaluated):
            self.result = event
            self.evaluated.emit()
        elif isinstance(event, Saved) and event.what == "page":
            self.wrote.emit(event.path)

    def _ended(self, job: Job) -> None:
        if not job.asked_to_stop:
            self.ended.emit(job.name)


def evaluator_of(session: Session) -> Evaluator:
    """Return the evaluator of a session, made at the first call."""
    return session.findChild(Evaluator) or Evaluator(session)
