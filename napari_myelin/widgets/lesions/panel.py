"""The *Lesions* panel: draw a lesion mask or import one, look at each lesion, save the mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtWidgets import QGroupBox, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Failed
from napari_myelin.widgets.lesions import lesion_edit, mask_intake, mask_saving, questions
from napari_myelin.widgets.lesions.brush import BrushBox
from napari_myelin.widgets.lesions.lesion_list import LesionList
from napari_myelin.widgets.lesions.mask_file import amount, own_place
from napari_myelin.widgets.lesions.recovery_offer import offer_recovery
from napari_myelin.widgets.offer import Offer
from napari_myelin.widgets.panel import RESEARCH, Panel, allow

NO_SUBJECT = "choose a subject in the Subject panel first"
NO_MASK = "there is no lesion mask; make or import one"
WIDTH = 350  # px, below which labels would be cut
TIPS = {
    "new": "An empty mask on the subject's own grid, ready to be drawn in.",
    "import": "Take a mask from a NIfTI file; one on another grid is resampled to the nearest voxel, if you agree.",
    "merge": "Make one lesion of the chosen ones: the shortest way between them is filled. Undo takes it back.",
    "delete": "Take the chosen lesions out of the mask. Undo brings them back.",
    "save": "Write the mask on the subject's own grid and read it back; a file that is there is not replaced unasked.",
    "save_as": "Choose another place for the mask.",
}


class LesionsPanel(Panel):
    """What a user does with a lesion mask, from top to bottom.

    Parameters
    ----------
    viewer
        napari's.
    """

    name = "lesions"

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.work = self.session.mask_work
        self.offer = Offer()
        self.status = _words()
        self.brush = BrushBox(self.work)
        self.lesions = LesionList(self.work)
        self.head = _words()
        self.place = _words()
        self.buttons = {
            name: QPushButton(label)
            for name, label in (
                ("new", "New mask"),
                ("import", "Import..."),
                ("merge", "Merge"),
                ("delete", "Delete"),
                ("save", "Save"),
                ("save_as", "Save as..."),
            )
        }
        self._build()
        self.setMinimumWidth(WIDTH)
        actions = (self.make_mask, self.import_file, self.merge, self.delete, self.save, self.save_as)
        for button, act in zip(self.buttons.values(), actions, strict=True):
            button.clicked.connect(act)
        self._listen()
        self.refresh()
        self.work.recovery.look()

    def _build(self) -> None:
        button = self.buttons
        self.column.addWidget(self.offer)
        self.column.addWidget(_group("Mask", self.status, _row(button["new"], button["import"])))
        self.column.addWidget(_group("Brush", self.brush))
        research = _words()
        research.setText(RESEARCH)
        table = (self.head, self.lesions, _row(button["merge"], button["delete"]), research)
        self.column.addWidget(_group("Lesions", *table))
        self.column.addWidget(_group("File", self.place, _row(button["save"], button["save_as"])))

    def _listen(self) -> None:
        work, session = self.work, self.session
        session.subject_changed.connect(self.refresh)
        session.subject_changed.connect(self._another_subject)
        session.subject_shown.connect(self.refresh)
        session.cohort_changed.connect(self.refresh)
        work.changed.connect(self._mask_changed)
        work.failed.connect(self.fail)
        work.saved.connect(self._saved)
        work.foreign.connect(self._foreign)
        work.recovery.found.connect(self._recovery)
        self.offer.answered.connect(self._recovery)
        self.lesions.filled.connect(self.refresh)
        self.lesions.chosen.connect(self.refresh)

    # --- how it stands ------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show how the mask stands, and what can be done."""
        subject, work = self.session.subject, self.work
        self.status.setText(self._status())
        source = self.lesions.source
        phantom = "Phantom: simulated, no person. " if self.session.cohort and self.session.cohort.phantom else ""
        about = f"{source.name}, {source.threshold_in_words}." if source.name else "no DVR yet: predict one."
        self.head.setText(phantom + about[0].upper() + about[1:])
        self.head.setVisible(subject is not None)
        no_subject = "" if subject is not None else NO_SUBJECT
        no_mask = no_subject or ("" if work.mask is not None else NO_MASK)
        chosen = len(self.lesions.numbers)
        there = "there is one already: draw in it" if work.mask is not None else ""
        reasons = {
            "new": no_subject or there,
            "import": no_subject,
            "merge": no_mask or ("" if chosen > 1 else "choose two lesions or more in the table (Ctrl-click)"),
            "delete": no_mask or ("" if chosen else "choose a lesion in the table"),
            "save": no_mask,
            "save_as": no_mask,
        }
        for name, reason in reasons.items():
            allow(self.buttons[name], reason, TIPS[name])
        place = None if subject is None else own_place(subject, self.session.cohort)
        self.place.setText(place.name if place is not None else "")
        self.place.setToolTip("" if place is None else str(place))
        self.place.setVisible(place is not None)

    def _status(self) -> str:
        subject, mask = self.session.subject, self.work.volume
        if subject is None:
            return "No subject is on show."
        if mask is None:
            return f"{subject.key}: no lesion mask."
        count = len(self.lesions.rows)
        lesions = f"{count} lesion{'' if count == 1 else 's'}, {amount(mask)}"
        return f"{subject.key}: {lesions}.{' Not saved yet.' if self.work.unsaved else ''}"

    def _mask_changed(self) -> None:
        self.say("")  # what was said of the change before; whoever made this one says so next
        self.refresh()

    def _another_subject(self) -> None:
        self.say("")
        self.offer.withdraw()

    # --- making, importing, adopting ----------------------------------------------------------------

    def make_mask(self) -> None:
        """Show an empty mask on the subject's own grid, with the brush in hand."""
        grid = self.session.frame.reference
        self.put(Volume(np.zeros(grid.shape, dtype=bool), grid.affine))
        self.work.layer.mode = "paint"
        self.say("Draw with the left button.")

    def import_file(self) -> None:
        """Ask for a mask file and take it in."""
        path = questions.ask_open_name(self, Path(self.memory.get("folder", Path.home())))
        if path is not None:
            self.memory["folder"] = str(path.parent)
            mask_intake.import_file(self, path)

    def put(self, mask: Volume) -> None:
        """Show a mask (own grid), and make its layer the one that is drawn in."""
        try:
            self.work.put(mask)
        except MyelinError as error:
            self.fail(Failed(str(error), ""))
            return
        self.viewer.layers.selection.active = self.work.layer

    def _foreign(self, layer: Any) -> None:
        mask_intake.offer_adoption(self, layer)

    # --- lesion by lesion, saving, recovery ---------------------------------------------------------

    def merge(self) -> None:
        """Make one lesion of the chosen ones."""
        lesion_edit.merge(self)

    def delete(self) -> None:
        """Take the chosen lesions out of the mask."""
        lesion_edit.delete(self)

    def save(self) -> None:
        """Save the mask in its own place."""
        mask_saving.save(self.work)

    def save_as(self) -> None:
        """Save the mask under another name."""
        mask_saving.save(self.work, other_name=True)

    def _saved(self, path: Path) -> None:
        self.say(f"Saved as {path.name} in {path.parent}, and read back.", "good")

    def _recovery(self) -> None:
        offer_recovery(self)


def _words() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    policy.setHeightForWidth(True)  # else a second line is cut
    label.setSizePolicy(policy)
    return label


def _group(title: str, *parts: QWidget | QHBoxLayout) -> QGroupBox:
    group = QGroupBox(title)
    column = QVBoxLayout(group)
    for part in parts:
        if isinstance(part, QWidget):
            column.addWidget(part)
        else:
            column.addLayout(part)
    return group


def _row(*buttons: QPushButton) -> QHBoxLayout:
    row = QHBoxLayout()
    for button in buttons:
        row.addWidget(button)
    return row
