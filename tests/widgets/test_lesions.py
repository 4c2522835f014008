from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QCheckBox, QFileDialog, QMessageBox, QWidget

from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.data.export import write_folder
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume, write_volume
from napari_myelin.widgets.lesions.panel import LesionsPanel
from napari_myelin.widgets.session import session_of
from napari_myelin.widgets.settings import autosave_folder

SHAPE = (18, 26, 14)
# flipped (the first axis runs to the left), anisotropic (1 x 1.5 x 3 mm), oblique by 12 and 7 degrees
TURN = [[np.cos(0.21), -np.sin(0.21), 0], [np.sin(0.21), np.cos(0.21), 0], [0, 0, 1]] @ np.array(
    [[1, 0, 0], [0, np.cos(0.12), -np.sin(0.12)], [0, np.sin(0.12), np.cos(0.12)]]
)
AFFINE = np.eye(4)
AFFINE[:3, :3] = TURN @ np.diag([-1.0, 1.5, 3.0])
AFFINE[:3, 3] = (12.0, -31.0, 8.0)
VOXEL = 4.5  # mm3
LESION_PATH = "sub-01/anat/sub-01_space-pet_label-L_mask.nii.gz"


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    """Two subjects on disk on an oblique, flipped, anisotropic grid: DVR is 1 everywhere; no lesion mask."""
    maps = {"dvr": Volume(np.ones(SHAPE, dtype=np.float32), AFFINE)}
    folder = tmp_path / "cohort"
    subjects = (Subject("01", None, "MS", 30.0, "F", maps), Subject("02", None, "MS", 30.0, "F", maps))
    write_folder(Cohort(tmp_path, subjects), folder)
    return open_cohort(folder)


@pytest.fixture
def panel(viewer: Any, show: Callable[..., Any], cohort: Cohort) -> LesionsPanel:
    """The panel, docked, with sub-01 on show."""
    panel = LesionsPanel(viewer)
    viewer.window.add_dock_widget(panel)
    viewer.window.show()  # a canvas that was never shown does not know its size, nor where the mouse is
    show("sub-01", cohort)
    return panel


def canvas() -> QWidget:
    (found,) = [each for each in QApplication.allWidgets() if type(each).__name__ == "CanvasBackendDesktop"]
    return found


def press(panel: LesionsPanel, name: str) -> None:
    QTest.mouseClick(panel.buttons[name], Qt.MouseButton.LeftButton)


def look_at(viewer: Any, panel: LesionsPanel, voxel: tuple[int, int, int]) -> None:
    """Move the view by hand: the slice, and the voxel to the middle of the canvas."""
    frame = panel.session.frame
    point = tuple(frame.shown(frame.reference.world(voxel)))
    viewer.dims.set_point(range(3), point)
    viewer.scene.camera.center = point
    viewer.scene.camera.zoom = 12
    QApplication.processEvents()


def stroke(by: int = 0) -> None:
    """Draw with the left button from the middle of the canvas, `by` pixels to the right."""
    middle = canvas().rect().center()
    QTest.mouseMove(canvas(), middle)
    QTest.mousePress(canvas(), Qt.MouseButton.LeftButton, pos=middle)
    for step in range(0, by, 4):
        QTest.mouseMove(canvas(), middle + QPoint(step, 0))
    QTest.mouseRelease(canvas(), Qt.MouseButton.LeftButton, pos=middle + QPoint(by, 0))
    QApplication.processEvents()


def filled(qtbot: Any, panel: LesionsPanel, count: int) -> None:
    qtbot.waitUntil(lambda: len(panel.lesions.rows) == count, timeout=10_000)


def put(panel: LesionsPanel, *boxes: tuple[slice, slice, slice]) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    for box in boxes:
        mask[box] = True
    panel.put(Volume(mask, AFFINE))
    return mask


def answer(label: str, seen: list[str], *, keep: bool = True) -> None:
    """Press a button of the next dialog, as soon as it is there."""

    def look() -> None:
        box = QApplication.activeModalWidget()
        if not isinstance(box, QMessageBox):
            QTimer.singleShot(20, look)
            return
        seen.append(box.text())
        for check in box.findChildren(QCheckBox):
            check.setChecked(keep)
        (button,) = [each for each in box.buttons() if each.text().replace("&", "") == label]
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    QTimer.singleShot(20, look)


