"""Choose a model file; its card says what it is for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_myelin.core.data.samples import sample_model
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Failed, duration
from napari_myelin.widgets.jobs import Job
from napari_myelin.widgets.panel import tint
from napari_myelin.widgets.recent import recent, remember


class ModelChoice(QWidget):
    """A list of the models used lately, a button to find another, and the card of the chosen one.

    Signals: ``changed``, when another model was chosen, and when its card was read or could not be; ``failed`` with a
    `Failed`.

    Parameters
    ----------
    session
        Of the viewer.

    Attributes
    ----------
    path
        The chosen file, None where there is none.
    card
        Its card; None until it is read, or where it cannot be.
    """

    changed = Signal()
    failed = Signal(object)

    def __init__(self, session: Any) -> None:
        super().__init__()
        self.session = session
        self.path: Path | None = None
        self.card: Any = None
        self._job: Job | None = None
        self.list = QComboBox()
        self.list.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.list.setToolTip("The sample model, and model files that were used lately.")
        self.browse = QPushButton("Open...")
        self.browse.setToolTip("Choose a model file (.safetensors): a run folder of a training holds one.")
        self.browse.clicked.connect(self._ask)
        row = QHBoxLayout()
        row.addWidget(self.list, 1)
        row.addWidget(self.browse)
        self._card = QWidget()
        self.grid = QGridLayout(self._card)
        self.grid.setContentsMargins(0, 0, 0, 0)
        self.grid.setVerticalSpacing(2)
        self.grid.setColumnStretch(1, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        column.addWidget(self._card)
        self._fill_list()
        self.list.activated.connect(lambda index: self.choose(Path(self.list.itemData(index))))

    def choose(self, path: Path) -> None:
        """Take a model file: its card is read in the background, and it is remembered where that can be read."""
        self.path, self.card = path, None
        self._show_chosen()
        self._show_card([])
        if self._job is not None:
            self._job.yielded.disconnect(self._take)
            self._job.failed.disconnect(self._fail)
        self._job = Job("model card", lambda stop: _card(path), self.session).start(self._take, self._fail)
        self.changed.emit()

    def _ask(self) -> None:
        start = str(self.path.parent if self.path else Path.home())
        name, _ = QFileDialog.getOpenFileName(self, "Choose a model", start, "Models (*.safetensors)")
        if name:
            self.choose(Path(name))

    def _fill_list(self) -> None:
        self.list.clear()
        try:
            self.list.addItem("Sample model (phantom)", str(sample_model()))
        except MyelinError as error:
            self.list.setToolTip(str(error))
        for path in recent("models"):
            self._add(path)

    def _add(self, path: Path) -> None:
        if self.list.findData(str(path)) < 0:
            self.list.addItem(f"{path.parent.name}/{path.name}", str(path))
            self.list.setItemData(self.list.count() - 1, str(path), Qt.ItemDataRole.ToolTipRole)

    def _show_chosen(self) -> None:
        self._add(self.path)
        self.list.setCurrentIndex(self.list.findData(str(self.path)))

    def _take(self, card: Any) -> None:
        self.card = card
        if self.list.itemData(0) != str(self.path):
            remember("models", self.path)
        self._show_card(card_lines(card))
        self.changed.emit()

    def _fail(self, failed: Failed) -> None:
        self.failed.emit(failed)
        self.changed.emit()

    def _show_card(self, lines: list[tuple[str, str, str]]) -> None:
        while self.grid.count():
            self.grid.takeAt(0).widget().deleteLater()
        for row, (name, text, tooltip) in enumerate(lines):
            left, right = QLabel(name), QLabel(text)
            left.setAlignment(Qt.AlignmentFlag.AlignTop)
            right.setWordWrap(True)
            right.setToolTip(tooltip)
            right.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            if name == "Phantom":
                tint(right, "caution")
            self.grid.addWidget(left, row, 0)
            self.grid.addWidget(right, row, 1)


def _card(path: Path) -> Iterator[Any]:
    from napari_myelin.core.inference.model import read_card

    yield read_card(path)


def card_lines(card: Any) -> list[tuple[str, str, str]]:
    """Return what a user must know of a model: name, text and tooltip of each line."""
    training, network = card.training, card.options.network
    grid = " x ".join(str(edge) for edge in card.grid["shape"])
    spacing = card.grid["spacing"]
    edges = f"{spacing[0]:.3g}" if len(set(spacing)) == 1 else " x ".join(f"{edge:.3g}" for edge in spacing)
    units = ", ".join(f"{name}: {card.units.get(name, 'unknown')}" for name in card.modalities)
    epochs = " + ".join(str(count) for count in training.epochs)
    subjects = len(training.subjects) + len(training.validation)
    error = "" if training.validation_mse is None else f", held-out MSE {training.validation_mse:.4f}"
    lines = []
    if training.phantom:
        text = "trained on simulated subjects: predictions of real ones mean nothing"
        lines.append(("Phantom", text, "Nobody was scanned for this model."))
    lines += [
        ("Inputs", ", ".join(card.modalities), units),
        ("Grid", f"{grid} voxels of {edges} mm", "Maps are brought to this grid and back."),
        (
            "Training",
            f"{subjects} subjects ({len(training.validation)} held out), {' + '.join(training.stages)}, {epochs} epochs"
            f"{error}{'' if training.finished else ', not finished'}",
            f"{network.generator}, {network.maps} feature maps, preset {card.options.preset}; "
            f"{duration(training.seconds)} on {training.place}",
        ),
        ("Threshold", threshold_words(card.threshold), "DVR below which a lesion voxel counts as demyelinated."),
        ("Use", "research only, not a medical device", card.intended_use),
    ]
    return lines


def threshold_words(threshold: dict[str, Any] | None) -> str:
    """Return a model's demyelination threshold in words."""
    if threshold is None:
        return "none"
    value = f"DVR {threshold['value']:.3f}"
    if threshold["kind"] == "value":
        return f"{value} (given)"
    place = "voxel by voxel in template space; elsewhere " if threshold["kind"] == "template" else ""
    return f"{place}{value} ({threshold['controls']} controls, mean - {threshold['k']:g} SD)"
