"""The buttons that save what was predicted, and what they ask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QMessageBox, QPushButton, QWidget

from napari_myelin.widgets.panel import allow
from napari_myelin.widgets.predict.prediction_files import existing_outputs, export_table, save_all
from napari_myelin.widgets.predict.predictor import Predictor

SAVE = "Save every map, the masks and the table of lesions under BIDS names."
EXPORT = "Save the table of lesions as drawn now (TSV)."


class SaveButtons(QWidget):
    """Save all, export the table.

    Parameters
    ----------
    predictor
        Does the writing.
    memory
        Keeps the folder that was used last.
    """

    def __init__(self, predictor: Predictor, memory: dict[str, Any]) -> None:
        super().__init__()
        self.predictor, self.session, self.memory = predictor, predictor.session, memory
        self.save, self.export = QPushButton("Save all..."), QPushButton("Export table...")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for button in (self.save, self.export):
            row.addWidget(button, 1)
        self.save.clicked.connect(self._save)
        self.export.clicked.connect(self._export)

    def refresh(self) -> None:
        """Enable what can be done now, and say why the rest cannot."""
        reason = self.predictor.writing if self.session.prediction is not None else "predict first"
        allow(self.save, reason, SAVE)
        without = "" if self.session.layer("lesion") is not None else "there is no lesion mask"
        allow(self.export, reason or without, EXPORT)

    def _save(self) -> None:
        start = str(self.memory.get("folder", Path.home()))
        name = QFileDialog.getExistingDirectory(self, "Save the prediction into a folder", start)
        if not name:
            return
        folder, subject, prediction = Path(name), self.session.current_subject, self.session.prediction
        there = existing_outputs(folder, subject, prediction)
        if there and not self._agreed(there):
            return
        self.memory["folder"] = folder
        self.predictor.write(lambda stop: save_all(folder, subject, prediction))

    def _agreed(self, there: list[Path]) -> bool:
        names = "\n".join(path.name for path in there[:6]) + ("\n..." if len(there) > 6 else "")
        question = f"{len(there)} files are there already and would be replaced:\n{names}"
        answer = QMessageBox.question(self, "Replace files?", question)
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _export(self) -> None:
        subject, prediction = self.session.current_subject, self.session.prediction
        start = self.memory.get("folder", Path.home()) / f"{subject.key}_lesions.tsv"
        # the dialog itself asks before a file is replaced
        name, _ = QFileDialog.getSaveFileName(self, "Export the table of lesions", str(start), "Tables (*.tsv)")
        if name:
            path = Path(name) if name.endswith(".tsv") else Path(f"{name}.tsv")
            self.predictor.write(lambda stop: export_table(path, subject, prediction))
