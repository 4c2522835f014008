"""The visits of a raw dataset as a table: a tick says who is prepared, cells which scans there are."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_myelin.core.prepare.raw import RawSubject
from napari_myelin.widgets.panel import COLOURS
from napari_myelin.widgets.subject.cohort_table import LOOK, MISSING, PROBLEM, ROW, THERE

# what a column shows -> the scans that it needs, and what is made of them
SCANS = {
    "T1w": (("t1w",), "over which everything is brought together"),
    "MT": (("mt_on", "mt_off"), "for MTR"),
    "DWI": (("dwi",), "for FA, RD, AD and MD"),
    "PET": (("pet",), "for the DVR, and the grid of all"),
    "Lesions": (("lesion",), "a mask, on any scan's grid"),
    "FLAIR": (("flair",), "that lesions are drawn on"),
    "T2w": (("t2w",), "for the ratio"),
}
NAMES = {"mt_on": "image with MT pulse", "mt_off": "image without MT pulse", "lesion": "lesion mask"}
GIVEN = {"brain": "brain mask", "labels": "labels of tissue", "region": "reference region"}
MOST = 8  # rows that are on show without scrolling


class VisitTable(QTableWidget):
    """Rows visits, with a tick each; columns scans.

    Signal: ``ticked``, when a tick was set or taken away.
    """

    ticked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.keys: list[str] = []
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setShowGrid(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW)
        self.horizontalHeader().setMinimumSectionSize(24)
        self.itemChanged.connect(lambda item: self.ticked.emit() if item.column() == 0 else None)

    @property
    def chosen(self) -> list[str]:
        """Keys of the visits with a tick."""
        rows = [self.item(row, 0) for row in range(self.rowCount())]
        return [key for key, item in zip(self.keys, rows, strict=True) if item.checkState() == Qt.CheckState.Checked]

    def fill(self, visits: Sequence[RawSubject], without: Collection[str] = ()) -> None:
        """Show visits, all ticked but those ``without``."""
        self.keys = [visit.key for visit in visits]
        self.blockSignals(True)
        self.clear()
        self.setColumnCount(1 + len(SCANS))
        self.setRowCount(len(visits))
        self.setHorizontalHeaderLabels(["Visit", *SCANS])
        for row, visit in enumerate(visits):
            self.setItem(row, 0, _first(visit, visit.key not in without))
            for column, (name, (roles, use)) in enumerate(SCANS.items(), start=1):
                self.setItem(row, column, _cell(visit, name, roles, use))
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.setFixedHeight(header.sizeHint().height() + ROW * min(max(1, len(visits)), MOST) + 6)
        self.blockSignals(False)


def _first(visit: RawSubject, ticked: bool) -> QTableWidgetItem:
    item = QTableWidgetItem(visit.key + (f"  {LOOK}" if visit.notes else ""))
    item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
    item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
    given = [f"{name}: {visit.files[role].name}" for role, name in GIVEN.items() if role in visit.files]
    item.setToolTip("\n".join(["Prepared where it is ticked.", *given, *visit.notes]))
    return item


def _cell(visit: RawSubject, name: str, roles: Sequence[str], use: str) -> QTableWidgetItem:
    there = [role for role in roles if role in visit.files]
    files = "\n".join(visit.files[role].name for role in there)
    lacking = ", ".join(NAMES.get(role, name) for role in roles if role not in there)
    if len(there) == len(roles):
        text, tooltip = THERE, f"{name}, {use}\n{files}"
    elif there or name == "T1w":  # without a T1w nothing can be made, nor of half a pair
        text, tooltip = PROBLEM, f"no {lacking}, {use}"
    else:
        text, tooltip = MISSING, f"no {lacking}, {use}"
    cell = QTableWidgetItem(text)
    cell.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
    cell.setToolTip(tooltip)
    if text in (THERE, PROBLEM):
        cell.setForeground(QBrush(QColor(COLOURS["good" if text == THERE else "problem"])))
    return cell
