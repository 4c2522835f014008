"""Panels share one place in the window: a second one opens as a tab in front of the first, not squeezed below it."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

_PLACED = "napari_myelin_placed"


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
