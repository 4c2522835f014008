"""The Predict panel: a model, what speaks against it, options, Run, and what came out."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLabel, QProgressBar, QPushButton

from napari_myelin.core.data.samples import sample_model
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Failed, duration
from napari_myelin.core.options_file import findings
from napari_myelin.core.prediction_options import PredictionOptions
from napari_myelin.widgets.devices import DeviceBox
from napari_myelin.widgets.editors import editor_of, label_of
from napari_myelin.widgets.panel import Panel, allow
from napari_myelin.widgets.predict.model_card import ModelChoice
from napari_myelin.widgets.predict.option_rows import option_rows
from napari_myelin.widgets.predict.prediction import ShownPrediction
from napari_myelin.widgets.predict.prediction_job import Request
from napari_myelin.widgets.predict.prediction_saving import SaveButtons
from napari_myelin.widgets.predict.prediction_view import PredictionView, ThresholdRow
from napari_myelin.widgets.predict.predictor import predictor_of
from napari_myelin.widgets.predict.suitability_line import SuitabilityLine

SHOWN = ("uncertainty", "saliency", "saliency_target", "window", "seed")
RUN = "Predict the subject's DVR map with this model; the network does not see the lesion mask."
CANCEL = "Stop after the pass through the network that is under way."


class PredictPanel(Panel):
    """Predict the subject on show, see how sure it is, and save it."""

    name = "predict"

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.predictor = predictor_of(self.session)
        self._followed: ShownPrediction | None = None
        self._make()
        self._tick = QTimer(self)
        self._tick.setInterval(500)
        self._tick.timeout.connect(self._show_progress)
        self._connect()
        self._restore()
        self._show_prediction()
        self._show_progress()

    def _make(self) -> None:
        self.model = ModelChoice(self.session)
        self.suitability = SuitabilityLine(self.session)
        self.device = DeviceBox(self.session)
        self.threshold = ThresholdRow()
        self.editors = {name: editor_of(PredictionOptions.model_fields[name]) for name in SHOWN}
        rows = option_rows(self.device, self.editors)
        rows.addRow("Threshold (DVR)", self.threshold)
        self.run_button, self.cancel_button = QPushButton("Run"), QPushButton("Cancel")
        buttons = QHBoxLayout()
        for button in (self.run_button, self.cancel_button):
            buttons.addWidget(button, 1)
        self.bar, self.state = QProgressBar(), QLabel()
        self.state.setWordWrap(True)
        self.view = PredictionView()
        self.files = SaveButtons(self.predictor, self.memory)
        for part in (self.model, self.suitability, rows, buttons, self.bar, self.state, self.view, self.files):
            self.column.addLayout(part) if isinstance(part, QFormLayout | QHBoxLayout) else self.column.addWidget(part)

    def _connect(self) -> None:
        self.model.changed.connect(self._model_changed)
        self.model.failed.connect(self.fail)
        self.suitability.changed.connect(self._show_progress)
        self.suitability.failed.connect(self.fail)
        for editor in self.editors.values():
            editor.edited.connect(self._edited)
        self.threshold.chosen.connect(self._threshold_chosen)
        self.run_button.clicked.connect(self._run)
        self.cancel_button.clicked.connect(self.predictor.cancel)
        self.session.subject_changed.connect(self._look)
        self.session.cohort_changed.connect(self._look)
        self.session.prediction_changed.connect(self._show_prediction)
        self.session.model_offered.connect(self.model.choose)
        self.predictor.changed.connect(self._show_progress)
        self.predictor.failed.connect(self._failed)
        self.predictor.done.connect(self._done)

    def _restore(self) -> None:
        for name, value in self.memory.get("options", {}).items():
            self.editors[name].put(value)
        self.device.job.finished.connect(self._devices_found)
        try:
            self.model.choose(self.memory.get("model") or sample_model())
        except MyelinError as error:
            self.say(str(error), "problem")

    def _devices_found(self) -> None:
        self.device.choose(self.memory.get("device", self.device.device))
        self._show_progress()

    # --- before Run ---------------------------------------------------------------------------------

    def options(self) -> PredictionOptions:
        """Return the options that the form shows.

        Raises
        ------
        ValidationError
            If one of them cannot be.
        """
        given = {name: editor.given() for name, editor in self.editors.items()}
        return PredictionOptions(**given, resample=self.session.resample)

    def _edited(self) -> None:
        self.memory["options"] = {name: editor.given() for name, editor in self.editors.items()}
        self._show_progress()

    def _model_changed(self) -> None:
        if self.memory.get("model") not in (None, self.model.path):
            self.memory.pop("own_threshold", None)  # it was meant for the other model
        self.memory["model"] = self.model.path
        self._show_threshold()
        self._look()

    def _look(self) -> None:
        self.suitability.look(self.model.card)

    def _reason(self) -> str:
        """Return why nothing can be predicted now; empty where it can."""
        if self.session.subject is None:
            return "choose a subject in the Subject panel"
        if self.model.card is None:
            return "choose a model whose card can be read"
        if self.predictor.running:
            return "a prediction is under way"
        if self.suitability.flags is None:
            return "the subject is being looked at"
        if self.suitability.errors:
            return self.suitability.errors[0]
        try:
            self.options()
        except ValidationError as error:
            return "; ".join(f"{label_of(name)}: {sentence}".strip(": ") for name, sentence in findings(error))
        return "" if self.device.isEnabled() else "devices are being looked for"

    # --- Run ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        self.say("")
        self.memory["device"] = self.device.device
        subject, frame = self.session.current_subject, self.session.frame
        self.predictor.run(Request(self.model.path, subject, frame, self.options(), self.device.device))

    def _show_progress(self) -> None:
        running, reason = self.predictor.running, self._reason()
        allow(self.run_button, reason, RUN)
        cancel = "" if running and not self.predictor.cancelling else "it is cancelling" if running else "nothing runs"
        allow(self.cancel_button, cancel, CANCEL)
        self.files.refresh()
        self.bar.setVisible(running)
        if running:
            self._tick.start()
            self.state.setText(self._progress())
        else:
            self._tick.stop()
            waiting = self.suitability.flags is None or self.session.subject is None or not self.device.isEnabled()
            said = bool(self.suitability.errors)  # in red, above
            self.state.setText("" if waiting or said or not reason else f"Cannot run: {reason}.")
        self.state.setVisible(bool(self.state.text()))

    def _progress(self) -> str:
        """Move the bar; return what is being done and for how much longer."""
        progress, left = self.predictor.progress, self.predictor.seconds_left
        done, total = (progress.done, progress.total) if progress else (0, 1)
        # a first pass of unknown length is shown as busy, not as 0 %
        self.bar.setRange(0, total if done else 0)
        self.bar.setValue(done)
        if self.predictor.cancelling:
            return "Cancelling..."
        words = progress.detail if progress else "loading the model"
        return words if left is None or done == total else f"{words}, {duration(left)} left"

    def _failed(self, failed: Failed) -> None:
        self.fail(failed)
        self._show_progress()

    def _done(self, sentence: str) -> None:
        notes = " ".join(f"{note}." for note in self.predictor.notes)
        self.say(f"{sentence} {notes}".strip(), "problem" if notes else "good")
        self._show_progress()

    # --- what came out ------------------------------------------------------------------------------

    def _show_prediction(self) -> None:
        prediction = self.session.prediction
        self.view.setVisible(prediction is not None)
        if prediction is not None and prediction is not self._followed:
            self._followed = prediction
            prediction.set_threshold(self.memory.get("own_threshold"))
            prediction.updated.connect(self._updated)
            self.view.put(prediction)
        self._show_threshold()
        self._show_progress()

    def _updated(self) -> None:
        if self.session.prediction is not None:
            self.view.update_values(self.session.prediction)

    def _show_threshold(self) -> None:
        self.threshold.put(self.model.card, self.memory.get("own_threshold"))

    def _threshold_chosen(self, value: float | None) -> None:
        self.memory["own_threshold"] = value
        if self.session.prediction is not None:
            self.session.prediction.set_threshold(value)
        self._show_threshold()
