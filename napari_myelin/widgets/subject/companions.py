"""Two orthogonal views that follow the main one, and lead it: a click in one of them moves the point of all three."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPen, QResizeEvent, QWheelEvent
from qtpy.QtWidgets import QBoxLayout, QMainWindow, QSizePolicy, QWidget

from napari_myelin.widgets.orientation import PLANES, letters
from napari_myelin.widgets.session import session_of
from napari_myelin.widgets.settings import on_change, setting
from napari_myelin.widgets.subject.slices import Plane, paint, plane_of

NAME = "Orthogonal views"
WIDTH = 300  # px
WAIT = 25  # ms in which changes are gathered before the views are painted again
CROSS, INK = QColor("#ffd60a"), QColor("#e6e6e6")


class SliceView(QWidget):
    """One slice, with a cross at the point and a letter at each edge.

    Signals: ``moved`` with the shown mm (downwards, across) of a click or drag; ``walked`` with steps of the wheel.
    """

    moved = Signal(float, float)
    walked = Signal(int)

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.plane: Plane | None = None
        self.point: tuple[float, ...] = (0.0, 0.0, 0.0)
        self._image: QImage | None = None
        self.setMinimumSize(240, 180)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setToolTip(f"{PLANES[axis]} slice: click or drag to move the point, turn the wheel to walk")

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the size that Qt starts with."""
        return QSize(280, 260)

    def show_slice(self, layers: list[Any], point: tuple[float, ...]) -> None:
        """Paint the slice of the layers through a point (shown mm)."""
        self.plane, self.point = plane_of(layers, self.axis), point
        self._image = None
        if self.plane is not None:
            # superior is up, and the right on the left of the screen where the display is radiological
            pixels = np.ascontiguousarray(paint(layers, self.plane, point)[::-1, :: -1 if self._mirrored else 1])
            rows, columns, _ = pixels.shape
            self._image = QImage(pixels.data, columns, rows, 3 * columns, QImage.Format.Format_RGB888).copy()
        self.update()

    @property
    def _mirrored(self) -> bool:
        return bool(setting("radiological"))

    def _area(self) -> QRectF:
        """Return where the picture lies in the widget: as large as fits, in its own proportions."""
        if self.plane is None:
            return QRectF()
        height, width = (h - lo for lo, h in zip(self.plane.low, self.plane.high, strict=True))
        zoom = min(self.width() / width, self.height() / height)
        return QRectF(
            (self.width() - width * zoom) / 2, (self.height() - height * zoom) / 2, width * zoom, height * zoom
        )

    def place_of(self, down: float, across: float) -> QPointF:
        """Return where a place in shown mm lies in the widget."""
        area, plane = self._area(), self.plane
        if plane is None:
            return QPointF()
        y = (plane.high[0] - down) / (plane.high[0] - plane.low[0])
        x = (across - plane.low[1]) / (plane.high[1] - plane.low[1])
        return QPointF(area.left() + area.width() * (1 - x if self._mirrored else x), area.top() + area.height() * y)

    def mm_of(self, place: QPointF) -> tuple[float, float]:
        """Return the shown mm (downwards, across) of a place in the widget."""
        area, plane = self._area(), self.plane
        if plane is None:
            return 0.0, 0.0
        x = (place.x() - area.left()) / area.width()
        y = (place.y() - area.top()) / area.height()
        across = plane.low[1] + (1 - x if self._mirrored else x) * (plane.high[1] - plane.low[1])
        return plane.high[0] - y * (plane.high[0] - plane.low[0]), across

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw picture, cross and letters."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor("black"))
        if self._image is None or self.plane is None:
            return
        painter.drawImage(self._area(), self._image)
        down, across = (self.point[axis] for axis in self.plane.axes)
        cross = self.place_of(down, across)
        painter.setPen(QPen(CROSS, 1, Qt.PenStyle.DotLine))
        painter.drawLine(QPointF(0, cross.y()), QPointF(self.width(), cross.y()))
        painter.drawLine(QPointF(cross.x(), 0), QPointF(cross.x(), self.height()))
        painter.setPen(INK)
        inside = QRectF(self.rect()).adjusted(6, 4, -6, -4)
        middle, high = Qt.AlignmentFlag.AlignVCenter, Qt.AlignmentFlag.AlignHCenter
        sides = {"left": Qt.AlignmentFlag.AlignLeft | middle, "right": Qt.AlignmentFlag.AlignRight | middle}
        sides |= {"top": Qt.AlignmentFlag.AlignTop | high, "bottom": Qt.AlignmentFlag.AlignBottom | high}
        shown = letters(self.plane.axes, "up", "left" if self._mirrored else "right")
        texts = [(alignment, shown[edge]) for edge, alignment in sides.items()]
        texts.append((Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop, PLANES[self.axis]))
        for alignment, text in texts:
            box = painter.boundingRect(inside, alignment, text)
            painter.fillRect(box.adjusted(-2, 0, 2, 0), QColor(0, 0, 0, 170))  # legible over cross and picture
            painter.drawText(inside, alignment, text)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Move the point."""
        self.moved.emit(*self.mm_of(event.position()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Move the point along."""
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.moved.emit(*self.mm_of(event.position()))

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802
        """Walk through the slices."""
        if event.angleDelta().y():
            self.walked.emit(1 if event.angleDelta().y() > 0 else -1)


