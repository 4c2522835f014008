"""Looks at a cohort's files in threads: their headers at once, their values when asked for."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakKeyDictionary

from qtpy.QtCore import QObject, Signal

from napari_myelin.core.data.check import (
    Finding,
    SubjectReport,
    check_subject,
    cohort_findings,
    header_problems,
    usual_modalities,
)
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.events import Failed, StopRequest
from napari_myelin.widgets.jobs import Job
from napari_myelin.widgets.session import Session

_inspectors: WeakKeyDictionary[Session, Inspector] = WeakKeyDictionary()


class Inspector(QObject):
    """What is known of the files of a session's cohort.

    Signals: ``found`` with a subject's key when more is known of it; ``failed`` with a `Failed`; ``done`` when
    nothing is looked at any more.

    Attributes
    ----------
    problems
        Subject -> role -> what its file's header says against it.
    reports
        Subject -> what the engine's check of its values found.
    general
        What is to be said of the cohort as a whole.
    """

    found = Signal(str)
    failed = Signal(object)
    done = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.session = session
        self.problems: dict[str, dict[str, str]] = {}
        self.reports: dict[str, SubjectReport] = {}
        self.general: list[Finding] = []
        self.total = 0  # subjects that are looked at, 0 when none is
        self._seen: dict[str, Subject] = {}
        self._job: Job | None = None
        session.cohort_changed.connect(self._follow)
        self._follow()

    @property
    def done_so_far(self) -> int:
        """Subjects whose values were looked at."""
        return len(self.reports)

    @property
    def busy(self) -> bool:
        """Whether values are being read."""
        return self._job is not None

    def look(self, keys: list[str]) -> None:
        """Check the values of subjects, those that are not known yet, one after the other."""
        cohort = self.session.cohort
        if cohort is None or self._job is not None:
            return
        wanted = [subject for subject in cohort.subjects if subject.key in keys and subject.key not in self.reports]
        usual = usual_modalities(cohort)

        def work(stop: StopRequest) -> Iterator[SubjectReport]:
            for subject in wanted:
                if stop:
                    return
                yield check_subject(subject, usual)

        if wanted:
            self._job = Job("checking", work, self.session).start(self._take_report, self.failed, self._finish)

    def stop(self) -> None:
        """Stop after the subject that is being read."""
        if self._job is not None:
            self._job.stop()

    def _follow(self) -> None:
        """Forget what changed, and look at the headers of what is new."""
        cohort = self.session.cohort
        subjects = {} if cohort is None else {subject.key: subject for subject in cohort.subjects}
        new = [subject for key, subject in subjects.items() if self._seen.get(key) != subject]
        for key in {*(set(self._seen) - set(subjects)), *(subject.key for subject in new)}:
            self.problems.pop(key, None)
            self.reports.pop(key, None)
        self._seen = subjects
        self.general = [] if cohort is None else cohort_findings(cohort)
        if not new:
            return

        def work(stop: StopRequest) -> Iterator[tuple[Subject, dict[str, str]]]:
            for subject in new:
                yield subject, header_problems(subject)

        Job("checking", work, self.session).start(self._take_headers, self.failed)

    def _take_headers(self, event: tuple[Subject, dict[str, str]]) -> None:
        subject, problems = event
        if self._seen.get(subject.key) == subject:
            self.problems[subject.key] = problems
            self.found.emit(subject.key)

    def _take_report(self, event: SubjectReport | Failed) -> None:
        if isinstance(event, SubjectReport) and event.subject in self._seen:
            self.reports[event.subject] = event
            self.found.emit(event.subject)

    def _finish(self) -> None:
        self._job = None
        self.done.emit()


def inspector_of(session: Session) -> Inspector:
    """Return the inspector of a session, made at the first call."""
    if session not in _inspectors:
        _inspectors[session] = Inspector(session)
    return _inspectors[session]