def test_a_voxel_drawn_with_the_mouse_is_at_the_same_place_in_the_world_in_the_saved_file(
    viewer: Any, qtbot: Any, panel: LesionsPanel, cohort: Cohort
) -> None:
    work, session = panel.work, panel.session
    assert not panel.buttons["save"].isEnabled()
    assert "there is no lesion mask" in panel.buttons["save"].toolTip()
    press(panel, "new")
    assert not panel.buttons["new"].isEnabled()
    assert session.layer("lesion").mode == "paint"
    QTest.mouseClick(panel.brush.sizes.buttons()[0], Qt.MouseButton.LeftButton)
    assert panel.brush.sizes.buttons()[0].text() == "1"  # mm, of the shortest edge
    changes: list[int] = []
    session.lesion_changed.connect(lambda: changes.append(1))
    voxel = (5, 17, 3)
    look_at(viewer, panel, voxel)
    stroke()
    qtbot.waitUntil(lambda: work.unsaved)
    assert np.argwhere(work.mask).tolist() == [list(voxel)]
    assert (session.lesion.array == work.mask).all()
    assert len(changes) == 1
    assert work.wait()
    (journal,) = autosave_folder().iterdir()
    with qtbot.waitSignal(work.saved, timeout=10_000) as saved:
        press(panel, "save")
    path = cohort.root / LESION_PATH
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
    assert open_cohort(cohort.root).subjects[0].raw("lesion").array[voxel]
    assert "read back" in panel.message.text()


def test_brush_eraser_undo_and_the_keys_of_napari_reach_table_and_journal(
    viewer: Any, qtbot: Any, panel: LesionsPanel
) -> None:
    press(panel, "new")
    brush, layer = panel.brush, panel.session.layer("lesion")
    QTest.mouseClick(brush.sizes.buttons()[2], Qt.MouseButton.LeftButton)
    assert brush.sizes.buttons()[2].text() == "5"
    assert "5 voxels across" in brush.sizes.buttons()[2].toolTip()
    look_at(viewer, panel, (9, 12, 7))
    stroke(by=60)
    filled(qtbot, panel, 1)
    drawn = panel.work.mask.copy()
    assert panel.lesions.rows[0].voxels == drawn.sum()
    assert len(np.unique(np.argwhere(drawn)[:, 2])) == 1  # 2D: one slice
    assert panel.lesions.item(0, 1).text() == f"{drawn.sum() * VOXEL / 1000:.3f}"
    # the eraser takes some of it away, undo brings it back, redo takes it away again
    QTest.mouseClick(brush.tools.buttons()[2], Qt.MouseButton.LeftButton)
    assert layer.mode == "erase"
    look_at(viewer, panel, (9, 12, 7))
    stroke()
    qtbot.waitUntil(lambda: panel.work.mask.sum() < drawn.sum())
    erased = panel.work.mask.copy()
    QTest.mouseClick(brush.undo, Qt.MouseButton.LeftButton)
    assert (panel.work.mask == drawn).all()
    QTest.mouseClick(brush.redo, Qt.MouseButton.LeftButton)
    assert (panel.work.mask == erased).all()
    # napari's own key in the canvas does the same
    canvas().setFocus()
    QTest.keyClick(canvas(), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: bool((panel.work.mask == drawn).all()))
    # 3D: neighbouring slices too; napari's own control is shown by the buttons
    layer.n_edit_dimensions = 3
    assert brush.depths.buttons()[1].isChecked()
    layer.mode = "paint"
    assert brush.tools.buttons()[1].isChecked()
    layer.brush_size = 9
    assert brush.sizes.buttons()[3].isChecked()
    look_at(viewer, panel, (9, 12, 7))
    stroke()
    qtbot.waitUntil(lambda: len(np.unique(np.argwhere(panel.work.mask)[:, 2])) == 3)  # 9 mm through slices of 3 mm
    assert panel.work.wait()
    # the panel is closed: strokes are kept all the same, and it opens as it was
    viewer.window.remove_dock_widget(panel)
    panel.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    layer.paint((1, 2, 3), 1)
    work = session_of(viewer).mask_work
    assert work.wait()
    again = LesionsPanel(viewer)
    viewer.window.add_dock_widget(again)
    qtbot.waitUntil(lambda: sum(row.voxels for row in again.lesions.rows) == work.mask.sum(), timeout=10_000)
    assert again.brush.sizes.buttons()[3].isChecked()


