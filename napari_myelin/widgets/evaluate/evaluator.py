"""Runs evaluations for a viewer, whether the Evaluate panel is open or not, and keeps the last one."""

from __future__ import annotations

import time
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_myelin.core.events import Failed, Progress, Saved, Skipped, Stopped
from napari_myelin.widgets.evaluate.evaluation_job import Evaluated
from napari_myelin.widgets.jobs import Job, Work
from napari_myelin.widgets.session import Session
from napari_myelin.widgets.words import notify


class Evaluator(QObject):
    """One piece of work at a time; `evaluator_of` gives the viewer's.

    Signals: ``changed``, when work began, got on, ended or was asked to stop; ``evaluated``, when there is a new
    evaluation; ``failed`` with a `Failed`; ``ended`` with the name of the work that ended well (``predicting``,
    ``evaluating``, ``page``); ``wrote`` with the path of a page.

    Attributes
    ----------
    result
        The last evaluation; None before.
    skipped
        Subjects that could not be done, and why.
    """

    changed = Signal()
    evaluated = Signal()
    failed = Signal(object)
    ended = Signal(str)
    wrote = Signal(str)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.session = session
        self.job: Job | None = None
        self.progress: Progress | None = None
        self.result: Evaluated | None = None
        self.skipped: list[Skipped] = []
        self._began = 0.0
        self._well = True

    @property
    def running(self) -> str:
        """Name of the work under way; empty where there is none."""
        return "" if self.job is None else self.job.name

    @property
    def cancelling(self) -> bool:
        """Whether it was asked to stop and has not yet."""
        return self.job is not None and self.job.asked_to_stop

    @property
    def seconds_left(self) -> float | None:
        """Time left as the subjects so far suggest; None before the first one is through."""
        if self.progress is None or not self.progress.done:
            return None
        return (time.monotonic() - self._began) / self.progress.done * (self.progress.total - self.progress.done)

    def start(self, name: str, work: Work) -> None:
        """Begin work of a name; only where none is under way."""
        self.progress, self._began, self._well = None, time.monotonic(), True
        if name != "page":
            self.skipped = []
        self.job = Job(name, work, self.session).start(self._take, self._fail, self._end)
        self.changed.emit()

    def cancel(self) -> None:
        """Ask the work to stop after the subject that it is at."""
        if self.job is not None:
            self.job.stop()
            self.changed.emit()

    def _take(self, event: Any) -> None:
        if isinstance(event, Progress):
            self.progress = event
            self.changed.emit()
        elif isinstance(event, Skipped):
            self.skipped.append(event)
        elif isinstance(event, Stopped):
            self._well = False
        elif isinstance(event, Evaluated):
            self.result = event
            self.evaluated.emit()
        elif isinstance(event, Saved) and event.what == "page":
            self.wrote.emit(event.path)

    def _fail(self, failed: Failed) -> None:
        self._well = False
        if self.receivers(self.failed):
            self.failed.emit(failed)
        else:  # the panel was closed meanwhile
            notify(failed)

    def _end(self) -> None:
        name, well = self.running, self._well and not self.cancelling
        self.job = None
        self.changed.emit()
        if well:
            self.ended.emit(name)


def evaluator_of(session: Session) -> Evaluator:
    """Return the evaluator of a session, made at the first call."""
    return session.findChild(Evaluator) or Evaluator(session)
