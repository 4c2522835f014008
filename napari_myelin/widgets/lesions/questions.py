"""What the user is asked about a mask before anything could be lost."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QCheckBox, QFileDialog, QMessageBox

NIFTI = "NIfTI (*.nii.gz *.nii)"


class Overwrite(Enum):
    """What is done with a file that is there already."""

    REPLACE = "Replace it"
    KEEP = "Replace it, keep the old one"
    OTHER = "Other name..."
    CANCEL = "Cancel"


class Leave(Enum):
    """What is done with unsaved strokes when the subject is left."""

    SAVE = "Save"
    KEEP = "Keep for later"
    DISCARD = "Discard"
    STAY = "Stay"


def ask_overwrite(parent: Any, path: Path) -> Overwrite:
    """Ask whether a file is replaced."""
    box = QMessageBox(QMessageBox.Icon.Warning, "Lesion mask", f"{path.name} is there already.", parent=parent)
    box.setInformativeText(f"In {path.parent}")
    keep = QCheckBox("Keep the old one beside it, as .bak")
    keep.setChecked(True)
    box.setCheckBox(keep)
    choices = {
        box.addButton(Overwrite.REPLACE.value, QMessageBox.ButtonRole.AcceptRole): Overwrite.REPLACE,
        box.addButton(Overwrite.OTHER.value, QMessageBox.ButtonRole.ActionRole): Overwrite.OTHER,
        box.addButton(Overwrite.CANCEL.value, QMessageBox.ButtonRole.RejectRole): Overwrite.CANCEL,
    }
    box.exec()
    choice = choices.get(box.clickedButton(), Overwrite.CANCEL)
    return Overwrite.KEEP if choice is Overwrite.REPLACE and keep.isChecked() else choice


def ask_leave(parent: Any, key: str, amount: str) -> Leave:
    """Ask what becomes of unsaved strokes."""
    said = f"The lesion mask of {key} is not saved."
    box = QMessageBox(QMessageBox.Icon.Question, "Lesion mask", said, parent=parent)
    box.setInformativeText(f"It holds {amount}. Kept for later, it is offered again when {key} is opened.")
    choices = {
        box.addButton(Leave.SAVE.value, QMessageBox.ButtonRole.AcceptRole): Leave.SAVE,
        box.addButton(Leave.KEEP.value, QMessageBox.ButtonRole.ActionRole): Leave.KEEP,
        box.addButton(Leave.DISCARD.value, QMessageBox.ButtonRole.DestructiveRole): Leave.DISCARD,
        box.addButton(Leave.STAY.value, QMessageBox.ButtonRole.RejectRole): Leave.STAY,
    }
    box.exec()
    return choices.get(box.clickedButton(), Leave.STAY)


def ask_save_name(parent: Any, suggestion: Path) -> Path | None:
    """Ask where a mask is saved; None where the user gave up. Replacing a file is asked for later."""
    name, _ = QFileDialog.getSaveFileName(
        parent, "Save the lesion mask", str(suggestion), NIFTI, options=QFileDialog.Option.DontConfirmOverwrite
    )
    if not name:
        return None
    path = Path(name)
    return path if path.name.endswith((".nii.gz", ".nii")) else path.with_name(path.name + ".nii.gz")


def ask_open_name(parent: Any, folder: Path) -> Path | None:
    """Ask for a mask file; None where the user gave up."""
    name, _ = QFileDialog.getOpenFileName(parent, "Import a lesion mask", str(folder), NIFTI)
    return Path(name) if name else None
