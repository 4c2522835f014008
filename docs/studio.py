"""A napari window with the sample cohort open, as `screenshots.py` takes pictures of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (1500, 950)  # px
LARGEST = 300_000  # bytes
PATIENCE = 1800.0  # s, for work on a busy machine


def wait(true: Callable[[], Any], patience: float = PATIENCE) -> None:
    """Let the window live until something is true.

    Raises
    ------
    TimeoutError
        If it never is.
    """
    from qtpy.QtCore import QEvent
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + patience
    while not true():
        if time.monotonic() > end:
            raise TimeoutError("the window is not where it should be: look at it, or at the machine's load")
        QApplication.processEvents()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)  # else what napari took away is still drawn
        time.sleep(0.01)


def rest(seconds: float = 1.5) -> None:
    """Let the window live for a while, so that everything is drawn."""
    end = time.monotonic() + seconds
    wait(lambda: time.monotonic() > end)


class Studio:
    """A viewer with the sample cohort open, and what the pictures are made with.

    Parameters
    ----------
    work
        Folder for predictions; what it holds already is used again.
    into
        Folder for the pictures.
    theme
        napari's.
    """

    def __init__(self, work: Path, into: Path, theme: str = "dark") -> None:
        import napari

        from napari_myelin.widgets.session import session_of

        self.work, self.into, self.theme = work, into, theme
        self.viewer = napari.Viewer()
        self.viewer.theme = theme
        self.viewer.window.resize(*SIZE)
        self.session = session_of(self.viewer)
        shown: list[bool] = []
        self.session.subject_shown.connect(lambda: shown.append(True))
        self.viewer.open_sample("napari-myelin", "cohort")
        wait(lambda: shown)

    def panel(self, name: str) -> Any:
        """Bring a panel to the front of those that are open, as wide as it asks for."""
        from qtpy.QtCore import Qt
        from qtpy.QtWidgets import QDockWidget

        from napari_myelin.widgets.docking import open_panel

        dock = panel = open_panel(self.viewer, name)
        rest()
        while not isinstance(dock, QDockWidget):
            dock = dock.parentWidget()
        dock.parent().resizeDocks([dock], [panel.sizeHint().width()], Qt.Orientation.Horizontal)
        return panel

    def show(self, *roles: str) -> None:
        """Switch on the layers of some roles, and no other."""
        from napari_myelin.widgets.maps import role_of

        for layer in self.viewer.layers:
            layer.visible = role_of(layer) in roles
        rest()

    def look_at(self, mask: np.ndarray, zoom: float) -> None:
        """Show the axial slice with most of a mask (own grid)."""
        most = int(mask.sum(axis=(0, 1)).argmax())
        frame = self.session.frame
        middle = [edge / 2 for edge in frame.reference.shape]
        point = tuple(frame.shown(frame.reference.world((middle[0], middle[1], most))))
        self.viewer.dims.set_point(range(3), point)
        self.viewer.scene.camera.center = point
        self.viewer.scene.camera.zoom = zoom

    def point_at(self, across: float, down: float) -> None:
        """Move the mouse over the canvas, to shares of its width and height."""
        from qtpy.QtCore import QPoint
        from qtpy.QtTest import QTest

        canvas = self.viewer.window._qt_viewer.canvas.native
        QTest.mouseMove(canvas, QPoint(round(across * canvas.width()), round(down * canvas.height())))
        rest()

    def take(self, name: str) -> None:
        """Save the window, in fewer colours where the file would be large."""
        self.viewer.window.activate()
        rest()
        picture = Image.fromarray(self.viewer.screenshot(canvas_only=False, flash=False)[..., :3])
        path = self.into / f"{name}.png"
        picture.save(path, optimize=True)
        if path.stat().st_size > LARGEST:
            picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
        print(f"{path}: {picture.width} x {picture.height}, {path.stat().st_size / 1000:.0f} kB")  # noqa: T201
