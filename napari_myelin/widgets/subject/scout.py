"""What a raw dataset holds, found out in a thread while its folder is typed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qtpy.QtCore import QObject, QTimer, Signal

from napari_myelin.core.events import Failed, StopRequest
from napari_myelin.core.prepare.raw import RawSubject, read_raw
from napari_myelin.widgets.jobs import Job
from napari_myelin.widgets.session import Session
from napari_myelin.widgets.words import in_panel_words

DELAY = 400  # ms that the field must rest before the disk is looked at


class Scout(QObject):
    """The visits of the raw dataset that a form names.

    Signal: ``known``, when there is an answer.

    Attributes
    ----------
    visits
        What was found; empty before the answer, or where there is none.
    problem
        Why there is none; empty where there is.
    """

    known = Signal()

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self.session = session
        self.visits: list[RawSubject] = []
        self.problem = ""
        self._asked: tuple[Path, Path | None] | None = None
        self._answered: tuple[Path, Path | None] | None = None
        self._job: Job | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY)
        self._timer.timeout.connect(self._look)

    @property
    def looking(self) -> bool:
        """Whether an answer is still to come."""
        return self._asked != self._answered

    def ask(self, folder: Path | None, out: Path | None) -> None:
        """Ask, soon, what a folder holds; ``out``, where the cohort is made, is no part of it."""
        asked = None if folder is None else (folder, out)
        if asked == self._asked:
            return
        if asked is None or self._asked is None or asked[0] != self._asked[0]:
            self.visits, self.problem = [], ""
        self._asked = asked
        if asked is None:
            self._answered = None
            self._timer.stop()
            self.known.emit()
        else:
            self._timer.start()

    def _look(self) -> None:
        if self._job is not None and self._job.running:  # its answer is no longer wanted, but it must end
            self._timer.start()
            return
        asked = self._asked
        if asked is None:
            return
        folder, out = asked

        def work(stop: StopRequest) -> Iterator[list[RawSubject]]:
            yield read_raw(folder, (), out)

        def found(visits: list[RawSubject]) -> None:
            self._answer(asked, visits, "")

        def refused(failed: Failed) -> None:
            self._answer(asked, [], in_panel_words(failed.cause))

        self._job = Job("looking", work, self.session).start(found, refused)

    def _answer(self, asked: tuple[Path, Path | None], visits: list[RawSubject], problem: str) -> None:
        if asked == self._asked:
            self._answered, self.visits, self.problem = asked, visits, problem
            self.known.emit()
