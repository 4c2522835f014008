"""Raw scans prepared from the Subject panel, with the mouse: form, progress, cancel, failures, page, cohort."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from heartbeat import Heartbeat
from mouse import press
from napari._app_model import get_app_model
from qtpy.QtCore import Qt
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog
from raw_scans import OPTIONS, PHANTOM, write_raw

from napari_myelin.core.data.bids import bids_path
from napari_myelin.core.errors import UsageError
from napari_myelin.core.phantom.cohort import make_subject
from napari_myelin.core.prepare.options import PrepareOptions
from napari_myelin.widgets.docking import open_panel
from napari_myelin.widgets.subject.cohort_table import MISSING, PROBLEM, THERE
from napari_myelin.widgets.subject.panel import SubjectPanel
from napari_myelin.widgets.subject.raw_scans import RawScans

SECONDS = 90_000


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A patient with every scan, and sub-02, whose T1w is cut in half. Read only."""
    return write_raw(tmp_path_factory.mktemp("raw") / "bids", make_subject(0, PHANTOM))


@pytest.fixture
def panel(viewer: Any) -> SubjectPanel:
    """The panel as the menu opens it."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-myelin", "Subject")
    return widget


def filled(panel: SubjectPanel, qtbot: Any, raw: Path, out: Path) -> RawScans:
    """Unfold the form and fill it in, with options that take little time."""
    scans = panel.raw_scans
    panel.raw_section.open(True)
    scans.form.raw.setText(str(raw))
    scans.form.out.setText(str(out))
    scans.form.form.put(OPTIONS)
    qtbot.waitUntil(lambda: bool(scans.form.visits.keys), timeout=SECONDS)
    return scans


def test_the_walk_from_raw_scans_to_a_cohort(
    panel: SubjectPanel, viewer: Any, qtbot: Any, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans, form, preparer = panel.raw_scans, panel.raw_scans.form, panel.raw_scans.preparer
    assert not scans.isVisibleTo(panel)
    qtbot.mouseClick(panel.raw_section.header, Qt.MouseButton.LeftButton)
    assert scans.isVisibleTo(panel)
    assert "Not now: choose the folder of the raw scans." in scans.start_button.toolTip()
    # the folders, by their dialogs; the scans that are there
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(raw))
    press(qtbot, form.choose_raw)
    assert form.out.text() == str(raw.parent / "bids-cohort")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "made"))
    press(qtbot, form.choose_out)
    qtbot.waitUntil(lambda: form.visits.keys == ["sub-01", "sub-02"], timeout=SECONDS)
    table = form.visits
    assert [table.item(0, column).text() for column in range(1, 8)] == [THERE] * 7
    assert [table.item(1, column).text() for column in range(1, 8)] == [THERE] + [MISSING] * 6
    assert table.item(0, 2).toolTip() == "MT, for MTR\nsub-01_mt-on_MTR.nii.gz\nsub-01_mt-off_MTR.nii.gz"
    # the options are the engine's own
    assert form.form.options() == PrepareOptions()
    assert list(form.form.sections) == list(PrepareOptions.model_fields)
    form.form.put(OPTIONS)
    assert scans.start_button.text() == "Prepare 2 visits"
    # prepared in the background
    with Heartbeat() as beating, qtbot.waitSignal(preparer.ended, timeout=SECONDS):
        press(qtbot, scans.start_button)
        assert "a preparation is under way" in scans.start_button.toolTip()
        qtbot.waitUntil(lambda: " left." in scans.state.text(), timeout=SECONDS)
        assert scans.state.text().startswith("Preparing sub\N{NON-BREAKING HYPHEN}01: ")
        assert 0 < scans.bar.value() < scans.bar.maximum()
    beating.tell("preparing a patient")
    assert beating.busy < 0.1
    # what failed is told, and what is made opens
    assert "sub-02, brain" in scans.failures.text()
    assert "truncated or damaged" in scans.failures.text()
    assert scans.state.text() == "Something failed for sub-02; the rest is made. Prepare tries it again."
    assert "oblique by 12.0 degrees" in scans.known.text()
    assert not scans.bar.isVisibleTo(scans)
    qtbot.waitUntil(lambda: panel.session.cohort is not None, timeout=SECONDS)
    assert panel.session.cohort.root == tmp_path / "made"
    assert {"MTR", "FA", "RD", "AD", "dvr", "lesion", "wm"} <= set(panel.session.cohort.subjects[0].files)
    assert "1 patient" in panel.cohort_line.text()
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    press(qtbot, scans.page_button)
    assert opened == [str(tmp_path / "made" / "preparation.html")]
    # a panel that is opened again shows the same
    other = SubjectPanel(viewer)
    qtbot.addWidget(other)
    qtbot.waitUntil(lambda: bool(other.raw_scans.form.visits.keys), timeout=SECONDS)
    assert other.raw_scans.form.form.options() == OPTIONS
    assert other.raw_scans.failures.text() == scans.failures.text()
    assert "only what changed is made again" in other.raw_scans.form.holds.text()


def test_cancel_is_seen_at_once_and_prepare_goes_on_from_there(
    panel: SubjectPanel, qtbot: Any, raw: Path, tmp_path: Path
) -> None:
    scans = filled(panel, qtbot, raw, tmp_path / "made")
    preparer, table = scans.preparer, scans.form.visits
    table.item(1, 0).setCheckState(Qt.CheckState.Unchecked)
    assert scans.start_button.text() == "Prepare 1 visit"
    assert "nothing runs" in scans.cancel_button.toolTip()
    press(qtbot, scans.start_button)
    qtbot.waitUntil(lambda: "brain" in scans.state.text(), timeout=SECONDS)
    with qtbot.waitSignal(preparer.ended, timeout=SECONDS):
        press(qtbot, scans.cancel_button)
        assert scans.state.text().startswith("Cancelling after the step under way (sub\N{NON-BREAKING HYPHEN}01: ")
        assert "it is cancelling" in scans.cancel_button.toolTip()
    assert scans.state.text() == "Cancelled: 0 of 1 visits are through. Prepare goes on from there."
    assert panel.session.cohort is None
    assert not bids_path(tmp_path / "made", "01", None, "MTR").exists()
    with qtbot.waitSignal(preparer.ended, timeout=SECONDS):
        press(qtbot, scans.start_button)
    assert scans.state.text() == "1 visit is prepared. Look at the quality page."
    assert preparer.progress.detail.endswith(" unchanged")
    assert not preparer.progress.detail.endswith(" 0 unchanged")
    assert bids_path(tmp_path / "made", "01", None, "MTR").exists()
    assert scans.failures.text() == ""


def test_what_cannot_be_is_said_where_it_is_typed(panel: SubjectPanel, qtbot: Any, raw: Path, tmp_path: Path) -> None:
    scans = filled(panel, qtbot, raw, tmp_path / "made")
    form, start = scans.form, scans.start_button
    assert start.isEnabled()
    form.form.editors["dvr.t_star"].setText("late")
    assert "must be a valid number" in form.form.problems["dvr.t_star"].text()
    assert form.form.problems["dvr.t_star"].isVisibleTo(panel)
    assert "dvr.t_star must be a valid number" in start.toolTip()
    assert not start.isEnabled()
    with pytest.raises(UsageError, match=r"dvr\.t_star"):
        form.wanted()
    form.form.editors["dvr.t_star"].setText("35")
    assert form.wanted().options.dvr.t_star == 35
    form.out.setText(str(raw))
    assert "the raw dataset's own folder" in form.holds.text()
    assert "the raw dataset's own folder" in start.toolTip()
    (tmp_path / "dataset_description.json").write_text("{}")
    form.out.setText(str(tmp_path))
    assert "holds another dataset" in form.holds.text()
    form.out.setText("")
    assert "choose a folder for the cohort" in start.toolTip()
    form.out.setText(str(tmp_path / "made"))
    assert start.isEnabled()
    for row in range(2):
        form.visits.item(row, 0).setCheckState(Qt.CheckState.Unchecked)
    assert "tick a visit" in start.toolTip()
    form.raw.setText(str(tmp_path))
    qtbot.waitUntil(lambda: "holds no folder sub-XX" in form.found.text(), timeout=SECONDS)
    assert "holds no folder sub-XX" in start.toolTip()
    assert not form.visits.isVisibleTo(panel)


def test_half_a_pair_and_a_missing_t1w_are_marked(panel: SubjectPanel, qtbot: Any, raw: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(raw, tmp_path / "raw", copy_function=lambda a, b: Path(b).symlink_to(a)))
    next(folder.glob("sub-01/anat/*mt-off*.nii.gz")).unlink()
    next(folder.glob("sub-02/anat/*T1w.nii.gz")).unlink()
    scans = filled(panel, qtbot, folder, tmp_path / "made")
    table = scans.form.visits
    assert table.item(0, 2).text() == PROBLEM
    assert table.item(0, 2).toolTip() == "no image without MT pulse, for MTR"
    assert table.item(1, 1).text() == PROBLEM
    assert "over which everything is brought together" in table.item(1, 1).toolTip()


def test_without_the_extra_the_panel_says_what_to_install(viewer: Any, qtbot: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "dipy", None)
    panel = SubjectPanel(viewer)
    qtbot.addWidget(panel)
    panel.raw_section.open(True)
    sentence = "dipy is not installed: pip install napari-myelin[prepare]"
    assert panel.raw_scans.lacking.text() == f"Raw scans cannot be prepared yet: {sentence}"
    assert panel.raw_scans.lacking.isVisibleTo(panel)
    assert not panel.raw_scans.start_button.isEnabled()
    assert f"Not now: {sentence}." in panel.raw_scans.start_button.toolTip()


def test_a_failure_is_a_sentence_and_the_panel_is_ready_again(
    panel: SubjectPanel, qtbot: Any, raw: Path, tmp_path: Path, notified: list[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    scans = filled(panel, qtbot, raw, tmp_path / "file" / "made")
    with qtbot.waitSignal(scans.failed, timeout=SECONDS):
        press(qtbot, scans.start_button)
    assert str(tmp_path / "file") in panel.message.text()
    assert notified == [panel.message.text()]
    qtbot.waitUntil(lambda: scans.start_button.isEnabled(), timeout=SECONDS)
    assert scans.state.text() == ""


def test_the_command_palette_leads_to_the_form(viewer: Any) -> None:
    get_app_model().commands.execute_command("napari-myelin.prepare").result()
    panel = open_panel(viewer, "Subject")
    assert panel.raw_section.header.isChecked()
    assert panel.raw_scans.isVisibleTo(panel)
