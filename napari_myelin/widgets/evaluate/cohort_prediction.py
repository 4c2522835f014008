"""The part of the Evaluate panel that predicts a whole cohort first."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_myelin.core.data.samples import sample_model
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.options_file import findings
from napari_myelin.core.prediction_options import PredictionOptions
from napari_myelin.widgets.devices import DeviceBox
from napari_myelin.widgets.editors import editor_of, label_of
from napari_myelin.widgets.panel import allow
from napari_myelin.widgets.predict.model_card import ModelChoice
from napari_myelin.widgets.predict.option_rows import option_rows

SHOWN = ("uncertainty", "saliency", "window", "seed")
TIP = "Predict every subject of the cohort into a folder; a subject that cannot be predicted is named and left out."


class CohortPrediction(QWidget):
    """Model, device and options for a whole cohort, and the button.

    Signals: ``changed``, when something was chosen; ``failed`` with a `Failed`.

    Parameters
    ----------
    session
        Of the viewer.
    memory
        Keeps the form.
    """

    changed = Signal()
    failed = Signal(object)

    def __init__(self, session: Any, memory: dict[str, Any]) -> None:
        super().__init__()
        self.memory = memory
        self.model, self.device = ModelChoice(session), DeviceBox(session, each_gpu=False)
        self.editors = {name: editor_of(PredictionOptions.model_fields[name]) for name in SHOWN}
        self.button = QPushButton("Predict cohort...")
        for name, editor in self.editors.items():
            if name in memory.get("options", {}):
                editor.put(memory["options"][name])
            editor.edited.connect(self._edited)
        rows = option_rows(self.device, self.editors)
        column = QVBoxLayout(self)
        column.setContentsMargins(14, 0, 0, 6)
        column.addWidget(self.model)
        column.addLayout(rows)
        column.addWidget(self.button)
        self.model.changed.connect(self._chosen)
        self.model.failed.connect(self.failed)
        self.device.job.finished.connect(self.changed)
        try:
            self.model.choose(memory.get("model") or sample_model())
        except MyelinError as error:
            self.button.setToolTip(str(error))

    def options(self, resample: bool) -> PredictionOptions:
        """Return the options that the form shows.

        Raises
        ------
        ValidationError
            If one of them cannot be.
        """
        return PredictionOptions(**{name: each.given() for name, each in self.editors.items()}, resample=resample)

    def refresh(self, reason: str) -> None:
        """Enable the button, or let it say why not: ``reason``, or what is missing here."""
        if not reason and self.model.card is None:
            reason = "choose a model whose card can be read"
        if not reason and not self.device.isEnabled():
            reason = "devices are being looked for"
        if not reason:
            try:
                self.options(False)
            except ValidationError as error:
                reason = "; ".join(f"{label_of(name)}: {text}".strip(": ") for name, text in findings(error))
        allow(self.button, reason, TIP)

    def _chosen(self) -> None:
        self.memory["model"] = self.model.path
        self.changed.emit()

    def _edited(self) -> None:
        self.memory["options"] = {name: editor.given() for name, editor in self.editors.items()}
        self.changed.emit()
