"""Brush, eraser and undo of the lesion layer, with sizes in mm; napari's own keys do the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QButtonGroup, QGridLayout, QHBoxLayout, QLabel, QPushButton, QWidget

from napari_myelin.widgets.lesions.lesion_layer import BRUSHES, brush_sizes, can_undo
from napari_myelin.widgets.lesions.mask_work import MaskWork

TOOLS = {"pan_zoom": "Move", "paint": "Brush", "erase": "Eraser"}
TOOL_TIPS = {
    "pan_zoom": "Move and zoom the view; the mask stays as it is.",
    "paint": "Draw lesion with the left button.",
    "erase": "Take lesion away with the left button.",
}
DEPTHS = {2: "2D", 3: "3D"}
DEPTH_TIPS = {2: "The brush is a disc in this slice.", 3: "The brush is a ball: neighbouring slices are drawn as well."}


class BrushBox(QWidget):
    """Buttons that show how the layer's brush is, whoever changed it, and change it.

    Parameters
    ----------
    work
        The mask under work.
    """

    def __init__(self, work: MaskWork) -> None:
        super().__init__()
        self.work = work
        self.tools = self._group(TOOLS, TOOL_TIPS, self._use_tool)
        self.sizes = self._group({voxels: str(voxels) for voxels in BRUSHES}, {}, self._use_size)
        self.unit = QLabel("voxels")
        self.depths = self._group(DEPTHS, DEPTH_TIPS, self._use_depth)
        self.undo, self.redo = QPushButton(), QPushButton()
        for button, label, act in ((self.undo, "Undo", self._undo), (self.redo, "Redo", self._redo)):
            button.setText(label)
            button.clicked.connect(act)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addLayout(_row(*self.tools.buttons(), None, self.undo, self.redo), 0, 0)
        grid.addLayout(_row(*self.sizes.buttons(), self.unit, None, *self.depths.buttons()), 1, 0)
        work.tool.connect(self.refresh)
        work.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show how the brush is now."""
        layer, frame = self.work.layer, self.work.session.frame
        there = layer is not None and frame is not None
        self.setEnabled(there)
        self.setToolTip("" if there else "Not now: there is no lesion mask; make or import one.")
        if not there:
            return
        for group, value in (
            (self.tools, list(TOOLS).index(str(layer.mode)) if str(layer.mode) in TOOLS else None),
            (self.sizes, _nearest_brush(layer.brush_size)),
            (self.depths, layer.n_edit_dimensions - 2),
        ):
            group.setExclusive(False)
            for index, button in enumerate(group.buttons()):
                button.setChecked(index == value)
            group.setExclusive(True)
        self.unit.setText("mm")
        for button, voxels, size in zip(self.sizes.buttons(), BRUSHES, brush_sizes(frame), strict=True):
            button.setText(f"{size:.2g}")
            button.setToolTip(
                f"{voxels} voxel{'s' if voxels > 1 else ''} across along the shortest edge: {size:.3g} mm"
            )
        back, forth = can_undo(layer)
        self.undo.setEnabled(back)
        self.undo.setToolTip("Take the last stroke back (Ctrl-Z in the canvas)" if back else "Nothing to undo")
        self.redo.setEnabled(forth)
        self.redo.setToolTip("Draw the stroke again (Ctrl-Shift-Z in the canvas)" if forth else "Nothing to redo")

    def _group(self, labels: dict[Any, str], tips: dict[Any, str], act: Callable[[Any], None]) -> QButtonGroup:
        group = QButtonGroup(self)
        for value, label in labels.items():
            button = QPushButton(self)  # the group does not keep it
            button.setText(label)
            button.setToolTip(tips.get(value, ""))
            button.setCheckable(True)
            button.clicked.connect(lambda checked=False, value=value: act(value))
            group.addButton(button)
        return group

    def _use_tool(self, mode: str) -> None:
        layer = self.work.layer
        self.work.session.viewer.layers.selection.active = layer
        layer.visible = True
        layer.selected_label = 1
        layer.mode = mode

    def _use_size(self, voxels: int) -> None:
        self.work.layer.brush_size = voxels

    def _use_depth(self, dimensions: int) -> None:
        self.work.layer.n_edit_dimensions = dimensions

    def _undo(self) -> None:
        self.work.layer.undo()
        self.work.look()
        self.refresh()

    def _redo(self) -> None:
        self.work.layer.redo()
        self.work.look()
        self.refresh()


def _nearest_brush(size: float) -> int | None:
    """Return which of `BRUSHES` a layer's size amounts to, None for none of them."""
    across = 2 * int(size // 2) + 1
    return BRUSHES.index(across) if across in BRUSHES else None


def _row(*parts: QWidget | None) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(3)
    for part in parts:
        if part is None:
            row.addStretch(1)
        else:
            row.addWidget(part)
    return row