def test_a_row_a_lesion_with_volume_mean_and_share_and_a_click_goes_there(
    viewer: Any, qtbot: Any, panel: LesionsPanel
) -> None:
    session = panel.session
    put(panel, np.s_[2:4, 3:6, 2:3], np.s_[10:11, 20:24, 9:10])
    filled(qtbot, panel, 2)
    assert panel.head.text() == "Measured DVR, no threshold (a model gives one)."
    cells = [[panel.lesions.item(row, column).text() for column in range(4)] for row in range(2)]
    assert cells == [["1", "0.027", "1.000", "n/a"], ["2", "0.018", "1.000", "n/a"]]
    # with a prediction: 0.5 in one voxel of four of the second lesion, else 0.9
    predicted = np.full(SHAPE, 0.9, dtype=np.float32)
    predicted[10, 20, 9] = 0.5
    session.prediction = SimpleNamespace(dvr=Volume(predicted, AFFINE), threshold_on_grid=0.8)
    session.prediction_changed.emit()
    qtbot.waitUntil(lambda: panel.head.text() == "Predicted DVR, threshold 0.800.")
    cells = [[panel.lesions.item(row, column).text() for column in range(4)] for row in range(2)]
    assert cells == [["1", "0.027", "0.900", "0%"], ["2", "0.018", "0.800", "25%"]]
    # a click: the view is at the middle voxel of the lesion, in all three directions
    rectangle = panel.lesions.visualItemRect(panel.lesions.item(1, 0))
    QTest.mouseClick(panel.lesions.viewport(), Qt.MouseButton.LeftButton, pos=rectangle.center())
    frame = session.frame
    at = frame.shown(frame.reference.world((10, 21, 9)))
    assert np.abs(np.asarray(viewer.dims.point) - at).max() <= frame.spacing.max() / 2
    assert np.allclose(viewer.scene.camera.center[1:], at[1:])
    chosen = frame.volume(np.asarray(session.layer("chosen-lesion").data) != 0).array
    assert np.argwhere(chosen).tolist() == [[10, j, 9] for j in range(20, 24)]
    assert viewer.layers.selection.active.name == "lesion mask"
    # it stays chosen where a stroke elsewhere makes it the third
    put(panel, np.s_[2:4, 3:6, 2:3], np.s_[10:11, 20:24, 9:10], np.s_[14:16, 10:14, 5:6])
    filled(qtbot, panel, 3)
    assert panel.lesions.numbers == [3]
    # of a large one only the line round it is drawn, slice by slice
    put(panel, np.s_[4:9, 10:15, 4:6])
    filled(qtbot, panel, 1)
    panel.lesions.selectRow(0)
    line = frame.volume(np.asarray(session.layer("chosen-lesion").data) != 0).array
    assert line.sum() == 2 * (25 - 9)
    assert not line[5:8, 11:14].any()
    panel.lesions.clearSelection()
    assert session.layer("chosen-lesion") is None


def test_chosen_lesions_are_joined_and_deleted_and_undo_takes_both_back(
    viewer: Any, qtbot: Any, panel: LesionsPanel
) -> None:
    before = put(panel, np.s_[4:5, 10:14, 5:6], np.s_[8:9, 10:13, 5:6], np.s_[14:15, 2:3, 10:11])
    filled(qtbot, panel, 3)
    assert "choose two lesions" in panel.buttons["merge"].toolTip()
    for row in (0, 1):
        where = panel.lesions.visualItemRect(panel.lesions.item(row, 0)).center()
        modifier = Qt.KeyboardModifier.ControlModifier if row else Qt.KeyboardModifier.NoModifier
        QTest.mouseClick(panel.lesions.viewport(), Qt.MouseButton.LeftButton, modifier, where)
    press(panel, "merge")
    filled(qtbot, panel, 2)
    joined = panel.work.mask.copy()
    added = joined & ~before
    # the gap between them, 3 voxels wide where they face each other, and nothing elsewhere
    assert added[5:8, 10:13, 5].all()
    assert added.sum() == added[5:8, 9:15, 5].sum()
    volume = added.sum() * VOXEL / 1000
    assert panel.message.text().startswith(
        f"Lesions 1 and 2 are one now: {added.sum()} voxels, {volume:.3g} ml between them were filled."
    )
    canvas().setFocus()
    QTest.keyClick(canvas(), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: bool((panel.work.mask == before).all()))
    filled(qtbot, panel, 3)
    panel.lesions.clearSelection()
    panel.lesions.selectRow(2)
    press(panel, "delete")
    filled(qtbot, panel, 2)
    assert not panel.work.mask[14, 2, 10]
    assert panel.work.mask.sum() == before.sum() - 1
    assert panel.message.text() == "Lesion 3 was deleted (0.0045 ml); Undo brings it back."
    QTest.mouseClick(panel.brush.undo, Qt.MouseButton.LeftButton)
    assert (panel.work.mask == before).all()


