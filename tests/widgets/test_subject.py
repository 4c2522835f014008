"""The Subject panel: opening, the table, the geometry matrix, resampling, choosing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from heartbeat import Heartbeat
from mouse import press
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_myelin.core.data.bids import bids_path
from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.widgets.panel import COLOURS
from napari_myelin.widgets.session import session_of
from napari_myelin.widgets.subject.cohort_table import MISSING, PROBLEM, THERE
from napari_myelin.widgets.subject.inspector import inspector_of
from napari_myelin.widgets.subject.panel import SubjectPanel


@pytest.fixture
def panel(viewer: Any) -> Iterator[SubjectPanel]:
    """The panel as the menu opens it."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-myelin", "Subject")
    return widget


def cells(panel: SubjectPanel, row: int) -> list[str]:
    return [panel.table.item(row, column).text() for column in range(panel.table.columnCount())]


def test_importing_the_panel_takes_no_torch_and_little_time() -> None:
    code = (
        "import sys, time\n"
        "import napari.viewer, napari._qt.qt_main_window  # what is there when the menu is used\n"
        "start = time.process_time()\n"
        "import napari_myelin.widgets.subject.panel\n"
        "print('torch' in sys.modules, time.process_time() - start)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    torch, seconds = done.stdout.split()
    sys.stdout.write(f"\nimporting the Subject panel: {float(seconds):.2f} s of processor time\n")
    assert torch == "False"
    assert float(seconds) < 2


def test_opening_the_panel_takes_under_two_seconds(viewer: Any) -> None:
    start, spent = time.perf_counter(), time.process_time()
    viewer.window.add_plugin_dock_widget("napari-myelin", "Subject")
    QApplication.processEvents()
    seconds, own = time.perf_counter() - start, time.process_time() - spent
    sys.stdout.write(f"\nopening the Subject panel: {seconds:.2f} s, {own:.2f} s of processor time\n")
    assert own < 2


@pytest.fixture
def damaged(phantom_folder: Path, tmp_path: Path) -> Path:
    """A cohort with a map missing, one on a coarser grid, one in another unit, a damaged FLAIR."""
    folder = tmp_path / "cohort"
    shutil.copytree(phantom_folder, folder)
    bids_path(folder, "02", None, "RD").unlink()
    path = bids_path(folder, "01", None, "MTR")
    image = nib.load(path)
    coarse = image.get_fdata()[::2, ::2, ::2].astype(np.float32)
    nib.save(nib.Nifti1Image(coarse, image.affine @ np.diag([2.0, 2.0, 2.0, 1.0])), path)
    path = bids_path(folder, "01", None, "RD")
    image = nib.load(path)
    nib.save(nib.Nifti1Image((image.get_fdata() * 1e-3).astype(np.float32), image.affine), path)
    bids_path(folder, "03", None, "flair").write_bytes(b"")
    return folder


def test_the_walk_from_a_folder_to_a_resampled_subject(
    panel: SubjectPanel, viewer: Any, qtbot: Any, damaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_of(viewer)
    assert "No cohort is open" in panel.cohort_line.text()
    for button in (panel.show_button, panel.check_button, panel.views_button):
        assert not button.isEnabled()
        assert "Not now: " in button.toolTip()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(damaged))
    with qtbot.waitSignal(session.cohort_changed, timeout=20_000):
        press(qtbot, panel.folder_button)
    assert "3 patients, 2 controls. Phantom" in panel.cohort_line.text()
    # headers tell at once what is missing, elsewhere or damaged
    inspector = inspector_of(session)
    qtbot.waitUntil(lambda: len(inspector.problems) == 5, timeout=20_000)
    assert panel.table.rowCount() == 5
    assert cells(panel, 0) == ["sub-01", "MS", PROBLEM, THERE, THERE, THERE, THERE, THERE, THERE]
    assert panel.table.item(0, 2).toolTip() == "the MTR map lies on another grid than the measured DVR"
    assert cells(panel, 1) == ["sub-02", "MS", THERE, THERE, MISSING, THERE, THERE, THERE, THERE]
    assert cells(panel, 2)[0] == f"sub-03  {PROBLEM}"
    assert "is empty: copy it again" in panel.table.item(2, 0).toolTip()
    assert cells(panel, 4) == ["sub-05", "HC", THERE, THERE, THERE, THERE, THERE, "", THERE]
    # a double click shows a subject; its maps are looked into
    place = panel.table.visualItemRect(panel.table.item(0, 0)).center()
    with qtbot.waitSignal(session.subject_shown, timeout=30_000):
        qtbot.mouseClick(panel.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        qtbot.mouseDClick(panel.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert session.subject.key == "sub-01"
    assert session.layer("MTR") is None
    assert "lies on another grid" in panel.message.text()
    qtbot.waitUntil(lambda: "sub-01" in inspector.reports, timeout=30_000)
    rows = [[panel.geometry.item(row, c).text() for c in range(5)] for row in range(panel.geometry.rowCount())]
    assert rows[0] == ["DVR", "32×40×32", "4.88", "RAS", "100%"]  # noqa: RUF001
    mask = [row[0] for row in rows].index("Lesion")  # a count, under a head that says Median
    voxels = np.count_nonzero(session.lesion.array)
    assert panel.geometry.item(mask, 5).text() == f"{voxels} vox"
    mtr = next(row for row in rows if row[0] == "MTR")
    assert mtr[:4] == ["MTR", "16×20×16", "9.76", "RAS"]  # noqa: RUF001
    assert "looks like mm2/s: multiply it by 1000" in panel.findings.text()
    assert "--" not in panel.findings.text()  # no flag of a command line
    assert cells(panel, 0)[4] == PROBLEM  # RD: another unit
    row = [each[0] for each in rows].index("MTR")
    red = QColor(COLOURS["problem"])
    assert panel.geometry.item(row, 1).foreground().color() == red
    # one click brings the map to the subject's grid, and the panel lists what was done
    assert panel.resample_button.text() == "Resample 1 map onto the subject's grid"
    with qtbot.waitSignal(session.subject_shown, timeout=30_000):
        press(qtbot, panel.resample_button)
    assert session.layer("MTR").data.shape == session.frame.shape
    assert "MTR map: was 16 x 20 x 16, 9.76 mm, RAS" in panel.resampled.text()
    assert panel.resample_button.isHidden()
    assert cells(panel, 0)[2] == THERE
    assert "another grid" not in panel.findings.text()
    assert panel.geometry.item(row, 1).foreground().color() != red
    assert "another grid" not in panel.geometry.item(row, 1).toolTip()
    with qtbot.waitSignal(inspector.done, timeout=60_000):
        press(qtbot, panel.check_button)
    assert panel.check_button.text() == "Checked 5 of 5"
    assert not panel.check_button.isEnabled()


def test_the_panel_opens_again_as_it_was(panel: SubjectPanel, viewer: Any, show: Callable[..., Any]) -> None:
    session = show("sub-02")
    panel.table.choose("sub-04")
    again = SubjectPanel(viewer)
    assert again.table.rowCount() == 5
    assert again.table.key == "sub-04"
    assert again.table.item(1, 0).font().bold()  # sub-02 is on show
    assert again.show_button.isEnabled()
    panel.close()
    session.tell("still here")  # a closed panel is told nothing, and nothing breaks
    assert again.message.text() == "still here"
    again.close()


def test_a_failure_is_a_sentence_and_the_panel_is_ready_afterwards(
    panel: SubjectPanel, viewer: Any, qtbot: Any, tmp_path: Path, phantom_folder: Path
) -> None:
    session = session_of(viewer)
    with qtbot.waitSignal(session.said, timeout=20_000):
        panel.open(tmp_path / "gone")
    assert "there is no cohort at" in panel.message.text()
    with qtbot.waitSignal(session.cohort_changed, timeout=20_000):
        panel.open(phantom_folder)
    assert panel.message.text() == ""
    cohort = open_cohort(phantom_folder)
    gone = cohort.subjects[0].with_files(dvr=tmp_path / "gone.nii.gz")
    session.set_cohort(Cohort(cohort.root, (gone, *cohort.subjects[1:])))
    panel.table.choose("sub-01")
    press(qtbot, panel.show_button)
    assert "gone.nii.gz does not exist" in panel.message.text()
    panel.table.choose("sub-02")
    with qtbot.waitSignal(session.subject_shown, timeout=30_000):
        press(qtbot, panel.show_button)
    assert session.subject.key == "sub-02"


def test_showing_and_checking_do_not_hold_the_window(
    panel: SubjectPanel, viewer: Any, qtbot: Any, phantom_folder: Path
) -> None:
    session = session_of(viewer)
    inspector = inspector_of(session)
    with Heartbeat() as opening, qtbot.waitSignal(session.cohort_changed, timeout=20_000):
        panel.open(phantom_folder)
    opening.tell("opening a cohort")
    assert opening.busy < 0.1
    qtbot.waitUntil(lambda: not inspector.busy and len(inspector.problems) == 5, timeout=20_000)
    with Heartbeat() as checking, qtbot.waitSignal(inspector.done, timeout=60_000):
        press(qtbot, panel.check_button)
    checking.tell("checking a cohort")
    assert checking.busy < 0.1
