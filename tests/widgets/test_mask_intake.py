"""Lesion masks that come from elsewhere: a file on this or another grid, a labels layer of napari's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from masking import AFFINE, SHAPE
from mouse import press
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog

from napari_myelin.core.data.volume import Volume, write_volume
from napari_myelin.widgets.lesions.panel import LesionsPanel


def test_a_file_on_another_grid_is_resampled_only_when_agreed_and_the_amounts_are_said(
    qtbot: Any, lesions: LesionsPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # twice as fine in every direction, first voxel's corner at the same place: 8 small voxels make one
    fine = AFFINE @ np.diag([0.5, 0.5, 0.5, 1])
    fine[:3, 3] = (AFFINE @ (-0.25, -0.25, -0.25, 1))[:3]
    mask = np.zeros(tuple(2 * edge for edge in SHAPE), dtype=bool)
    mask[10:14, 20:22, 6:8] = True  # voxels 5:7, 10, 3 of the subject
    other = tmp_path / "other.nii.gz"
    write_volume(other, Volume(mask, fine))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(other), ""))
    press(qtbot, lesions.buttons["import"])
    qtbot.waitUntil(lambda: not lesions.offer.isHidden(), timeout=10_000)
    assert lesions.work.mask is None
    assert lesions.offer.text.text() == (
        "other.nii.gz lies on another grid. On sub-01's, to the nearest voxel, its 16 voxels, 0.009 ml become "
        "2 voxels, 0.009 ml."
    )
    yes, no = lesions.offer.buttons
    assert (yes.text(), no.text()) == ("Resample", "Cancel")
    QTest.mouseClick(yes, Qt.MouseButton.LeftButton)
    assert np.argwhere(lesions.work.mask).tolist() == [[5, 10, 3], [6, 10, 3]]
    assert lesions.offer.isHidden()
    # on the own grid: at once, in place of what was drawn, and undone in one step
    own = np.zeros(SHAPE, dtype=np.uint8)
    own[1, 2, 3], own[4, 5, 6] = 1, 2
    write_volume(other, Volume(own, AFFINE), dtype=np.uint8)
    press(qtbot, lesions.buttons["import"])
    qtbot.waitUntil(lambda: np.argwhere(lesions.work.mask).tolist() == [[1, 2, 3], [4, 5, 6]], timeout=10_000)
    assert lesions.message.text() == (
        "other.nii.gz: 2 voxels, 0.009 ml. Its 2 labels became one mask. It takes the place of what was drawn; "
        "Undo brings that back."
    )
    QTest.mouseClick(lesions.brush.undo, Qt.MouseButton.LeftButton)
    assert np.argwhere(lesions.work.mask).tolist() == [[5, 10, 3], [6, 10, 3]]
    # what is no mask is refused in words, and the mask stays
    write_volume(other, Volume(np.full(SHAPE, 0.25, dtype=np.float32), AFFINE))
    press(qtbot, lesions.buttons["import"])
    qtbot.waitUntil(lambda: "values such as 0.25" in lesions.message.text(), timeout=10_000)
    assert lesions.work.mask.sum() == 2


def test_a_labels_layer_of_naparis_own_is_copied_to_where_it_lies(
    viewer: Any, qtbot: Any, lesions: LesionsPanel
) -> None:
    frame = lesions.session.frame
    labels = np.zeros(frame.shape, dtype=np.int32)
    labels[3, 4, 5] = 7
    layer = viewer.add_labels(labels, name="Labels", **frame.placing)
    assert not lesions.offer.isHidden()
    assert lesions.offer.text.text().startswith('The layer "Labels" is none of sub-01')
    QTest.mouseClick(lesions.offer.buttons[0], Qt.MouseButton.LeftButton)
    expected = frame.volume(labels != 0).array
    assert (lesions.work.mask == expected).all()
    assert not layer.visible
    assert viewer.layers.selection.active.name == "lesion mask"
    # painted in again: offered again; from another place it lands where it lies, and what is outside is told
    layer.translate = np.add(layer.translate, (3.0, 0, 0))  # a slice further up
    layer.paint((3, 10, 5), 1)
    assert not lesions.offer.isHidden()
    QTest.mouseClick(lesions.offer.buttons[0], Qt.MouseButton.LeftButton)
    moved = np.roll(np.asarray(layer.data) != 0, 1, axis=0)
    assert (lesions.work.mask == (expected | frame.volume(moved).array)).all()
    flat = viewer.add_labels(np.zeros((4, 4), dtype=int), name="flat")
    QTest.mouseClick(lesions.offer.buttons[0], Qt.MouseButton.LeftButton)
    assert lesions.message.text() == '"flat" has 2 dimensions: a mask has three'
    viewer.layers.remove(flat)
