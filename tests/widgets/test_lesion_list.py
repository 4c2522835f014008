"""The list of lesions: a row each with its measures, a click goes there, rows are joined and deleted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from masking import AFFINE, SHAPE, VOXEL, filled, put
from mouse import canvas, press
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_myelin.core.data.volume import Volume
from napari_myelin.widgets.lesions.panel import LesionsPanel


def test_a_row_a_lesion_with_volume_mean_and_share_and_a_click_goes_there(
    viewer: Any, qtbot: Any, lesions: LesionsPanel
) -> None:
    session = lesions.session
    put(lesions, np.s_[2:4, 3:6, 2:3], np.s_[10:11, 20:24, 9:10])
    filled(qtbot, lesions, 2)
    assert lesions.head.text() == "Measured DVR, no threshold (a model gives one)."
    cells = [[lesions.lesions.item(row, column).text() for column in range(4)] for row in range(2)]
    assert cells == [["1", "0.027", "1.000", "n/a"], ["2", "0.018", "1.000", "n/a"]]
    # with a prediction: 0.5 in one voxel of four of the second lesion, else 0.9
    predicted = np.full(SHAPE, 0.9, dtype=np.float32)
    predicted[10, 20, 9] = 0.5
    session.prediction = SimpleNamespace(dvr=Volume(predicted, AFFINE), threshold_on_grid=0.8, sd_on_grid=None)
    session.prediction_changed.emit()
    qtbot.waitUntil(lambda: lesions.head.text() == "Predicted DVR, threshold 0.800.")
    cells = [[lesions.lesions.item(row, column).text() for column in range(4)] for row in range(2)]
    assert cells == [["1", "0.027", "0.900", "0%"], ["2", "0.018", "0.800", "25%"]]
    # a click: the view is at the middle voxel of the lesion, in all three directions
    rectangle = lesions.lesions.visualItemRect(lesions.lesions.item(1, 0))
    QTest.mouseClick(lesions.lesions.viewport(), Qt.MouseButton.LeftButton, pos=rectangle.center())
    frame = session.frame
    at = frame.shown(frame.reference.world((10, 21, 9)))
    assert np.abs(np.asarray(viewer.dims.point) - at).max() <= frame.spacing.max() / 2
    assert np.allclose(viewer.scene.camera.center[1:], at[1:])
    chosen = frame.volume(np.asarray(session.layer("chosen-lesion").data) != 0).array
    assert np.argwhere(chosen).tolist() == [[10, j, 9] for j in range(20, 24)]
    assert viewer.layers.selection.active.name == "lesion mask"
    # it stays chosen where a stroke elsewhere makes it the third
    put(lesions, np.s_[2:4, 3:6, 2:3], np.s_[10:11, 20:24, 9:10], np.s_[14:16, 10:14, 5:6])
    filled(qtbot, lesions, 3)
    assert lesions.lesions.numbers == [3]
    # of a large one only the line round it is drawn, slice by slice
    put(lesions, np.s_[4:9, 10:15, 4:6])
    filled(qtbot, lesions, 1)
    lesions.lesions.selectRow(0)
    line = frame.volume(np.asarray(session.layer("chosen-lesion").data) != 0).array
    assert line.sum() == 2 * (25 - 9)
    assert not line[5:8, 11:14].any()
    lesions.lesions.clearSelection()
    assert session.layer("chosen-lesion") is None


def test_chosen_lesions_are_joined_and_deleted_and_undo_takes_both_back(
    viewer: Any, qtbot: Any, lesions: LesionsPanel
) -> None:
    before = put(lesions, np.s_[4:5, 10:14, 5:6], np.s_[8:9, 10:13, 5:6], np.s_[14:15, 2:3, 10:11])
    filled(qtbot, lesions, 3)
    assert "choose two lesions" in lesions.buttons["merge"].toolTip()
    for row in (0, 1):
        where = lesions.lesions.visualItemRect(lesions.lesions.item(row, 0)).center()
        modifier = Qt.KeyboardModifier.ControlModifier if row else Qt.KeyboardModifier.NoModifier
        QTest.mouseClick(lesions.lesions.viewport(), Qt.MouseButton.LeftButton, modifier, where)
    press(qtbot, lesions.buttons["merge"])
    filled(qtbot, lesions, 2)
    joined = lesions.work.mask.copy()
    added = joined & ~before
    # the gap between them, 3 voxels wide where they face each other, and nothing elsewhere
    assert added[5:8, 10:13, 5].all()
    assert added.sum() == added[5:8, 9:15, 5].sum()
    volume = added.sum() * VOXEL / 1000
    assert lesions.message.text().startswith(
        f"Lesions 1 and 2 are one now: {added.sum()} voxels, {volume:.3g} ml between them were filled."
    )
    canvas().setFocus()
    QTest.keyClick(canvas(), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: bool((lesions.work.mask == before).all()))
    filled(qtbot, lesions, 3)
    lesions.lesions.clearSelection()
    lesions.lesions.selectRow(2)
    press(qtbot, lesions.buttons["delete"])
    filled(qtbot, lesions, 2)
    assert not lesions.work.mask[14, 2, 10]
    assert lesions.work.mask.sum() == before.sum() - 1
    assert lesions.message.text() == "Lesion 3 was deleted (0.0045 ml); Undo brings it back."
    QTest.mouseClick(lesions.brush.undo, Qt.MouseButton.LeftButton)
    assert (lesions.work.mask == before).all()
    assert lesions.message.text() == ""  # it is not deleted any more
