"""The geometry matrix of one subject: how each of its maps lies, and whether its values can be right."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_myelin.core.data.check import MapSummary, SubjectReport
from napari_myelin.core.data.subject import FREE, MASKS
from napari_myelin.widgets.panel import COLOURS
from napari_myelin.widgets.styles import layer_name

COLUMNS = {
    "Map": "",
    "Shape": "voxels along the file's axes",
    "mm": "voxel size along the file's axes",
    "Axes": "where each axis of the file points: Right or Left, Anterior or Posterior, Superior or Inferior",
    "Overlap": "share of the subject's own grid that the map covers",
    "Median": "of the values that are not 0; for a mask, how many voxels it has",
}


class GeometryTable(QTableWidget):
    """Rows maps; columns shape, spacing, axes, overlap, values; what differs from the subject's own grid stands out."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(COLUMNS), parent)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setShowGrid(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(22)
        self.horizontalHeader().setMinimumSectionSize(24)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        for column, (name, tooltip) in enumerate(COLUMNS.items()):
            item = QTableWidgetItem(name)
            item.setToolTip(tooltip)
            self.setHorizontalHeaderItem(column, item)

    def fill(self, report: SubjectReport | None, resample: bool = False) -> None:
        """Show what the engine's check found; nothing without. ``resample``: as for `stands`."""
        maps = report.maps if report is not None else []
        self.setRowCount(len(maps))
        for row, each in enumerate(maps):
            findings = report.findings if report else []
            wrong = [found.text for found in findings if found.role == each.role and stands(found.text, resample)]
            for column, text in enumerate(_texts(each)):
                item = QTableWidgetItem(text)
                span = f"{layer_name(each.role)}: {each.low:.3g} to {each.high:.3g} in {each.voxels} voxels"
                item.setToolTip("\n".join([span, *wrong]))
                if column:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                odd = not (each.on_grid or resample) and 1 <= column <= 4 and each.role not in FREE
                if odd or (wrong and column in (0, 5)):
                    item.setForeground(QBrush(QColor(COLOURS["problem"])))
                self.setItem(row, column, item)
        header = self.horizontalHeader()
        # every row is on show: a table in a scrolling panel does not scroll itself
        self.setFixedHeight(header.sizeHint().height() + 22 * max(1, len(maps)) + 4)


def stands(finding: str, resample: bool) -> bool:
    """Return whether a finding still holds, where maps on another grid are resampled or not."""
    return not (resample and "lies on another grid" in finding)


def _texts(each: MapSummary) -> list[str]:
    sizes = [f"{edge:.3g}" for edge in each.spacing]
    spacing = sizes[0] if len(set(sizes)) == 1 else "\N{MULTIPLICATION SIGN}".join(sizes)
    shape = "\N{MULTIPLICATION SIGN}".join(map(str, each.shape))
    values = f"{each.voxels} vox" if each.role in MASKS else f"{each.median:.3g}"
    return [_name(each.role), shape, spacing, each.orientation, f"{each.overlap:.0%}", values]


def _name(role: str) -> str:
    short = {"dvr": "DVR", "noisefree": "Noise-free", "lesion": "Lesion", "wm": "WM", "brain": "Brain"}
    return short.get(role, layer_name(role).removesuffix(" map"))
