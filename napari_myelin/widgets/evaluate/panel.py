"""The Evaluate panel: predictions of a cohort against its measured DVR."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from qtpy.QtCore import Qt, QTimer, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
)

from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import duration
from napari_myelin.widgets.evaluate.cohort_prediction import CohortPrediction
from napari_myelin.widgets.evaluate.evaluation_job import evaluating, predict_all, writing_page
from napari_myelin.widgets.evaluate.evaluator import evaluator_of
from napari_myelin.widgets.panel import Panel, allow
from napari_myelin.widgets.recent import recent, remember
from napari_myelin.widgets.train.forms import Section

DOING = {"predicting": "Predicting", "evaluating": "Comparing", "page": "Writing the page"}


class EvaluatePanel(Panel):
    """Hold predictions against the measured DVR of the cohort that is open."""

    name = "evaluate"

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.evaluator = evaluator_of(self.session)
        self.view: Any = None  # made with the first result, because it imports what draws
        self._make()
        self._tick = QTimer(self)
        self._tick.setInterval(500)
        self._tick.timeout.connect(self._show)
        self._connect()
        if self.evaluator.result is not None:
            self._show_result()
        self._show()

    def _make(self) -> None:
        self.folders = QComboBox()
        self.folders.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.folders.setToolTip("Folders of predictions that were used lately.")
        self.open_button = QPushButton("Open...")
        self.open_button.setToolTip("Choose a folder that Predict or the command line wrote predictions into.")
        head = QHBoxLayout()
        head.addWidget(self.folders, 1)
        head.addWidget(self.open_button)
        rows = QFormLayout()
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows.addRow("Predictions", head)
        self.column.addLayout(rows)
        self.prediction = CohortPrediction(self.session, self.memory)
        self.section = Section("No predictions yet? Predict the cohort", self.prediction)
        self.column.addWidget(self.section)
        self.evaluate_button, self.cancel_button = QPushButton("Evaluate"), QPushButton("Cancel")
        self.page_button = QPushButton("Report page")
        buttons = QHBoxLayout()
        for button in (self.evaluate_button, self.cancel_button, self.page_button):
            buttons.addWidget(button, 1)
        self.column.addLayout(buttons)
        self.bar, self.state = QProgressBar(), QLabel()
        self.state.setWordWrap(True)
        self.column.addWidget(self.bar)
        self.column.addWidget(self.state)
        self.place = QVBoxLayout()
        self.column.addLayout(self.place)
        for path in recent("predictions"):
            self._add(path)
        chosen = self.memory.get("folder")
        self.section.open(chosen is None and not self.folders.count())
        if chosen is not None:
            self._add(chosen)
            self.folders.setCurrentIndex(self.folders.findData(str(chosen)))

    def _connect(self) -> None:
        self.open_button.clicked.connect(self._open)
        self.folders.activated.connect(self._folder_chosen)
        self.evaluate_button.clicked.connect(self._evaluate)
        self.cancel_button.clicked.connect(self.evaluator.cancel)
        self.page_button.clicked.connect(self._page)
        self.prediction.button.clicked.connect(self._predict)
        self.prediction.changed.connect(self._show)
        self.prediction.failed.connect(self.fail)
        self.session.cohort_changed.connect(self._show)
        self.evaluator.changed.connect(self._show)
        self.evaluator.evaluated.connect(self._show_result)
        self.evaluator.failed.connect(self.fail)
        self.evaluator.ended.connect(self._ended)
        self.evaluator.wrote.connect(self._wrote)

    # --- which predictions --------------------------------------------------------------------------

    @property
    def folder(self) -> Path | None:
        """The chosen folder of predictions."""
        data = self.folders.currentData()
        return None if data is None else Path(data)

    def use(self, folder: Path) -> None:
        """Take a folder of predictions."""
        self._add(folder)
        self.folders.setCurrentIndex(self.folders.findData(str(folder)))
        self._folder_chosen()

    def _add(self, folder: Path) -> None:
        if self.folders.findData(str(folder)) < 0:
            self.folders.addItem(f"{folder.parent.name}/{folder.name}", str(folder))
            self.folders.setItemData(self.folders.count() - 1, str(folder), Qt.ItemDataRole.ToolTipRole)

    def _open(self) -> None:
        start = str(self.folder.parent if self.folder else Path.home())
        name = QFileDialog.getExistingDirectory(self, "Choose a folder of predictions", start)
        if name:
            self.use(Path(name))

    def _folder_chosen(self, index: int = 0) -> None:
        self.memory["folder"] = self.folder
        self._show()

    # --- work ---------------------------------------------------------------------------------------

    def _predict(self) -> None:
        start = str(self.folder.parent if self.folder else Path.home())
        name = QFileDialog.getExistingDirectory(self, "Choose a folder for the predictions", start)
        if not name:
            return
        folder, cohort, chosen = Path(name), self.session.cohort, self.prediction
        try:
            options = chosen.options(self.session.resample)
        except ValidationError:
            return
        if (folder / "model.json").exists() and not self._agreed(folder):
            return
        self.say("")
        self.use(folder)
        path, device = chosen.model.path, chosen.device.device
        self.evaluator.start("predicting", lambda stop: predict_all(path, cohort, folder, options, device, stop))

    def _agreed(self, folder: Path) -> bool:
        question = f"{folder} holds predictions already: replace those of this cohort's subjects?"
        return bool(QMessageBox.question(self, "Replace files?", question) == QMessageBox.StandardButton.Yes)

    def _evaluate(self) -> None:
        self.say("")
        folder, cohort, resample = self.folder, self.session.cohort, self.session.resample
        self.evaluator.start("evaluating", lambda stop: evaluating(folder, cohort, resample, stop))

    def _page(self) -> None:
        done = self.evaluator.result
        self.evaluator.start("page", lambda stop: writing_page(done))

    def _ended(self, name: str) -> None:
        skipped = self.evaluator.skipped
        left_out = " ".join(f"{each.subject} was left out: {each.reason}." for each in skipped)
        if name == "predicting" and any(subject.has("dvr") for subject in self.session.cohort.subjects):
            remember("predictions", self.folder)
            self.section.open(False)  # room for what comes
            self._evaluate()
        elif name == "evaluating":
            remember("predictions", self.folder)
        if left_out:
            self.say(left_out, "problem")

    def _wrote(self, path: str) -> None:
        self.say(f"Saved the page: {path}", "good")
        QDesktopServices.openUrl(QUrl.fromLocalFile(path))

    # --- how it stands ------------------------------------------------------------------------------

    def _show(self) -> None:
        doing = self.evaluator.doing
        busy = f"{DOING[doing].lower()} is under way" if doing else ""
        cohort = "" if self.session.cohort is not None else "open a cohort in the Subject panel"
        folder = "" if self.folder is not None else "choose a folder of predictions, or predict the cohort"
        tip = "Compare every predicted map with the subject's measured DVR; tables are written beside the maps."
        allow(self.evaluate_button, busy or cohort or folder, tip)
        stopping = "it is cancelling" if self.evaluator.cancelling else ""
        writing = "the page is written in a moment" if doing == "page" else ""
        tip = "Stop after the subject that is under way."
        allow(self.cancel_button, stopping or writing or ("" if doing else "nothing runs"), tip)
        nothing = "" if self.evaluator.result is not None else "evaluate first"
        allow(self.page_button, busy or nothing, "Write a page of tables, plots and slices (HTML), and open it.")
        self.prediction.refresh(busy or cohort)
        self.bar.setVisible(bool(doing))
        if not doing:
            self._tick.stop()
            waiting = cohort or folder
            self.state.setText(f"{waiting[0].upper()}{waiting[1:]}." if waiting else "")
            self.state.setVisible(bool(waiting))
            return
        self._tick.start()
        progress, left = self.evaluator.progress, self.evaluator.seconds_left
        done, total = (progress.done, progress.total) if progress else (0, 0)
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        more = f": {done} of {total} subjects" if total else "..."
        words = f"{DOING[doing]}{more}" + (f", {duration(left)} left" if left else "")
        self.state.setText("Cancelling..." if self.evaluator.cancelling else words)
        self.state.show()

    def _show_result(self) -> None:
        if self.view is None:
            from napari_myelin.widgets.evaluate.evaluation_view import EvaluationView

            self.view = EvaluationView(self.viewer, self.memory)
            self.view.picked.connect(self._picked)
            self.place.addWidget(self.view)
        self.view.put(self.evaluator.result)

    def _picked(self, key: str) -> None:
        if self.session.subject is not None and self.session.subject.key == key:
            self.say(f"{key} is on show.")
            return
        try:
            self.session.choose(key)
            self.say(f"{key} is opened.")
        except MyelinError as error:
            self.say(str(error), "problem")
