"""Work of a viewer that goes on whether the panel which began it is open or not, a job at a time."""

from __future__ import annotations

import time
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_myelin.core.events import Failed, Progress
from napari_myelin.widgets.jobs import Job, Work
from napari_myelin.widgets.session import Session
from napari_myelin.widgets.words import notify


class Worker(QObject):
    """What keeps a panel's job and what came of it; it belongs to the session, so that it outlives the panel.

    Signals: ``changed``, when work began, got on, ended or was asked to stop; ``failed`` with a `Failed`.

    Parameters
    ----------
    session
        Of the viewer.

    Attributes
    ----------
    job
        What runs now; None when nothing does.
    progress
        How far it is, or was at its end; None before it says so.
    """

    changed = Signal()
    failed = Signal(object)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.session = session
        self.job: Job | None = None
        self.progress: Progress | None = None
        self._began = 0.0
        self._well = True

    @property
    def running(self) -> bool:
        """Whether work is under way."""
        return self.job is not None

    @property
    def cancelling(self) -> bool:
        """Whether it was asked to stop and has not yet."""
        return self.job is not None and self.job.asked_to_stop

    def cancel(self) -> None:
        """Ask the work to stop after the step that it is at."""
        if self.job is not None:
            self.job.stop()
            self.changed.emit()

    # --- for the classes made from it ---------------------------------------------------------------

    def _begin(self, name: str, work: Work) -> None:
        """Begin work of a name; only where none is under way."""
        self.progress, self._began, self._well = None, time.monotonic(), True
        self.job = Job(name, work, self.session).start(self._take, self._fail, self._end)
        self.changed.emit()

    def _take(self, event: Any) -> None:
        """Take what the work yields."""
        if isinstance(event, Progress):
            self.progress = event
            self.changed.emit()

    def _fail(self, failed: Failed) -> None:
        """Take why the work failed."""
        self._well = False
        self._tell(failed)

    def _tell(self, failed: Failed) -> None:
        if self.receivers(self.failed):
            self.failed.emit(failed)
        else:  # the panel was closed meanwhile
            notify(failed)

    def _end(self) -> None:
        job, self.job = self.job, None
        self.changed.emit()
        if self._well and job is not None:
            self._ended(job)

    def _ended(self, job: Job) -> None:
        """Do what follows upon a job that did not fail; it may have been asked to stop."""
