"""How a run stands, shown: bar, place, time left, curves, preview, what came out."""

from __future__ import annotations

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_myelin.core.events import Failed, Finished
from napari_myelin.widgets.panel import RESEARCH, tint, wrapping_label
from napari_myelin.widgets.train.curves import Curves
from napari_myelin.widgets.train.running import Run
from napari_myelin.widgets.words import in_home

UNBROKEN = str.maketrans({" ": "\N{NO-BREAK SPACE}", "-": "\N{NON-BREAKING HYPHEN}"})
LOOK = 250  # ms between two looks at a run: events come faster than anyone reads


class RunView(QWidget):
    """Shows one run, or nothing.

    Signals: ``use_model`` when its model is to be used; ``looked`` after each change that is shown.
    """

    use_model = Signal()
    looked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.run: Run | None = None
        self.where = wrapping_label()
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(True)
        self.place, self.outlook, self.sentence, self.notes = (wrapping_label() for _ in range(4))
        self.curves = Curves()
        self.preview = QCheckBox("Preview layers")
        self.preview.setToolTip(
            "Layers of one held-out subject, renewed at each validation: inputs, sketch, refined, true, error."
        )
        self.use = QPushButton("Use in Predict")
        self.use.setToolTip("Open the Predict panel with this model.")
        self.research = wrapping_label()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        parts = (self.where, self.sentence, self.bar, self.place, self.outlook, self.curves, self.preview)
        for part in (*parts, self.use, self.notes, self.research):
            column.addWidget(part)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(LOOK)
        self._timer.timeout.connect(self._look)
        self.preview.toggled.connect(self._show_preview)
        self.use.clicked.connect(self.use_model.emit)
        self._look()

    def show_run(self, run: Run | None) -> None:
        """Show another run, or none."""
        if self.run is not None:
            self.run.changed.disconnect(self._soon)
            self.run.ended.disconnect(self._look)
        self.run = run
        if run is not None:
            run.changed.connect(self._soon)
            run.ended.connect(self._look)
            self.preview.setChecked(run.previews.shown)
        self._look()

    def _soon(self) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def _show_preview(self, shown: bool) -> None:
        if self.run is not None:
            self.run.previews.show(shown)

    def _look(self) -> None:
        run = self.run
        self.setVisible(run is not None)
        if run is None:
            return
        course = run.course
        self.where.setText(f"<b>{'Watching' if run.watched else 'Run'}</b> {in_home(run.folder)}")
        self.sentence.setText(run.sentence())
        good = isinstance(course.end, Finished)
        bad = isinstance(course.end, Failed) or bool(run.problem) or bool(run.silence())
        tint(self.sentence, "good" if good else "problem" if bad else "note")
        busy = run.running and course.started is None and course.doing is None
        self.bar.setRange(0, 0 if busy else 1000)
        self.bar.setValue(round(1000 * course.done))
        self.bar.setFormat(f"{course.done:.0%}")
        self.place.setText(course.place())
        outlook = course.outlook()
        # a line is broken between two facts, not between a number and its unit
        self.outlook.setText(" · ".join(fact.translate(UNBROKEN) for fact in outlook.split(" · ")))
        self.outlook.setVisible(bool(outlook))
        self.outlook.setToolTip(
            "D right: how often the discriminator tells the true map from the generated one. "
            "Near 50 % it is fooled, near 100 % it wins. The held-out subjects are not trained on."
        )
        self.curves.show_course(course)
        self._show_words(run)
        self.looked.emit()

    def _show_words(self, run: Run) -> None:
        subject = f" of {run.previews.subject}" if run.previews.subject else ""
        self.preview.setText(f"Preview layers{subject} (held out)" if subject else "Preview layers")
        self.use.setVisible(run.model is not None)
        self.use.setText("Use in Predict")
        notes = [*(run.course.started.notes if run.course.started else []), *run.course.steps_down]
        if run.model is not None:
            notes = [f"Model: {in_home(run.model)}", *notes]
        if run.previews.problem:
            notes.append(run.previews.problem)
        self.notes.setText("\n".join(notes))
        self.notes.setVisible(bool(notes))
        phantom = " Trained on a phantom: its numbers say nothing about people." if run.phantom else ""
        self.research.setText(RESEARCH + phantom)
        self.research.setVisible(bool(run.course.validation))
