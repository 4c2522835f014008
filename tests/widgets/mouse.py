"""The mouse as a user has it: buttons, strokes on the canvas, answers to what a dialog asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QMessageBox, QWidget

from napari_myelin.widgets.layers import Frame


def press(qtbot: Any, button: Any) -> None:
    """Press a button; it must be enabled."""
    assert button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def canvas() -> QWidget:
    """Return what is drawn on, of the one viewer that is open."""
    (found,) = [each for each in QApplication.allWidgets() if type(each).__name__ == "CanvasBackendDesktop"]
    return found


def look_at(viewer: Any, frame: Frame, voxel: tuple[int, ...], zoom: float = 12) -> None:
    """Move the view by hand: the slice, and the voxel to the middle of the canvas."""
    point = tuple(frame.shown(frame.reference.world(voxel)))
    viewer.dims.set_point(range(3), point)
    viewer.scene.camera.center = point
    viewer.scene.camera.zoom = zoom
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


def answer(label: str, seen: list[Any], words: Callable[[QMessageBox], Any] = QMessageBox.text) -> None:
    """Press a button of the next dialog, as soon as it is there; `seen` gets the `words` of that dialog."""

    def look() -> None:
        box = QApplication.activeModalWidget()
        if not isinstance(box, QMessageBox):
            QTimer.singleShot(20, look)
            return
        seen.append(words(box))
        (button,) = [each for each in box.buttons() if each.text().replace("&", "") == label]
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    QTimer.singleShot(20, look)
