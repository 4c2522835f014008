"""Drawing lesions with the mouse: strokes are where they were drawn, are undone, and do not hold the window."""

from __future__ import annotations

import sys
import time
from typing import Any

import nibabel as nib
import numpy as np
from masking import AFFINE, LESION_PATH, VOXEL, filled
from mouse import canvas, look_at, press, stroke
from qtpy.QtCore import QEvent, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.widgets.lesions.panel import LesionsPanel
from napari_myelin.widgets.session import session_of
from napari_myelin.widgets.settings import autosave_folder


def test_a_voxel_drawn_with_the_mouse_is_at_the_same_place_in_the_world_in_the_saved_file(
    viewer: Any, qtbot: Any, lesions: LesionsPanel, unmasked_cohort: Cohort
) -> None:
    work, session = lesions.work, lesions.session
    assert not lesions.buttons["save"].isEnabled()
    assert "there is no lesion mask" in lesions.buttons["save"].toolTip()
    press(qtbot, lesions.buttons["new"])
    assert not lesions.buttons["new"].isEnabled()
    assert session.layer("lesion").mode == "paint"
    QTest.mouseClick(lesions.brush.sizes.buttons()[0], Qt.MouseButton.LeftButton)
    assert lesions.brush.sizes.buttons()[0].text() == "1"  # mm, of the shortest edge
    changes: list[int] = []
    session.lesion_changed.connect(lambda: changes.append(1))
    voxel = (5, 17, 3)
    look_at(viewer, lesions.session.frame, voxel)
    stroke()
    qtbot.waitUntil(lambda: work.unsaved)
    assert np.argwhere(work.mask).tolist() == [list(voxel)]
    assert (session.lesion.array == work.mask).all()
    assert len(changes) == 1
    assert work.wait()
    (journal,) = autosave_folder().iterdir()
    with qtbot.waitSignal(work.saved, timeout=10_000) as saved:
        press(qtbot, lesions.buttons["save"])
    path = unmasked_cohort.root / LESION_PATH
    assert saved.args == [path]
    image = nib.load(path)
    assert np.argwhere(np.asarray(image.dataobj)).tolist() == [list(voxel)]
    assert image.get_data_dtype() == np.uint8
    expected = AFFINE @ (*voxel, 1)
    assert np.abs(image.affine @ (*voxel, 1) - expected).max() < 1e-4
    # and there it is in the viewer
    layer = session.layer("lesion")
    point = layer.data_to_world(np.argwhere(layer.data)[0])
    assert np.abs(session.frame.world(point) - expected[:3]).max() < 1e-4
    assert layer.units == session.layer("dvr").units
    assert (layer.scale == session.layer("dvr").scale).all()
    # the session knows the file, the journal is done with
    assert session.subject.files["lesion"] == path
    assert session.cohort.subjects[0].files["lesion"] == path
    assert not work.unsaved
    qtbot.waitUntil(lambda: not journal.exists())
    assert open_cohort(unmasked_cohort.root).subjects[0].raw("lesion").array[voxel]
    assert "read back" in lesions.message.text()


