"""Maps of the subject on show, read in threads one file after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import read_volume
from napari_myelin.core.events import StopRequest
from napari_myelin.widgets.jobs import Job
from napari_myelin.widgets.layers import Frame
from napari_myelin.widgets.maps import ShownMap, load_maps, shown_map


class Loader(QObject):
    """Reads files for one viewer; its ``session`` is that viewer's.

    Signals, on the main thread: ``took`` with each `ShownMap` or `Skipped`; ``failed`` with a `Failed`; ``done`` when
    nothing is being read any more.
    """

    took = Signal(object)
    failed = Signal(object)
    done = Signal()

    def __init__(self, session: Any) -> None:
        super().__init__()
        self.session = session
        self._jobs: list[Job] = []

    @property
    def reading(self) -> bool:
        """Whether ``done`` is still to come."""
        return bool(self._jobs)

    def maps(self, subject: Subject, frame: Frame, roles: Sequence[str], resample: bool) -> None:
        """Read maps of a subject, as `load_maps`."""
        self._start(Job("reading", lambda stop: load_maps(subject, frame, roles, resample, stop), self.session))

    def image(self, frame: Frame, role: str, path: Path) -> None:
        """Read a file that is shown beside the subject, wherever it lies."""

        def work(stop: StopRequest) -> Iterator[ShownMap]:
            yield shown_map(frame, role, read_volume(path))

        self._start(Job("reading", work, self.session))

    def forget(self) -> None:
        """Stop reading; nothing more is said of what was under way."""
        for job in self._jobs:
            job.stop()
            job.yielded.disconnect()
            job.failed.disconnect()
            job.finished.disconnect()
        self._jobs.clear()

    def _start(self, job: Job) -> None:
        job.yielded.connect(self.took)
        job.failed.connect(self.failed)
        job.finished.connect(lambda: self._finish(job))
        self._jobs.append(job)
        job.start()

    def _finish(self, job: Job) -> None:
        self._jobs.remove(job)
        if not self._jobs:
            self.done.emit()