def test_a_file_on_another_grid_is_resampled_only_when_agreed_and_the_amounts_are_said(
    qtbot: Any, panel: LesionsPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # twice as fine in every direction, first voxel's corner at the same place: 8 small voxels make one
    fine = AFFINE @ np.diag([0.5, 0.5, 0.5, 1])
    fine[:3, 3] = (AFFINE @ (-0.25, -0.25, -0.25, 1))[:3]
    mask = np.zeros(tuple(2 * edge for edge in SHAPE), dtype=bool)
    mask[10:14, 20:22, 6:8] = True  # voxels 5:7, 10, 3 of the subject
    other = tmp_path / "other.nii.gz"
    write_volume(other, Volume(mask, fine))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(other), ""))
    press(panel, "import")
    qtbot.waitUntil(lambda: not panel.offer.isHidden(), timeout=10_000)
    assert panel.work.mask is None
    assert panel.offer.text.text() == (
        "other.nii.gz lies on another grid. On sub-01's, to the nearest voxel, its 16 voxels, 0.009 ml become "
        "2 voxels, 0.009 ml."
    )
    yes, no = panel.offer.buttons
    assert (yes.text(), no.text()) == ("Resample", "Cancel")
    QTest.mouseClick(yes, Qt.MouseButton.LeftButton)
    assert np.argwhere(panel.work.mask).tolist() == [[5, 10, 3], [6, 10, 3]]
    assert panel.offer.isHidden()
    # on the own grid: at once, in place of what was drawn, and undone in one step
    own = np.zeros(SHAPE, dtype=np.uint8)
    own[1, 2, 3], own[4, 5, 6] = 1, 2
    write_volume(other, Volume(own, AFFINE), dtype=np.uint8)
    press(panel, "import")
    qtbot.waitUntil(lambda: np.argwhere(panel.work.mask).tolist() == [[1, 2, 3], [4, 5, 6]], timeout=10_000)
    assert panel.message.text() == (
        "other.nii.gz: 2 voxels, 0.009 ml. Its 2 labels became one mask. It takes the place of what was drawn; "
        "Undo brings that back."
    )
    QTest.mouseClick(panel.brush.undo, Qt.MouseButton.LeftButton)
    assert np.argwhere(panel.work.mask).tolist() == [[5, 10, 3], [6, 10, 3]]
    # what is no mask is refused in words, and the mask stays
    write_volume(other, Volume(np.full(SHAPE, 0.25, dtype=np.float32), AFFINE))
    press(panel, "import")
    qtbot.waitUntil(lambda: "values such as 0.25" in panel.message.text(), timeout=10_000)
    assert panel.work.mask.sum() == 2


def test_a_labels_layer_of_naparis_own_is_copied_to_where_it_lies(viewer: Any, qtbot: Any, panel: LesionsPanel) -> None:
    frame = panel.session.frame
    labels = np.zeros(frame.shape, dtype=np.int32)
    labels[3, 4, 5] = 7
    layer = viewer.add_labels(labels, name="Labels", **frame.placing)
    assert not panel.offer.isHidden()
    assert panel.offer.text.text().startswith('The layer "Labels" is none of sub-01')
    QTest.mouseClick(panel.offer.buttons[0], Qt.MouseButton.LeftButton)
    expected = frame.volume(labels != 0).array
    assert (panel.work.mask == expected).all()
    assert not layer.visible
    assert viewer.layers.selection.active.name == "lesion mask"
    # painted in again: offered again; from another place it lands where it lies, and what is outside is told
    layer.translate = np.add(layer.translate, (3.0, 0, 0))  # a slice further up
    layer.paint((3, 10, 5), 1)
    assert not panel.offer.isHidden()
    QTest.mouseClick(panel.offer.buttons[0], Qt.MouseButton.LeftButton)
    moved = np.roll(np.asarray(layer.data) != 0, 1, axis=0)
    assert (panel.work.mask == (expected | frame.volume(moved).array)).all()
    flat = viewer.add_labels(np.zeros((4, 4), dtype=int), name="flat")
    QTest.mouseClick(panel.offer.buttons[0], Qt.MouseButton.LeftButton)
    assert panel.message.text() == '"flat" has 2 dimensions: a mask has three'
    viewer.layers.remove(flat)


