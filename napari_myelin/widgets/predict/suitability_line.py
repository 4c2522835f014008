"""Says, before Run, what speaks against predicting the subject on show with the chosen model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qtpy.QtCore import QEvent, Signal
from qtpy.QtWidgets import QLabel

from napari_myelin.core.events import StopRequest
from napari_myelin.widgets.jobs import Job
from napari_myelin.widgets.session import Session
from napari_myelin.widgets.styles import inks
from napari_myelin.widgets.words import in_panel_words


class SuitabilityLine(QLabel):
    """A line for each flag: errors in red, warnings in orange; the newest question is the one that is answered.

    Signals: ``changed``, when an answer came or another is awaited; ``failed`` with a `Failed`.

    Attributes
    ----------
    flags
        Findings of the engine; None while the subject is looked at.
    """

    changed = Signal()
    failed = Signal(object)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.setWordWrap(True)
        self.flags: list[Any] | None = []
        self._asked = False
        self._job: Job | None = None
        self._theme = session.viewer.theme

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Write in colours that can be read where the window has taken another theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange and self._theme != self.session.viewer.theme:
            self._theme = self.session.viewer.theme
            self.setText(self._words())

    @property
    def errors(self) -> list[str]:
        """What forbids a prediction."""
        return [in_panel_words(flag.text) for flag in self.flags or [] if flag.level == "error"]

    def look(self, card: Any) -> None:
        """Compare the subject on show with a model's training subjects, in the background."""
        if self._job is not None:
            self._job.yielded.disconnect(self._take)
            self._job.failed.disconnect(self._fail)
            self._job = None
        subject = self.session.subject
        self._asked = subject is not None and card is not None
        self.flags = None if self._asked else []
        if self._asked:
            resample, cohort = self.session.resample, self.session.cohort
            phantom = cohort is not None and cohort.phantom
            job = Job("checking", lambda stop: _flags(stop, card, subject, resample, phantom), self.session)
            self._job = job.start(self._take, self._fail)
        self._show()

    def _take(self, flags: list[Any]) -> None:
        self.flags = flags
        self._show()

    def _fail(self, failed: Any) -> None:
        self.flags = []
        self.failed.emit(failed)
        self._show()

    def _show(self) -> None:
        words = self._words()
        self.setText(words)
        self.setVisible(bool(words))
        self.changed.emit()

    def _words(self) -> str:
        """Return what it says, coloured."""
        colours, lines = inks(self._theme), []
        for flag in self.flags or []:
            colour = colours["problem" if flag.level == "error" else "caution"]
            words = in_panel_words(flag.text[0].upper() + flag.text[1:])
            lines.append(f'<p style="margin: 2px 0; color: {colour};">{words}.</p>')
        if self.flags is None:
            lines = ["Comparing the subject with those of the training..."]
        elif not lines and self._asked and self.session.subject is not None:
            key = self.session.subject.key
            lines = [f'<p style="color: {colours["good"]};">{key} looks like the training subjects.</p>']
        return "".join(lines)


def _flags(stop: StopRequest, card: Any, subject: Any, resample: bool, phantom: bool) -> Iterator[list[Any]]:
    from napari_myelin.core.data.check import Finding
    from napari_myelin.core.inference.suitability import suitability

    flags = suitability(card, subject, resample)
    if card.training.phantom and not phantom:
        flags.append(Finding("warning", "the model was trained on simulated subjects, this one is not marked as such"))
    yield flags
