"""What a preparation is asked for: raw dataset, visits, the cohort's folder, options, how many at once."""

from __future__ import annotations

import os
from typing import Any

from pydantic import Field
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QWidget

from napari_myelin.core.errors import UsageError
from napari_myelin.core.prepare.libraries import missing
from napari_myelin.core.prepare.options import JOBS, PrepareOptions
from napari_myelin.core.prepare.raw import WORK, RawSubject, refusal
from napari_myelin.widgets.editors import Whole, tooltip_of
from napari_myelin.widgets.folder_field import FolderField
from napari_myelin.widgets.panel import tint, wrapping_label
from napari_myelin.widgets.session import Session
from napari_myelin.widgets.subject.preparer import Wanted
from napari_myelin.widgets.subject.scout import Scout
from napari_myelin.widgets.subject.visit_table import VisitTable
from napari_myelin.widgets.train.forms import GroupsForm
from napari_myelin.widgets.words import in_home

RAW = "Folder of a raw BIDS dataset: sub-XX folders with MT pair, DWI, T1w, PET; lesion masks in its derivatives."
OUT = "Folder that the cohort is made in. What is there and unchanged is not made again."


class RawForm(QWidget):
    """Raw dataset, visits, cohort, options and jobs of a preparation.

    Signal: ``changed``, when anything of it did.

    Parameters
    ----------
    session
        Of the viewer.
    memory
        Where the form's values outlive it.
    """

    changed = Signal()

    def __init__(self, session: Session, memory: dict[str, Any]) -> None:
        super().__init__()
        self.memory = memory
        self.lacking = missing()
        self.scout = Scout(session, self)
        self.raw, self.out = FolderField(), FolderField()
        self.choose_raw, self.choose_out = QPushButton("Choose..."), QPushButton("Choose...")
        self.found, self.holds = wrapping_label(), wrapping_label()
        self.visits = VisitTable()
        self.form = GroupsForm(PrepareOptions())
        jobs = Field(1, ge=1, le=max(1, os.cpu_count() or 1), description=JOBS)
        self.jobs = Whole(jobs)
        self.jobs.setToolTip(tooltip_of(jobs))
        self._suggested = ""
        self._filled: list[RawSubject] | None = None  # what the table shows
        self._lay_out()
        self._restore()
        self._connect()
        self._edited()

    def _lay_out(self) -> None:
        for field, button, tip in ((self.raw, self.choose_raw, RAW), (self.out, self.choose_out, OUT)):
            field.setToolTip(tip)
            button.setToolTip(tip)
        rows = QGridLayout(self)  # a form layout gives lines that wrap the room of others
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setColumnStretch(1, 1)
        for row, (name, field, button) in enumerate(
            (("Raw scans", self.raw, self.choose_raw), ("Cohort", self.out, self.choose_out))
        ):
            rows.addWidget(QLabel(name), 3 * row, 0)
            rows.addWidget(field, 3 * row, 1)
            rows.addWidget(button, 3 * row, 2)
        rows.addWidget(self.found, 1, 0, 1, 3)
        rows.addWidget(self.visits, 2, 0, 1, 3)
        rows.addWidget(self.holds, 4, 0, 1, 3)
        rows.addWidget(self.form, 5, 0, 1, 3)
        label = QLabel("Side by side")
        label.setToolTip(self.jobs.toolTip())
        rows.addWidget(label, 6, 0)
        rows.addWidget(self.jobs, 6, 1, 1, 2)

    def _restore(self) -> None:
        self.raw.setText(str(self.memory.get("raw", "")))
        self.out.setText(str(self.memory.get("out", "")))
        self._suggested = str(self.memory.get("suggested", ""))
        self.form.put_given(self.memory.get("form", {}))
        self.jobs.put(self.memory.get("jobs", 1))

    def _connect(self) -> None:
        self.raw.textChanged.connect(self._raw_edited)
        self.out.textChanged.connect(self._edited)
        self.form.changed.connect(self._edited)
        self.jobs.edited.connect(self._edited)
        self.visits.ticked.connect(self._ticked)
        self.scout.known.connect(self._found)
        self.choose_raw.clicked.connect(lambda: self.raw.choose("Raw BIDS dataset"))
        self.choose_out.clicked.connect(lambda: self.out.choose("Folder for the cohort", self.raw.path))

    # --- what is asked for --------------------------------------------------------------------------

    def wanted(self) -> Wanted:
        """Return what the form asks for.

        Raises
        ------
        UsageError
            If it holds what cannot be.
        """
        if reason := self.objection():
            raise UsageError(reason)
        raw, out = self.raw.path, self.out.path
        assert raw is not None
        assert out is not None
        chosen = self.visits.chosen
        everybody = len(chosen) == len(self.visits.keys)
        return Wanted(raw, out, () if everybody else tuple(chosen), self.form.options(), self.jobs.given())

    def objection(self) -> str:
        """Return why it cannot start so; empty where it can."""
        raw, out = self.raw.path, self.out.path
        if self.lacking:
            return self.lacking
        if raw is None:
            return "choose the folder of the raw scans"
        if not self.scout.visits:
            return self.scout.problem or "its scans are being looked for"
        if not self.visits.chosen:
            return "tick a visit"
        if out is None:
            return "choose a folder for the cohort"
        try:
            self.form.options()
        except UsageError as error:
            return str(error)
        return refusal(raw, out)

    # --- when it changes ----------------------------------------------------------------------------

    def _raw_edited(self) -> None:
        raw = self.raw.path
        self.memory["without"] = []  # who was left out was of another dataset
        if self.out.text() in ("", self._suggested):
            self._suggested = "" if raw is None else in_home(raw.parent / f"{raw.name}-cohort")
            self.out.setText(self._suggested)
        self._edited()

    def _ticked(self) -> None:
        chosen = set(self.visits.chosen)
        self.memory["without"] = [key for key in self.visits.keys if key not in chosen]
        self.changed.emit()

    def _edited(self) -> None:
        self.memory |= {"raw": self.raw.text(), "out": self.out.text(), "suggested": self._suggested}
        self.memory["form"] = self.form.given()
        self.memory["jobs"] = self.jobs.given()
        raw, out = self.raw.path, self.out.path
        self.scout.ask(raw, out)
        against = refusal(raw, out) if raw is not None and out is not None else ""
        again = "The folder holds a prepared cohort: only what changed is made again."
        self.holds.setText(against or (again if out is not None and (out / WORK).is_dir() else ""))
        self.holds.setVisible(bool(self.holds.text()))
        tint(self.holds, "problem" if against else "note")
        self.form.complaint()
        self._found()

    def _found(self) -> None:
        visits = self.scout.visits
        if visits is not self._filled:
            self.visits.fill(visits, self.memory.get("without", ()))
            self._filled = visits
        self.visits.setVisible(bool(visits))
        text = self.scout.problem
        if not text and self.scout.looking and not visits:
            text = "Looking for scans \N{HORIZONTAL ELLIPSIS}"
        self.found.setText(text)
        self.found.setVisible(bool(text))
        tint(self.found, "problem" if self.scout.problem else "note")
        self.changed.emit()
