"""Panels share one place in the window: a second one opens as a tab in front of the first, not squeezed below it."""

from __future__ import annotations

from typing import Any

from npe2 import PluginManager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_myelin.widgets.settings import PLUGIN

_PLACED = "napari_myelin_placed"


def open_panel(viewer: Any, name: str) -> QWidget:
    """Bring a panel to the front: the one that is there already, whoever opened it, else a new one; return it.

    Parameters
    ----------
    viewer
        napari's.
    name
        As the manifest calls it: ``Subject``, ``Predict``.
    """
    manager = PluginManager.instance()
    kind = manager.commands.get(f"{PLUGIN}.{name.lower()}")
    for panel in viewer.window.dock_widgets.values():
        if isinstance(panel, kind):
            dock = _dock_of(panel)
            if dock is not None:
                dock.show()
                dock.raise_()
            return panel
    panel = kind(viewer)
    # napari's menu knows a panel by this name: by any other it would open a second one
    viewer.window.add_dock_widget(panel, name=f"{name} ({manager.get_manifest(PLUGIN).display_name})")
    return panel


def join_tabs(panel: QWidget) -> None:
    """Put a panel that is shown for the first time into a tab beside the others of its kind, and bring it to the front.

    Whoever drags it elsewhere afterwards is not overruled.

    Parameters
    ----------
    panel
        Inside a dock widget of the main window; anywhere else nothing happens.
    """
    dock, window = _dock_of(panel), panel.window()
    if dock is None or not isinstance(window, QMainWindow) or dock.property(_PLACED):
        return
    dock.setProperty(_PLACED, True)
    dock.setWindowTitle(dock.windowTitle().split(" (")[0])  # what its tab says: with the plugin's name it would be cut
    area = window.dockWidgetArea(dock)
    others = [
        other
        for other in window.findChildren(QDockWidget)
        if other is not dock
        and other.property(_PLACED)
        and other.isVisible()
        and not other.isFloating()
        and window.dockWidgetArea(other) == area
    ]
    if others and area != Qt.DockWidgetArea.NoDockWidgetArea and others[-1] not in window.tabifiedDockWidgets(dock):
        window.tabifyDockWidget(others[-1], dock)
    dock.raise_()


def _dock_of(widget: QWidget) -> QDockWidget | None:
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parentWidget()
    return parent