class Companions(QWidget):
    """Coronal and sagittal slices through the point of the main view.

    Parameters
    ----------
    napari_viewer
        So called, napari hands its viewer over.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.viewer = session_of(napari_viewer).viewer
        self.views = (SliceView(1), SliceView(2))
        self._box = QBoxLayout(QBoxLayout.Direction.TopToBottom, self)
        self._box.setContentsMargins(2, 2, 2, 2)
        self._box.setSpacing(2)
        for view in self.views:
            self._box.addWidget(view, 1)
            view.moved.connect(self._move)
            view.walked.connect(self._walk)
        self._wait = QTimer(self)
        self._wait.setSingleShot(True)
        self._wait.setInterval(WAIT)
        self._wait.timeout.connect(self._paint)
        self.viewer.dims.events.point.connect(self._later)
        self.viewer.layers.events.connect(self._later)
        self.viewer.layers.events.inserted.connect(self._follow)
        for layer in self.viewer.layers:
            layer.events.connect(self._later)
        on_change("radiological", self._later)
        self._later()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Lie side by side where there is more width than height."""
        wide = self.width() > 1.3 * self.height()
        self._box.setDirection(QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom)

    def _follow(self, event: Any) -> None:
        event.value.events.connect(self._later)

    def _later(self, event: Any = None) -> None:
        """Paint soon: something that is shown has changed."""
        if not self._wait.isActive():
            self._wait.start()

    def _paint(self) -> None:
        point = tuple(float(each) for each in self.viewer.dims.point[-3:])
        for view in self.views:
            view.show_slice(list(self.viewer.layers), point)

    def _move(self, down: float, across: float) -> None:
        view = self.sender()
        if isinstance(view, SliceView) and view.plane is not None:
            for axis, mm in zip(view.plane.axes, (down, across), strict=True):
                self.viewer.dims.set_point(axis + self.viewer.dims.ndim - 3, mm)

    def _walk(self, steps: int) -> None:
        view = self.sender()
        if isinstance(view, SliceView) and view.plane is not None:
            axis = view.axis + self.viewer.dims.ndim - 3
            step = float(self.viewer.dims.range[axis].step)
            self.viewer.dims.set_point(axis, self.viewer.dims.point[axis] + steps * step)


def toggle_companions(viewer: Any) -> None:
    """Open the orthogonal views beside the canvas, or close them where they are open."""
    window = session_of(viewer).viewer.window
    for widget in list(window.dock_widgets.values()):
        if isinstance(widget, Companions):
            window.remove_dock_widget(widget)
            return
    dock = window.add_dock_widget(Companions(viewer), name=NAME, area="right")
    main = dock.parent()
    if isinstance(main, QMainWindow):  # in a column of their own, not under the panels
        main.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock, Qt.Orientation.Horizontal)
        main.resizeDocks([dock], [WIDTH], Qt.Orientation.Horizontal)