def test_a_file_that_is_there_is_replaced_only_when_agreed_and_the_old_one_can_be_kept(
    qtbot: Any, panel: LesionsPanel, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = cohort.root / LESION_PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"the work of another")
    put(panel, np.s_[2:4, 3:6, 2:3])
    seen: list[str] = []
    answer("Cancel", seen)
    press(panel, "save")
    assert seen == [f"{path.name} is there already."]
    assert path.read_bytes() == b"the work of another"
    assert panel.work.unsaved
    # another name
    elsewhere = cohort.root.parent / "elsewhere"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(elsewhere), ""))
    answer("Other name...", seen)
    with qtbot.waitSignal(panel.work.saved, timeout=10_000) as saved:
        press(panel, "save")
    assert saved.args == [elsewhere.with_name("elsewhere.nii.gz")]
    assert path.read_bytes() == b"the work of another"
    # replaced, twice: each old one is kept
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(path), ""))
    for count in (1, 2):
        answer("Replace it", seen)
        with qtbot.waitSignal(panel.work.saved, timeout=10_000):
            press(panel, "save_as")
        assert nib.load(path).get_fdata().sum() == 6
        assert len(list(path.parent.glob("*.bak*"))) == count
    assert path.with_name(path.name + ".bak").read_bytes() == b"the work of another"
    assert open_cohort(cohort.root).subjects[0].raw("lesion").array.sum() == 6


def test_a_full_disk_is_one_sentence_and_mask_and_journal_stay(qtbot: Any, panel: LesionsPanel, cohort: Cohort) -> None:
    mask = np.random.default_rng(1).random(SHAPE) < 0.5  # does not compress
    panel.put(Volume(mask, AFFINE))
    assert panel.work.wait()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, limit[1]))
    try:
        with qtbot.waitSignal(panel.work.failed, timeout=10_000):
            press(panel, "save")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert panel.message.text() == (
        f"cannot write {cohort.root / LESION_PATH}: File too large; choose another folder or free some space"
    )
    assert not list((cohort.root / "sub-01/anat").glob("*label-L*"))
    assert not list((cohort.root / "sub-01/anat").glob(".*"))
    assert panel.work.unsaved
    assert (panel.work.mask == mask).all()
    assert len(list(autosave_folder().iterdir())) == 1
    with qtbot.waitSignal(panel.work.saved, timeout=10_000):
        press(panel, "save")
    assert (nib.load(cohort.root / LESION_PATH).get_fdata() == mask).all()


