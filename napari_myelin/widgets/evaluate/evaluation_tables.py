"""An evaluation as tables: mean (SD) of each method, and every subject."""

from __future__ import annotations

import math

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_myelin.widgets.evaluate.evaluation_job import Evaluated


class NumberTable(QTableWidget):
    """A table of numbers that cannot be edited, as narrow as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setStyleSheet("font-size: 8pt;")  # four methods fit beside one another
        for header in (self.horizontalHeader(), self.verticalHeader()):
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)


def _cell(text: str) -> QTableWidgetItem:
    item = QTableWidgetItem(text)
    item.setTextAlignment(int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter))
    return item


def fill_summary(table: NumberTable, done: Evaluated) -> None:
    """Put mean (SD) over subjects into a table: a row a measure, a column a method."""
    evaluation = done.evaluation
    measures = [name for name in done.columns if any(evaluation.of(method, name) for method in evaluation.methods)]
    table.clear()
    table.setColumnCount(len(evaluation.methods))
    table.setRowCount(len(measures))
    table.setHorizontalHeaderLabels([done.short(method) for method in evaluation.methods])
    table.setVerticalHeaderLabels([_two_lines(done.columns[name]) for name in measures])
    for row, name in enumerate(measures):
        for column, method in enumerate(evaluation.methods):
            found = evaluation.of(method, name)
            if found is None:
                continue
            digits = done.digits.get(name, 3)
            sd = f"\n({found.sd:.{digits}f})" if math.isfinite(found.sd) else ""
            item = _cell(f"{found.mean:.{digits}f}{sd}")
            of = "lesions" if name == "correlation_lesions" else "patients" if "patients" in name else "subjects"
            item.setToolTip(f"{'r' if name.startswith('corr') else 'mean (SD)'} over {found.count} {of}")
            table.setItem(row, column, item)


def _two_lines(words: str) -> str:
    """Break a title near its middle, so that a column is no wider than its numbers."""
    if len(words) < 14 or " " not in words:
        return words
    spaces = [place for place, letter in enumerate(words) if letter == " "]
    middle = min(spaces, key=lambda place: abs(place - len(words) / 2))
    return f"{words[:middle]}\n{words[middle + 1 :]}"


class SubjectTable(NumberTable):
    """Every subject's numbers for one method; a click on a row picks the subject.

    Signals: ``picked`` with the subject's key.
    """

    picked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip("Click a row to open its subject.")
        self.cellClicked.connect(self._clicked)

    def fill(self, done: Evaluated, method: str) -> None:
        """Show the rows of a method."""
        scores = [score for score in done.evaluation.scores if score.method == method]
        measures = [name for name in done.columns if any(name in score.values for score in scores)]
        measures = [name for name in measures if any(math.isfinite(score.values[name]) for score in scores)]
        self.clear()
        self.setColumnCount(len(measures))
        self.setRowCount(len(scores))
        self.setHorizontalHeaderLabels([_two_lines(done.columns[name]) for name in measures])
        self.setVerticalHeaderLabels([score.subject for score in scores])
        for row, score in enumerate(scores):
            for column, name in enumerate(measures):
                value = score.values[name]
                self.setItem(
                    row, column, _cell(f"{value:.{done.digits.get(name, 3)}f}" if math.isfinite(value) else "")
                )

    def _clicked(self, row: int, column: int) -> None:
        self.picked.emit(self.verticalHeaderItem(row).text())
