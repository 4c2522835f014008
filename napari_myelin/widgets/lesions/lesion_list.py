"""A row for each lesion: volume, mean DVR, demyelinated share; follows the brush."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from qtpy.QtCore import QItemSelectionModel, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.evaluation.components import Components, components
from napari_myelin.core.evaluation.demyelination import Lesion, component_table
from napari_myelin.core.events import StopRequest
from napari_myelin.widgets.jobs import Job
from napari_myelin.widgets.layers import Frame
from napari_myelin.widgets.lesions.lesion_layer import go_to, middle, outline
from napari_myelin.widgets.lesions.mask_work import MaskWork

Threshold = float | np.ndarray | None
SHARE = (
    "Share of the lesion's voxels below the threshold. Of a model that says its uncertainty it is what a measurement "
    "is expected to give: the mean probability of being below."
)


@dataclass(frozen=True, eq=False)
class Source:
    """What the rows are worked out from: ``dvr`` (a volume, or an array as its layer has it), ``name`` and threshold.

    ``name`` is ``predicted DVR``, ``measured DVR``, or empty where there is neither; ``sd`` as for `lesion_table`.
    """

    dvr: Volume | np.ndarray | None
    name: str
    threshold: Threshold
    sd: np.ndarray | None = None

    def volume(self, frame: Frame) -> Volume:
        """Return the DVR on the subject's own grid; NaN where there is none."""
        if isinstance(self.dvr, Volume):
            return self.dvr
        if self.dvr is None:
            return Volume(np.broadcast_to(np.float32(np.nan), frame.reference.shape), frame.reference.affine)
        return frame.volume(self.dvr)

    @property
    def threshold_in_words(self) -> str:
        """``threshold 0.912``, ``voxelwise threshold``, or that there is none; with ``sd`` that shares are expected."""
        if self.threshold is None:
            return "no threshold (a model gives one)"
        words = "voxelwise threshold" if isinstance(self.threshold, np.ndarray) else f"threshold {self.threshold:.3f}"
        return words if self.sd is None else f"{words}, expected shares"


Filling = tuple[Components, list[Lesion], Source]


def source_of(session: Any) -> Source:
    """Return the predicted DVR and its model's threshold where there is a prediction, else the measured DVR."""
    prediction = session.prediction
    if prediction is not None and getattr(prediction, "dvr", None) is not None:
        return Source(prediction.dvr, "predicted DVR", prediction.threshold_on_grid, prediction.sd_on_grid)
    layer = session.layer("dvr")
    return Source(None, "", None) if layer is None else Source(np.asarray(layer.data), "measured DVR", None)


class LesionList(QTableWidget):
    """The table; ``filled`` says that it shows the mask as it is now, ``chosen`` that other rows are selected.

    Attributes
    ----------
    rows
        What it shows.
    parts
        The lesions of the mask that it shows; None before the first.
    source
        What the rows were worked out from.
    """

    filled = Signal()
    chosen = Signal()

    def __init__(self, work: MaskWork) -> None:
        super().__init__(0, 4)
        self.work, self.session = work, work.session
        self.rows: list[Lesion] = []
        self.parts: Components | None = None
        self.source = Source(None, "", None)
        self._job: Job | None = None
        self._again = False
        self._at: list[np.ndarray] = []  # a voxel of each chosen lesion, by which it is known again
        self._measured: tuple[Any, Volume] | None = None
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.verticalHeader().hide()
        self.setHorizontalHeaderLabels(["Lesion", "ml", "mean DVR", "demyelinated"])
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        for column in (2, 3):
            self.horizontalHeader().setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.horizontalHeaderItem(3).setToolTip(SHARE)
        self.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.horizontalHeader().setStyleSheet("QHeaderView::section { padding: 2px 6px; }")  # as the cells have
        self.setMinimumHeight(170)
        self.itemSelectionChanged.connect(self._select)
        work.changed.connect(self.refresh)
        self.session.prediction_changed.connect(self.refresh)
        self.session.subject_shown.connect(self.refresh)
        self.refresh()

    @property
    def numbers(self) -> list[int]:
        """Labels of the chosen lesions, in the order of the rows."""
        return sorted({index.row() + 1 for index in self.selectionModel().selectedRows()})

    def refresh(self) -> None:
        """Work the rows out anew, in a thread; asked for while one is at it, once more after it."""
        if self._job is not None:
            self._again = True
            return
        mask, frame, source = self.work.volume, self.session.frame, source_of(self.session)
        if mask is None or frame is None:
            self._fill(None, [], source)
            return

        def work(stop: StopRequest) -> Iterator[Filling]:
            parts = components(mask.array)
            yield parts, component_table(self._dvr(source, frame), parts, source.threshold, source.sd), source

        self._job = Job("lesion table", work, self.session).start(self._take, self.work.failed, self._done)

    def _take(self, filling: Filling) -> None:
        self._fill(*filling)

    def _dvr(self, source: Source, frame: Frame) -> Volume:
        # turned once, not at every stroke
        if self._measured is None or self._measured[0] is not source.dvr:
            self._measured = (source.dvr, source.volume(frame))
        return self._measured[1]

    def _done(self) -> None:
        self._job = None
        if self._again:
            self._again = False
            self.refresh()

    def _fill(self, parts: Components | None, rows: list[Lesion], source: Source) -> None:
        self.parts, self.rows, self.source = parts, rows, source
        again = [number for number in map(self._number_at, self._at) if number]
        self.blockSignals(True)
        self.setRowCount(len(rows))
        self.horizontalHeaderItem(2).setToolTip(f"Mean {source.name}" if source.name else "There is no DVR yet")
        for index, row in enumerate(rows):
            cells = (
                f"{row.label}",
                f"{row.volume / 1000:.3f}",
                "n/a" if np.isnan(row.mean_dvr) else f"{row.mean_dvr:.3f}",
                "n/a" if row.demyelinated is None else f"{row.demyelinated:.0%}",
            )
            for column, text in enumerate(cells):
                item = QTableWidgetItem(text)
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(index, column, item)
        self.clearSelection()
        both = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
        for number in again:
            self.selectionModel().select(self.model().index(number - 1, 0), both)
        self.blockSignals(False)
        self._at = [] if parts is None else [middle(parts, number) for number in self.numbers]
        self._outline()
        self.filled.emit()

    def _number_at(self, voxel: np.ndarray) -> int:
        """Return the label of the lesion at a voxel of the subject's own grid, 0 for none."""
        if self.parts is None or not self.parts.sizes:
            return 0
        there = voxel - [part.start for part in self.parts.box]
        inside = (there >= 0).all() and (there < self.parts.labels.shape).all()
        return int(self.parts.labels[tuple(there)]) if inside else 0

    def _select(self) -> None:
        parts, frame = self.parts, self.session.frame
        if parts is None or frame is None:
            return
        numbers = self.numbers
        self._at = [middle(parts, number) for number in numbers]
        if numbers:
            current = self.currentRow() + 1
            go_to(self.session.viewer, frame, middle(parts, current if current in numbers else numbers[-1]))
        self._outline()
        self.chosen.emit()

    def _outline(self) -> None:
        frame, numbers = self.session.frame, self.numbers
        if frame is None:
            return
        mask = None
        if self.parts is not None and numbers:
            mask = Volume(self.parts.mask(numbers, frame.reference.shape), frame.reference.affine)
        outline(self.session, mask)
