"""What a prediction says, in the panel: threshold, shares of the lesions, and what the colours mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_myelin.core.prediction_options import PredictionOptions
from napari_myelin.widgets.editors import tooltip_of
from napari_myelin.widgets.panel import RESEARCH
from napari_myelin.widgets.predict.prediction import Shares, ShownPrediction
from napari_myelin.widgets.styles import LABELS
from napari_myelin.widgets.words import in_panel_words

LARGEST = 10.0  # DVR
NONE = "none"
# name, attributes of `Shares` for the predicted and the measured map, format
ROWS = (
    ("Mean DVR of lesions", "mean", "true_mean", "{:.3f}"),
    ("Demyelinated", "below", "true_below", "{:.1%}"),
    ("Surely demyelinated", "sure", "", "{:.1%}"),
    ("Unsure", "unsure", "", "{:.1%}"),
    ("Overlap (Dice)", "dice", "", "{:.2f}"),
)
TIPS = {
    "Demyelinated": (
        "Share of lesion voxels whose DVR is below the threshold. Of a model that says its uncertainty it is what a "
        "measurement is expected to give: the mean probability of being below."
    ),
    "Surely demyelinated": "Share of lesion voxels that are below the threshold by more than the uncertainty.",
    "Unsure": "Share of lesion voxels whose DVR is nearer to the threshold than the uncertainty, on either side.",
    "Overlap (Dice)": "Of the demyelinated voxels in the predicted and in the measured map; 1 is the same voxels.",
}


class ThresholdRow(QWidget):
    """The demyelination threshold: the model's, or the user's own.

    Signals: ``chosen`` with the user's value, or None for the model's.
    """

    chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.model_value: float | None = None
        self.spin = QDoubleSpinBox()
        self.spin.setDecimals(3)
        self.spin.setSingleStep(0.01)
        self.spin.setRange(0.0, LARGEST)
        self.spin.setSpecialValueText(NONE)
        self.spin.setToolTip(tooltip_of(PredictionOptions.model_fields["threshold_value"]))
        self.spin.valueChanged.connect(self._typed)
        self.reset = QPushButton("Model's")
        self.reset.clicked.connect(self._reset)
        self.note = QLabel()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.spin, 1)
        row.addWidget(self.note)
        row.addWidget(self.reset)
        self.put(None, None)

    def put(self, card: Any, own: float | None) -> None:
        """Show a model's threshold (its card, None where there is none), or the user's own instead."""
        threshold = None if card is None else card.threshold
        self.model_value = None if threshold is None else float(threshold["value"])
        value = self.model_value if own is None else own
        self.spin.blockSignals(True)
        self.spin.setValue(value or 0.0)
        self.spin.blockSignals(False)
        voxelwise = own is None and threshold is not None and threshold["kind"] == "template"
        self.note.setText("voxelwise" if voxelwise else "")
        self.note.setVisible(voxelwise)
        self.reset.setEnabled(own is not None)
        model = "The model has no threshold." if self.model_value is None else f"The model's is {self.model_value:.3f}."
        self.reset.setToolTip(f"Take the model's threshold again. {model}")

    def _typed(self, value: float) -> None:
        self.chosen.emit(value or None)

    def _reset(self) -> None:
        self.chosen.emit(None)


class PredictionView(QWidget):
    """Shares of the lesions as they are drawn now, and a legend of the masks."""

    def __init__(self) -> None:
        super().__init__()
        self.title = QLabel()
        self.title.setWordWrap(True)
        self.values: dict[str, QLabel] = {}
        self.names: dict[str, QLabel] = {}
        self.grid = QGridLayout()
        self.grid.setContentsMargins(0, 0, 0, 0)
        self.grid.setVerticalSpacing(2)
        self.grid.setColumnStretch(0, 1)
        self.heads = [QLabel(text) for text in ("predicted", "measured")]
        for column, head in enumerate(self.heads):
            self.grid.addWidget(head, 0, column + 1, Qt.AlignmentFlag.AlignRight)
        for row, (name, predicted, true, _) in enumerate(ROWS, start=1):
            self.names[name] = QLabel(name)
            self.names[name].setToolTip(TIPS.get(name, ""))
            self.grid.addWidget(self.names[name], row, 0)
            for column, attribute in ((1, predicted), (2, true)):
                if attribute:
                    self.values[attribute] = QLabel()
                    self.grid.addWidget(self.values[attribute], row, column, Qt.AlignmentFlag.AlignRight)
        self.legend = QGridLayout()
        self.legend.setContentsMargins(0, 4, 0, 0)
        self.legend.setVerticalSpacing(2)
        self.legend.setColumnStretch(1, 1)
        self.legend.setColumnStretch(3, 1)
        self.research = QLabel(RESEARCH)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.title)
        column.addLayout(self.grid)
        column.addLayout(self.legend)
        column.addWidget(self.research)

    def put(self, prediction: ShownPrediction) -> None:
        """Show a new prediction's shares and legend."""
        while self.legend.count():
            self.legend.takeAt(0).widget().deleteLater()
        self._legend("demyelinated", "Lesion voxels", (1, 2) if prediction.uncertainty is not None else (1,))
        if prediction.true is not None:
            self._legend("agreement", "Agreement", (2, 3, 4, 1))
        self.update_values(prediction)

    def update_values(self, prediction: ShownPrediction) -> None:
        """Show the shares as the lesions are drawn now."""
        shares = prediction.shares
        phantom = " Phantom model: it means nothing for a real subject." if prediction.phantom else ""
        self.title.setText(f"{_lesions(shares, prediction)}{phantom}")
        measured = shares.true_mean is not None
        self.heads[0].setVisible(shares.mean is not None)
        self.heads[1].setVisible(measured)
        for name, predicted, true, form in ROWS:
            value = getattr(shares, predicted)
            self.names[name].setVisible(value is not None)
            for attribute in (predicted, true):
                if attribute:
                    number = getattr(shares, attribute)
                    known = number is not None and np.isfinite(number)
                    self.values[attribute].setVisible(number is not None)
                    self.values[attribute].setText(form.format(number) if known else "n/a")

    def _legend(self, role: str, title: str, labels: tuple[int, ...]) -> None:
        head = QLabel(title)
        head.setStyleSheet("font-weight: bold;")
        first = self.legend.rowCount()
        self.legend.addWidget(head, first, 0, 1, 4)
        for place, label in enumerate(labels):
            colour, words = LABELS[role][label]
            square = QLabel()
            square.setFixedSize(12, 12)
            square.setStyleSheet(f"background: {colour}; border: 1px solid #808080;")
            # four labels are two rows of two; fewer have long words
            row, column = (place // 2, place % 2) if len(labels) == 4 else (place, 0)
            self.legend.addWidget(square, first + 1 + row, 2 * column)
            self.legend.addWidget(QLabel(words), first + 1 + row, 2 * column + 1, 1, 1 if len(labels) == 4 else 3)


def _lesions(shares: Shares, prediction: ShownPrediction) -> str:
    if shares.volume == 0:
        return "No lesion voxel is drawn: open Lesions to draw or import some."
    if prediction.threshold_on_grid is None:
        return f"Lesions: {shares.volume:.2f} ml. {in_panel_words(prediction.result.no_threshold)}."
    return f"Lesions: {shares.volume:.2f} ml."
