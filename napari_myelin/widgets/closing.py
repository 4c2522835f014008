"""Closing the window while something runs: it asks, stops, saves, shows that it does, and then closes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import (
    QApplication,
    QDialog,
    QLabel,
    QMainWindow,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_myelin.core.events import Failed
from napari_myelin.widgets.jobs import Job, running_jobs

# work that somebody waits for; anything else that runs (reading, looking) ends without a question
ASKED = {
    "training": "Training",
    "prediction": "Prediction",
    "predicting": "Prediction of the cohort",
    "evaluating": "Evaluation",
    "preparing": "Preparation of raw scans",
}
PATIENCE = 10.0  # s after which closing at once is offered


class CloseGuard(QObject):
    """Holds a main window open until the jobs of its viewer have stopped, or those of every viewer where napari quits.

    Parameters
    ----------
    window
        napari's main window.
    session
        Of its viewer; None as long as it has no panel of ours.
    """

    def __init__(self, window: QMainWindow, session: Any = None) -> None:
        super().__init__(window)
        self.window, self.session = window, session
        self._busy = False
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Take a wish to close that has to wait."""
        if event.type() != QEvent.Type.Close or watched is not self.window or not self._jobs():
            return False
        if self._busy:  # asked once already
            event.ignore()
            return True
        self._busy = True
        try:
            may_close = self._stop()
        finally:
            self._busy = False
        if not may_close:
            event.ignore()
            if self._quits:  # else the next time that this window is closed would quit, too
                self.window._quit_app = False
        return not may_close

    @property
    def _quits(self) -> bool:
        """Whether napari closes this window because it quits, all windows with it; it says so nowhere else."""
        return bool(getattr(self.window, "_quit_app", False))

    def _jobs(self) -> list[Job]:
        if self._quits:
            return running_jobs()
        return [] if self.session is None else running_jobs(self.session)

    def _stop(self) -> bool:
        asked = [job for job in self._jobs() if job.name in ASKED]
        if asked and not ask_to_close(self.window, asked):
            return False
        jobs = self._jobs()
        for job in jobs:
            job.stop()
        if jobs:
            Stopping(self.window, jobs).exec()
        return True


def guard(widget: QWidget, session: Any) -> None:
    """See to it that the main window that a panel is in closes only when its jobs have stopped, and quits only so.

    Parameters
    ----------
    widget
        The panel.
    session
        Of its viewer.
    """
    window = widget.parentWidget()
    while window is not None and not isinstance(window, QMainWindow):
        window = window.parentWidget()
    if window is None:
        return
    _guard_of(window).session = session
    for other in QApplication.topLevelWidgets():  # quitting is possible from a window without a panel, too
        if isinstance(other, type(window)):
            _guard_of(other)


def window_of(session: Any) -> QMainWindow | None:
    """Return the main window that the panels of a session are in, to ask something in front of; None without one."""
    windows = [each for each in QApplication.topLevelWidgets() if isinstance(each, QMainWindow)]
    guards = [each.findChild(CloseGuard) for each in windows]
    return next((each.window for each in guards if each is not None and each.session is session), None)


def _guard_of(window: QMainWindow) -> CloseGuard:
    return window.findChild(CloseGuard) or CloseGuard(window)


def ask_to_close(window: QWidget, jobs: Sequence[Job]) -> bool:
    """Ask whether what runs is stopped; return whether the window may close then."""
    running = [ASKED[name] for name in dict.fromkeys(job.name for job in jobs)]
    training = any(job.name == "training" for job in jobs)
    said = f"{' and '.join(running)} {'is' if len(running) == 1 else 'are'} running."
    box = QMessageBox(QMessageBox.Icon.Question, "Close", said, parent=window)
    box.setWindowModality(Qt.WindowModality.WindowModal)  # another window goes on
    more = "Stop and save, then close? It can be resumed from its run folder." if training else "Stop, then close?"
    if any(job.session.mask_work.unsaved for job in jobs):
        more += " Strokes of the lesion mask that are not saved are kept, and offered at the next start."
    box.setInformativeText(more)
    stop = box.addButton("Stop and close", QMessageBox.ButtonRole.AcceptRole)
    go_on = box.addButton("Go on training" if training else "Go on", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(go_on)
    box.setEscapeButton(go_on)
    box.exec()
    return box.clickedButton() is stop


class Stopping(QDialog):
    """Says that jobs are stopping and saving; goes when the last one has.

    Parameters
    ----------
    window
        That is closing.
    jobs
        Asked to stop already.
    """

    def __init__(self, window: QWidget, jobs: Sequence[Job]) -> None:
        super().__init__(
            window, Qt.WindowType.Dialog | Qt.WindowType.CustomizeWindowHint | Qt.WindowType.WindowTitleHint
        )
        self.setWindowTitle("Closing")
        self.setWindowModality(Qt.WindowModality.WindowModal)  # another window goes on
        self.jobs = list(jobs)
        self.failure = ""
        self.label = QLabel()
        self.label.setWordWrap(True)
        self.label.setMinimumWidth(340)
        self.bar = QProgressBar()
        self.bar.setRange(0, 0)  # how long a step takes is known only when it is over
        self.bar.setTextVisible(False)
        self.at_once = QPushButton("Close now")
        self.at_once.setToolTip("What was saved before is kept; the step under way is lost.")
        self.at_once.clicked.connect(self.accept)
        self.at_once.hide()
        column = QVBoxLayout(self)
        for part in (self.label, self.bar, self.at_once):
            column.addWidget(part)
        self._began = time.monotonic()
        self._timer = QTimer(self)
        self._timer.setInterval(50)
        self._timer.timeout.connect(self._look)
        self._timer.start()
        for job in self.jobs:
            job.failed.connect(self._failed)
        self._look()

    def reject(self) -> None:
        """Stay: Escape does not close what is saving."""

    def _failed(self, failed: Failed) -> None:
        self.failure = failed.cause

    def _look(self) -> None:
        left = [job for job in self.jobs if job.running]
        seconds = time.monotonic() - self._began
        self.at_once.setVisible(bool(self.failure) or seconds > PATIENCE)
        if self.failure:
            self.label.setText(self.failure)
            self.bar.setVisible(bool(left))
        elif left:
            names = ", ".join(dict.fromkeys(job.name for job in left))
            saving = ", saving" if any(job.name == "training" for job in left) else ""
            self.label.setText(f"Stopping {names} after the step under way{saving}... {seconds:.0f} s")
        else:
            self._timer.stop()
            self.accept()
