"""What the manifest promises is there, and napari can open it from its menus."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from napari._app_model import get_app_model
from napari._qt.widgets.qt_command_palette import _enabled
from npe2 import PluginManager, PluginManifest

import napari_myelin
from napari_myelin.widgets.docking import open_panel
from napari_myelin.widgets.subject.panel import SubjectPanel

MANIFEST = PluginManifest.from_file(Path(napari_myelin.__file__).parent / "napari.yaml")


@pytest.mark.parametrize("command", MANIFEST.contributions.commands, ids=lambda command: command.id)
def test_every_command_leads_to_something(command: Any) -> None:
    module, name = str(command.python_name).split(":")
    assert callable(getattr(import_module(module), name))


def test_every_panel_opens_from_the_menu(viewer: Any) -> None:
    for widget in MANIFEST.contributions.widgets:
        viewer.window.add_plugin_dock_widget("napari-myelin", widget.display_name)
    opened = {name.removesuffix(" (napari-myelin)") for name in viewer.window.dock_widgets}
    assert {widget.display_name for widget in MANIFEST.contributions.widgets} <= opened


def test_the_command_palette_offers_panels_and_samples_and_nothing_that_needs_a_file(viewer: Any) -> None:
    menus = get_app_model().menus
    rules = [item.command for item in menus.get_menu(menus.COMMAND_PALETTE_ID)]
    ours = {rule.id for rule in rules if rule.id.startswith("napari-myelin.") and _enabled(rule, {})}
    given = MANIFEST.contributions
    # napari names a sample by its key
    samples = {f"napari-myelin.{each.key}" for each in given.sample_data}
    assert ours == {each.command for each in given.widgets} | samples | {"napari-myelin.prepare"}


def test_other_files_are_left_to_other_readers(tmp_path: Path) -> None:
    manager = PluginManager.instance()

    def readers(name: str) -> set[str]:
        return {reader.plugin_name for reader in manager.iter_compatible_readers([str(tmp_path / name)])}

    manager.discover()
    assert "napari-myelin" in readers("a.nii.gz") & readers("b.nii") & readers("cohort.tsv") & readers("")
    assert "napari-myelin" not in readers("a.png") | readers("sub-01.tif") | readers("b.csv")


def test_panels_open_as_tabs_beside_each_other_the_last_one_in_front(viewer: Any, qtbot: Any) -> None:
    viewer.window.show()
    subject, _ = viewer.window.add_plugin_dock_widget("napari-myelin", "Subject")
    lesions, panel = viewer.window.add_plugin_dock_widget("napari-myelin", "Lesions")
    window = panel.window()
    qtbot.waitUntil(lambda: subject in window.tabifiedDockWidgets(lesions), timeout=20_000)
    qtbot.waitUntil(lambda: not panel.visibleRegion().isEmpty(), timeout=20_000)
    assert [dock.windowTitle() for dock in (subject, lesions)] == ["Subject", "Lesions"]  # what the tabs say, uncut


def test_the_menu_shows_and_hides_the_panel_that_was_opened_by_other_means(viewer: Any) -> None:
    viewer.window.show()
    open_panel(viewer, "Subject")
    open_panel(viewer, "Subject")
    (panel,) = [each for each in viewer.window.dock_widgets.values() if isinstance(each, SubjectPanel)]
    assert panel.isVisible()
    for shown in (False, True):
        get_app_model().commands.execute_command("napari-myelin.subject").result()
        (same,) = [each for each in viewer.window.dock_widgets.values() if isinstance(each, SubjectPanel)]
        assert same is panel
        assert panel.isVisible() is shown