def test_leaving_with_unsaved_strokes_asks_and_does_what_was_said(
    qtbot: Any, panel: LesionsPanel, cohort: Cohort
) -> None:
    session, work, seen = panel.session, panel.work, []

    def shown(key: str) -> None:
        with qtbot.waitSignal(session.subject_shown, timeout=10_000):
            session.choose(key)

    mask = put(panel, np.s_[2:4, 3:6, 2:3])
    answer("Stay", seen)
    session.choose("sub-02")
    assert session.subject.key == "sub-01"
    assert seen == ["The lesion mask of sub-01 is not saved."]
    answer("Keep for later", seen)
    shown("sub-02")
    assert work.mask is None
    assert panel.offer.isHidden()  # it is another's
    shown("sub-01")
    qtbot.waitUntil(lambda: not panel.offer.isHidden(), timeout=10_000)
    assert panel.offer.text.text().startswith("An unsaved mask of sub-01 from ")
    assert panel.offer.text.text().endswith(" (1 lesion) was found.")
    QTest.mouseClick(panel.offer.buttons[0], Qt.MouseButton.LeftButton)
    assert (work.mask == mask).all()
    answer("Discard", seen)
    shown("sub-02")
    qtbot.waitUntil(lambda: not list(autosave_folder().iterdir()))
    shown("sub-01")
    assert work.mask is None
    mask = put(panel, np.s_[5:8, 3:6, 2:3])
    answer("Save", seen)
    shown("sub-02")
    assert nib.load(cohort.root / LESION_PATH).get_fdata().sum() == 9
    shown("sub-01")
    assert (work.mask == mask).all()
    assert not work.unsaved
    # an unsaved mask is deleted only when agreed twice
    put(panel, np.s_[5:8, 3:6, 2:3], np.s_[0:1, 0:1, 0:1])
    answer("Keep for later", seen)
    shown("sub-02")
    shown("sub-01")
    for label in ("Discard", "Keep it", "Discard", "Delete it for good"):
        qtbot.waitUntil(lambda: not panel.offer.isHidden(), timeout=10_000)
        assert list(autosave_folder().iterdir())
        (button,) = [each for each in panel.offer.buttons if each.text() == label]
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    assert list(autosave_folder().iterdir()) == []
    assert panel.offer.isHidden()
    # the layer deleted by hand: what was not saved can be had back
    put(panel, np.s_[5:8, 3:6, 2:3], np.s_[0:1, 0:1, 0:1])
    panel.viewer.layers.remove(session.layer("lesion"))
    assert work.mask is None
    QTest.mouseClick(panel.offer.buttons[0], Qt.MouseButton.LeftButton)
    assert work.mask.sum() == 10
    assert work.mask[0, 0, 0]


CRASHING = """
    import sys, time
    from pathlib import Path
    import napari
    import numpy as np
    from qtpy.QtWidgets import QApplication
    from napari_myelin.widgets.session import session_of
    viewer = napari.Viewer(show=False)
    session = session_of(viewer)
    shown = []
    session.subject_shown.connect(lambda: shown.append(1))
    session.open(Path(sys.argv[1]))
    session.choose("sub-01")
    while not shown:
        QApplication.processEvents()
    grid = session.frame.reference
    from napari_myelin.core.data.volume import Volume
    session.mask_work.put(Volume(np.zeros(grid.shape, dtype=bool), grid.affine))  # as New mask does
    layer = session.layer("lesion")
    layer.brush_size, layer.n_edit_dimensions = 5, 3
    for place in ((4, 8, 5), (5, 9, 5), (9, 20, 12)):
        layer.paint(place, 1)
        QApplication.processEvents()
    layer.undo()
    QApplication.processEvents()
    layer.paint((10, 18, 12), 1)
    while not (session.mask_work.mask.sum() and session.mask_work.wait()):
        QApplication.processEvents()
    print(np.packbits(session.lesion.array).tobytes().hex(), flush=True)
    time.sleep(600)
"""


def test_after_kill_9_the_next_start_offers_the_mask_back(viewer: Any, qtbot: Any, cohort: Cohort) -> None:
    words = [sys.executable, "-c", textwrap.dedent(CRASHING), str(cohort.root)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        drawn = process.stdout.readline().strip()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert drawn
    panel = LesionsPanel(viewer)
    viewer.window.add_dock_widget(panel)
    # nothing is open yet: its subject is opened from here
    qtbot.waitUntil(lambda: not panel.offer.isHidden(), timeout=10_000)
    assert "(2 lesions) was found" in panel.offer.text.text()
    assert panel.offer.buttons[0].text() == "Open"
    said: list[str] = []
    panel.session.said.connect(lambda text, problem: said.append(text))
    with qtbot.waitSignal(panel.session.subject_shown, timeout=20_000):
        QTest.mouseClick(panel.offer.buttons[0], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not panel.offer.isHidden(), timeout=10_000)
    assert "An unsaved lesion mask of sub-01 was found: see the Lesions panel." in said
    QTest.mouseClick(panel.offer.buttons[0], Qt.MouseButton.LeftButton)
    assert np.packbits(panel.session.lesion.array).tobytes().hex() == drawn
    assert panel.offer.isHidden()
    assert panel.work.unsaved
    assert len(list(autosave_folder().iterdir())) == 1  # the new one; the old one is done with


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
