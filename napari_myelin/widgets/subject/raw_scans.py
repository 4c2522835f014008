"""Prepare raw scans from the Subject panel: the form, how it stands, what failed, the page to look at."""

from __future__ import annotations

from typing import Any

import napari
from qtpy.QtCore import QTimer, QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Failed, duration
from napari_myelin.widgets.docking import open_panel
from napari_myelin.widgets.panel import allow, tint, wrapping_label
from napari_myelin.widgets.session import Session
from napari_myelin.widgets.subject.preparer import preparer_of
from napari_myelin.widgets.subject.raw_form import RawForm
from napari_myelin.widgets.train.forms import Section
from napari_myelin.widgets.words import in_panel_words

START = "Make MTR, FA, RD, AD, DVR, masks and transforms of each ticked visit, in the background."
CANCEL = "Stop after the step that is under way. What was made is kept; Prepare goes on from there."
PAGE = "Open the page with pictures, measures, motion and warnings of every visit, outliers first."
TICK = 500  # ms between two looks at the clock
STEPS = 1000  # of the bar


class RawScans(QWidget):
    """The form, the buttons and what came of it.

    Signals: ``prepared``, when a cohort was made to its end; ``failed`` with a `Failed`.

    Parameters
    ----------
    session
        Of the viewer.
    memory
        Where the form's values outlive it.
    """

    prepared = Signal()
    failed = Signal(object)

    def __init__(self, session: Session, memory: dict[str, Any]) -> None:
        super().__init__()
        self.preparer = preparer_of(session)
        self.form = RawForm(session, memory)
        self.lacking, self.state, self.failures, self.known = (wrapping_label() for _ in range(4))
        self.start_button, self.cancel_button = QPushButton("Prepare"), QPushButton("Cancel")
        self.page_button = QPushButton("Quality page")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.notes = Section("To be known", self.known)
        self._lay_out()
        self._tick = QTimer(self)
        self._tick.setInterval(TICK)
        self._tick.timeout.connect(self._show)
        self.start_button.clicked.connect(self._start)
        self.cancel_button.clicked.connect(self.preparer.cancel)
        self.page_button.clicked.connect(self._open_page)
        self.form.changed.connect(self._show)
        self.preparer.changed.connect(self._show)
        self.preparer.failed.connect(self.failed)
        self.preparer.ended.connect(self._ended)
        self._show()

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(14, 0, 0, 6)
        buttons = QHBoxLayout()
        for button in (self.start_button, self.cancel_button, self.page_button):
            buttons.addWidget(button, 1)
        lacking = self.form.lacking
        self.lacking.setText(f"Raw scans cannot be prepared yet: {lacking}" if lacking else "")
        self.lacking.setVisible(bool(lacking))
        for line in (self.lacking, self.failures):
            tint(line, "problem")
        column.addWidget(self.lacking)
        column.addWidget(self.form)
        column.addLayout(buttons)
        for part in (self.bar, self.state, self.failures, self.notes):
            column.addWidget(part)

    # --- work ---------------------------------------------------------------------------------------

    def _start(self) -> None:
        try:
            wanted = self.form.wanted()
        except MyelinError as error:
            self.failed.emit(Failed(str(error), ""))
            return
        self.preparer.start(wanted)

    def _ended(self) -> None:
        if not self.preparer.cancelled:
            self.prepared.emit()

    def _open_page(self) -> None:
        if self.preparer.page is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.preparer.page)))

    # --- how it stands ------------------------------------------------------------------------------

    def _show(self) -> None:
        preparer = self.preparer
        busy = "a preparation is under way" if preparer.running else ""
        count = len(self.form.visits.chosen)
        self.start_button.setText(f"Prepare {count} visit{'s' * (count > 1)}" if count else "Prepare")
        allow(self.start_button, busy or self.form.objection(), START)
        stopping = "it is cancelling" if preparer.cancelling else ""
        allow(self.cancel_button, stopping or ("" if preparer.running else "nothing runs"), CANCEL)
        there = preparer.page is not None and preparer.page.exists()
        allow(self.page_button, busy or ("" if there else "prepare first"), PAGE)
        self._show_progress()
        failures = preparer.failures()
        self.failures.setText("\n".join(f"\N{BULLET} {in_panel_words(each)}" for each in failures))
        self.failures.setVisible(bool(failures))
        self.known.setText(
            "\n".join(f"\N{BULLET} {each.subject}: {in_panel_words(each.text)}" for each in preparer.notes)
        )
        self.notes.header.setText(f"To be known ({len(preparer.notes)})")
        self.notes.setVisible(bool(preparer.notes))

    def _show_progress(self) -> None:
        preparer, progress = self.preparer, self.preparer.progress
        self.bar.setVisible(preparer.running)
        if not preparer.running:
            self._tick.stop()
            self.state.setText(self._outcome())
            self.state.setVisible(bool(self.state.text()))
            return
        self._tick.start()
        share, left = preparer.share, preparer.seconds_left
        self.bar.setRange(0, 0 if share is None else STEPS)
        self.bar.setValue(0 if share is None else round(STEPS * share))
        self.state.show()
        if progress is None:
            self.state.setText("Cancelling..." if preparer.cancelling else "Beginning...")
            return
        step = progress.detail.split(",")[0].replace("-", "\N{NON-BREAKING HYPHEN}")
        if preparer.cancelling:
            self.state.setText(f"Cancelling after the step under way ({step})...")
            return
        time = f", {duration(left)} left" if left is not None else ""
        self.state.setText(f"Preparing {step}\n{progress.done} of {progress.total} visits are through{time}.")

    def _outcome(self) -> str:
        preparer, progress = self.preparer, self.preparer.progress
        if preparer.wanted is None or progress is None:
            return ""
        failed = sorted({each.subject.split(",")[0] for each in preparer.skipped})
        if preparer.cancelled:
            return f"Cancelled: {progress.done} of {progress.total} visits are through. Prepare goes on from there."
        if progress.done < progress.total:
            return ""
        if failed:
            return f"Something failed for {', '.join(failed)}; the rest is made. Prepare tries it again."
        return f"{progress.total} visit{'s are' if progress.total > 1 else ' is'} prepared. Look at the quality page."


class RawSection(Section):
    """The same, folded away where nothing runs.

    Parameters
    ----------
    session, memory
        As for `RawScans`.
    """

    def __init__(self, session: Session, memory: dict[str, Any]) -> None:
        self.session, self.scans = session, RawScans(session, memory)
        super().__init__("", self.scans, opened=self.scans.preparer.running)
        session.cohort_changed.connect(self._name)
        self._name()

    def _name(self) -> None:
        what = "Prepare raw scans"
        self.header.setText(what if self.session.cohort is not None else f"No cohort yet? {what}")


def prepare_raw_scans(viewer: napari.Viewer) -> None:
    """Open the Subject panel where raw scans are prepared: a command of napari's palette."""
    open_panel(viewer, "Subject").raw_section.open(True)
