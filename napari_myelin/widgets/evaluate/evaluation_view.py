"""What an evaluation found, in the panel: tables, box plots, agreement."""

from __future__ import annotations

from typing import Any

from napari.utils.theme import get_theme
from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QTabWidget, QVBoxLayout, QWidget

from napari_myelin.widgets.evaluate.evaluation_figures import PAIRS, Picture, draw_agreement, draw_boxes
from napari_myelin.widgets.evaluate.evaluation_job import Evaluated
from napari_myelin.widgets.evaluate.evaluation_tables import NumberTable, SubjectTable, fill_summary
from napari_myelin.widgets.panel import RESEARCH, tint
from napari_myelin.widgets.words import in_panel_words

BOXES = "Box: quartiles and median; whiskers: furthest within 1.5 times the box. Click a point to open its subject."
LIMITS = "Lines: mean difference (bias) and 1.96 SD around it. Click a point to open its subject."


class EvaluationView(QWidget):
    """Tabs of one evaluation.

    Signals: ``picked`` with the key of the subject that was clicked.

    Parameters
    ----------
    viewer
        napari's, for the colours of its theme.
    memory
        Keeps what was looked at.
    """

    picked = Signal(str)

    def __init__(self, viewer: Any, memory: dict[str, Any]) -> None:
        super().__init__()
        self.viewer, self.memory = viewer, memory
        self._theme = viewer.theme
        self.done: Evaluated | None = None
        self.title, self.warning = QLabel(), QLabel()
        for label in (self.title, self.warning):
            label.setWordWrap(True)
        tint(self.warning, "caution")
        self.summary, self.subjects = NumberTable(), SubjectTable()
        self.boxes, self.agreement = Picture(), Picture()
        self.measure, self.method, self.pairs = QComboBox(), QComboBox(), QComboBox()
        for name, words in PAIRS.items():
            self.pairs.addItem(words[0].upper() + words[1:], name)
        self.measure.setToolTip("What the boxes show.")
        self.method.setToolTip("Which map is held against the measured DVR.")
        self.pairs.setToolTip("What is compared. Lesions of 106 mm³ or less are left out: PET noise limits them.")
        self.tabs = QTabWidget()
        self.tabs.addTab(self.summary, "Mean (SD)")
        self.tabs.addTab(self.subjects, "Subjects")
        self.tabs.addTab(_page(self.boxes, BOXES, ("Measure", self.measure)), "Boxes")
        self.tabs.addTab(_page(self.agreement, LIMITS, ("Values", self.pairs)), "Bland-Altman")
        self.tabs.setMinimumHeight(420)
        rows = QFormLayout()
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows.addRow("Map", self.method)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.title)
        column.addWidget(self.warning)
        column.addLayout(rows)
        column.addWidget(self.tabs)
        column.addWidget(QLabel(RESEARCH))
        for box in (self.measure, self.method, self.pairs):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.activated.connect(self._chosen)
        self.tabs.currentChanged.connect(self._chosen)
        for part in (self.subjects, self.boxes, self.agreement):
            part.picked.connect(self.picked)

    def put(self, done: Evaluated) -> None:
        """Show an evaluation."""
        self.done = done
        evaluation = done.evaluation
        count = len({score.subject for score in evaluation.scores})
        threshold = evaluation.threshold
        words = "no threshold" if threshold is None else f"demyelinated below DVR {threshold['value']:.3f}"
        phantom = " Phantom: these subjects are simulated." if done.phantom else ""
        where = done.cohort.name or done.cohort.root.name
        self.title.setText(f"{count} subjects of {where}, model {' and '.join(evaluation.models)}, {words}.{phantom}")
        self.warning.setText(" ".join(f"{in_panel_words(each[0].upper() + each[1:])}." for each in evaluation.warnings))
        self.warning.setVisible(bool(evaluation.warnings))
        measures = [name for name in done.columns if name in evaluation.scores[0].values]
        measures = [name for name in measures if any(evaluation.of(method, name) for method in evaluation.methods)]
        _fill(self.measure, {name: done.columns[name] for name in measures}, self.memory.get("measure", "mse"))
        methods = {method: done.names.get(method, method) for method in evaluation.methods}
        _fill(self.method, methods, self.memory.get("method", "predicted"))
        self.pairs.setCurrentIndex(max(0, self.pairs.findData(self.memory.get("pairs", "lesions"))))
        self.tabs.blockSignals(True)
        self.tabs.setCurrentIndex(self.memory.get("tab", 0))
        self.tabs.blockSignals(False)
        fill_summary(self.summary, done)
        self._draw()

    def _chosen(self, index: int) -> None:
        self.memory |= {
            "measure": self.measure.currentData(),
            "method": self.method.currentData(),
            "pairs": self.pairs.currentData(),
            "tab": self.tabs.currentIndex(),
        }
        self._draw()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Draw again where the window has taken another theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange and self._theme != self.viewer.theme:
            self._draw()

    def _draw(self) -> None:
        if self.done is None:
            return
        self._theme = self.viewer.theme
        theme = get_theme(self._theme)
        ink, paper = theme.text.as_hex(), theme.background.as_hex()
        method = str(self.method.currentData())
        self.subjects.fill(self.done, method)
        draw_boxes(self.boxes, self.done, str(self.measure.currentData()), ink, paper)
        draw_agreement(self.agreement, self.done, method, str(self.pairs.currentData()), ink, paper)


def _fill(box: QComboBox, items: dict[str, str], chosen: str) -> None:
    box.clear()
    for name, words in items.items():
        box.addItem(words, name)
    box.setCurrentIndex(max(0, box.findData(chosen)))


def _page(picture: Picture, caption: str, choice: tuple[str, QComboBox]) -> QWidget:
    page = QWidget()
    rows = QFormLayout()
    rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    rows.addRow(*choice)
    words = QLabel(caption)
    words.setWordWrap(True)
    words.setAlignment(Qt.AlignmentFlag.AlignTop)
    column = QVBoxLayout(page)
    column.setContentsMargins(4, 4, 4, 4)
    column.addLayout(rows)
    column.addWidget(picture, 1)
    column.addWidget(words)
    return page
