"""The cohort as a table: rows subjects, columns what each should have, cells whether it is there and right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.subject import Subject, in_words
from napari_myelin.widgets.panel import COLOURS

MASKS = {"dvr": "DVR", "lesion": "Lesion", "wm": "WM"}
ROW, MOST = 24, 10  # px of a row; rows that are on show without scrolling
THERE, MISSING, PROBLEM, LOOK = "\N{CHECK MARK}", "\N{EN DASH}", "!", "?"
LEGEND = f"{THERE} there   {MISSING} missing   {LOOK} to look at   {PROBLEM} problem (point at it)"


class CohortTable(QTableWidget):
    """Rows subjects; columns group, modalities, DVR, lesion, WM.

    Signals: ``chosen`` with a subject's key when another row is selected, ``wanted`` when one is double-clicked.
    """

    chosen = Signal(str)
    wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._roles: list[str] = []
        self._keys: list[str] = []
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setShowGrid(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW)
        self.horizontalHeader().setMinimumSectionSize(24)
        self.itemSelectionChanged.connect(lambda: self.chosen.emit(self.key))
        self.cellDoubleClicked.connect(lambda row, _: self.wanted.emit(self._keys[row]))

    @property
    def key(self) -> str:
        """Key of the selected subject; empty without one."""
        rows = self.selectionModel().selectedRows()
        return self._keys[rows[0].row()] if rows else ""

    def choose(self, key: str) -> None:
        """Select a subject's row."""
        if key in self._keys:
            self.selectRow(self._keys.index(key))

    def fill(self, cohort: Cohort | None, shown: str) -> None:
        """Show a cohort, the subject on show in bold."""
        before = self.key
        subjects = cohort.subjects if cohort is not None else ()
        self._keys = [subject.key for subject in subjects]
        self._roles = [*(cohort.modalities if cohort is not None else ()), *MASKS]
        self.blockSignals(True)
        self.clear()
        self.setColumnCount(2 + len(self._roles))
        self.setRowCount(len(subjects))
        self.setHorizontalHeaderLabels(["Subject", "Group", *(MASKS.get(role, role) for role in self._roles)])
        for row, subject in enumerate(subjects):
            self._fill_row(row, subject, subject.key == shown)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.setFixedHeight(header.sizeHint().height() + ROW * min(max(1, len(subjects)), MOST) + 6)
        self.blockSignals(False)
        self.choose(before if before in self._keys else shown)

    def _fill_row(self, row: int, subject: Subject, shown: bool) -> None:
        first = QTableWidgetItem(subject.key)
        if shown:
            font = first.font()
            font.setBold(True)
            first.setFont(font)
        first.setToolTip(_person(subject) + ("\nOn show." if shown else "\nDouble-click to show it."))
        self.setItem(row, 0, first)
        self.setItem(row, 1, _cell(subject.group or "", "patient (MS) or control (HC)"))
        for column, role in enumerate(self._roles, start=2):
            if subject.has(role):
                self.setItem(row, column, _cell(THERE, _where(subject, role)))
            elif role == "lesion" and subject.group == "HC":
                self.setItem(row, column, _cell("", "a control has no lesions"))
            else:
                self.setItem(row, column, _cell(MISSING, f"no {in_words(role)}"))

    def mark(self, key: str, problems: Mapping[str, str], warnings: Mapping[str, str]) -> None:
        """Mark the cells of a subject that something is wrong with.

        Parameters
        ----------
        key
            The subject's.
        problems, warnings
            Role -> a sentence.
        """
        if key not in self._keys:
            return
        row = self._keys.index(key)
        hidden = {role: text for role, text in problems.items() if role not in self._roles}
        if hidden:  # a map without a column
            first = self.item(row, 0)
            first.setText(f"{key}  {PROBLEM}")
            first.setToolTip("\n".join(hidden.values()))
            first.setForeground(QBrush(QColor(COLOURS["problem"])))
        for found, symbol, kind in ((warnings, LOOK, "note"), (problems, PROBLEM, "problem")):
            for role, sentence in found.items():
                if role in self._roles:
                    cell = _cell(symbol, sentence)
                    if kind == "problem":
                        cell.setForeground(QBrush(QColor(COLOURS["problem"])))
                        font = cell.font()
                        font.setBold(True)
                        cell.setFont(font)
                    self.setItem(row, self._roles.index(role) + 2, cell)


def summary(cohort: Cohort) -> str:
    """Return a cohort in one line: its name, how many patients and controls, whether they are simulated."""
    patients, controls = (sum(subject.group == group for subject in cohort.subjects) for group in ("MS", "HC"))
    rest = len(cohort.subjects) - patients - controls
    people = [(patients, "patient"), (controls, "control"), (rest, "without a group")]
    said = [f"{count} {what}{'s' * (count > 1 and what[-1] in 'tl')}" for count, what in people if count]
    if len(cohort.subjects) == rest:
        said = [f"{rest} subject{'s' * (rest > 1)}, group unknown"]
    name = cohort.name or cohort.root.name
    return f"{name}: {', '.join(said)}." + (" Phantom: simulated, no person was scanned." if cohort.phantom else "")


def _cell(text: str, tooltip: str) -> QTableWidgetItem:
    cell = QTableWidgetItem(text)
    cell.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
    cell.setToolTip(tooltip)
    if text == THERE:
        cell.setForeground(QBrush(QColor(COLOURS["good"])))
    return cell


def _where(subject: Subject, role: str) -> str:
    source: Any = subject.files[role]
    return f"{in_words(role)}\n{getattr(source, 'name', 'in memory')}"


def _person(subject: Subject) -> str:
    said = [subject.group or "group unknown"]
    if subject.age is not None:
        said.append(f"{subject.age:.0f} years")
    return ", ".join([*said, *([subject.sex] if subject.sex else [])])