def test_brush_eraser_undo_and_the_keys_of_napari_reach_table_and_journal(
    viewer: Any, qtbot: Any, lesions: LesionsPanel
) -> None:
    press(qtbot, lesions.buttons["new"])
    brush, layer = lesions.brush, lesions.session.layer("lesion")
    QTest.mouseClick(brush.sizes.buttons()[2], Qt.MouseButton.LeftButton)
    assert brush.sizes.buttons()[2].text() == "5"
    assert "5 voxels across" in brush.sizes.buttons()[2].toolTip()
    look_at(viewer, lesions.session.frame, (9, 12, 7))
    stroke(by=60)
    filled(qtbot, lesions, 1)
    drawn = lesions.work.mask.copy()
    assert lesions.lesions.rows[0].voxels == drawn.sum()
    assert len(np.unique(np.argwhere(drawn)[:, 2])) == 1  # 2D: one slice
    assert lesions.lesions.item(0, 1).text() == f"{drawn.sum() * VOXEL / 1000:.3f}"
    # the eraser takes some of it away, undo brings it back, redo takes it away again
    QTest.mouseClick(brush.tools.buttons()[2], Qt.MouseButton.LeftButton)
    assert layer.mode == "erase"
    look_at(viewer, lesions.session.frame, (9, 12, 7))
    stroke()
    qtbot.waitUntil(lambda: lesions.work.mask.sum() < drawn.sum())
    erased = lesions.work.mask.copy()
    QTest.mouseClick(brush.undo, Qt.MouseButton.LeftButton)
    assert (lesions.work.mask == drawn).all()
    QTest.mouseClick(brush.redo, Qt.MouseButton.LeftButton)
    assert (lesions.work.mask == erased).all()
    # napari's own key in the canvas does the same
    canvas().setFocus()
    QTest.keyClick(canvas(), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: bool((lesions.work.mask == drawn).all()))
    # 3D: neighbouring slices too; napari's own control is shown by the buttons
    layer.n_edit_dimensions = 3
    assert brush.depths.buttons()[1].isChecked()
    layer.mode = "paint"
    assert brush.tools.buttons()[1].isChecked()
    layer.brush_size = 9
    assert brush.sizes.buttons()[3].isChecked()
    look_at(viewer, lesions.session.frame, (9, 12, 7))
    stroke()
    qtbot.waitUntil(lambda: len(np.unique(np.argwhere(lesions.work.mask)[:, 2])) == 3)  # 9 mm through slices of 3 mm
    assert lesions.work.wait()
    # the panel is closed: strokes are kept all the same, and it opens as it was
    viewer.window.remove_dock_widget(lesions)
    lesions.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    layer.paint((1, 2, 3), 1)
    work = session_of(viewer).mask_work
    assert work.wait()
    again = LesionsPanel(viewer)
    viewer.window.add_dock_widget(again)
    qtbot.waitUntil(lambda: sum(row.voxels for row in again.lesions.rows) == work.mask.sum(), timeout=10_000)
    assert again.brush.sizes.buttons()[3].isChecked()


def test_on_a_full_size_grid_a_stroke_holds_the_window_for_a_moment_only(viewer: Any, qtbot: Any) -> None:
    shape, affine = (128, 160, 128), np.diag([-1.22, 1.22, 1.22, 1.0])
    dvr = Volume(np.random.default_rng(0).uniform(0.6, 1.3, shape).astype(np.float32), affine)
    panel = LesionsPanel(viewer)
    viewer.window.add_dock_widget(panel)
    with qtbot.waitSignal(panel.session.subject_shown, timeout=20_000):
        panel.session.show(Subject("big", files={"dvr": dvr}))
    random = np.random.default_rng(1)
    mask = np.zeros(shape, dtype=bool)
    for middle in random.integers(8, 118, (40, 3)):
        box = tuple(slice(at - half, at + half) for at, half in zip(middle, random.integers(2, 6, 3), strict=True))
        mask[box] = True
    panel.put(Volume(mask, affine))
    qtbot.waitUntil(lambda: sum(row.voxels for row in panel.lesions.rows) == mask.sum(), timeout=10_000)
    layer = panel.session.layer("lesion")
    layer.brush_size, layer.n_edit_dimensions = 9, 3
    held, until_shown = [], []
    for place in random.integers(20, 100, (8, 3)):
        before = panel.work.mask.sum()
        start = time.perf_counter()
        layer.paint(tuple(place), 1)
        painted = time.thread_time()  # of this thread alone, whatever else the computer does
        panel.work.look()
        held.append(time.thread_time() - painted)
        assert panel.work.mask.sum() > before
        qtbot.waitUntil(lambda: sum(row.voxels for row in panel.lesions.rows) == panel.work.mask.sum(), timeout=10_000)
        until_shown.append(time.perf_counter() - start)
    sys.stdout.write(
        f"a stroke: {1000 * max(held):.0f} ms of the main thread, table after {1000 * np.median(until_shown):.0f} ms\n"
    )
    assert max(held) < 0.1
