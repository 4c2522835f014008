"""Live curves of every term of a training: small charts, each with an axis of its own, light to draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QPointF, QRectF, QSize, Qt, QTimer
from qtpy.QtGui import QColor, QFont, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_myelin.widgets.train.course import TERMS, Course, Curve, Point

COLOURS = ("#3f9bdc", "#e69f00", "#2bb58a", "#d55e9c")  # of the stages; told apart without red and green too
REDRAW = 500  # ms, at least, between two drawings
MOST = 400  # points drawn of a line
HEIGHT, GAP = 92, 10  # px of a chart, between charts
TOP, LEFT, BOTTOM = 18, 48, 14  # px for title, numbers of the axis, epochs


@dataclass(frozen=True)
class Window:
    """What a chart shows: epochs 0 to ``right``, values ``low`` to ``high``, in a rectangle of pixels."""

    right: float
    low: float
    high: float
    area: QRectF

    def at(self, point: Point) -> QPointF:
        """Return the pixel of a point."""
        x = self.area.left() + point[0] / self.right * self.area.width()
        y = self.area.bottom() - (point[1] - self.low) / (self.high - self.low) * self.area.height()
        return QPointF(x, y)


class Curves(QWidget):
    """Charts of a run's terms, two in a row; the stages follow one another from left to right.

    A thin line is the single steps, a strong one the epochs' means. Pointing at an epoch shows its values.
    """

    def __init__(self) -> None:
        super().__init__()
        self.course = Course()
        self.setMouseTracking(True)
        self.setAccessibleName("Loss curves")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._pointed: float | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REDRAW)
        self._timer.timeout.connect(self._redraw)

    def show_course(self, course: Course) -> None:
        """Draw a course, soon: calls that come faster than `REDRAW` are drawn once."""
        self.course = course
        if not self._timer.isActive():
            self._timer.start()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return room for two charts in a row."""
        rows = -(-len(self.terms()) // 2)
        return QSize(320, rows * (HEIGHT + GAP) + 20 if rows else 0)

    def terms(self) -> list[str]:
        """Return the terms that have values: the known ones first."""
        there = {name: curve for name, curve in self.course.curves.items() if curve.epochs or curve.steps}
        return [*(name for name in TERMS if name in there), *(name for name in there if name not in TERMS)]

    def _redraw(self) -> None:
        self.setFixedHeight(self.sizeHint().height())
        self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Point at an epoch."""
        width = self._width()
        inside = (event.position().x() % (width + GAP)) - LEFT
        share = inside / (width - LEFT)
        self._pointed = share * self._right() if 0 <= share <= 1 else None
        self.update()

    def leaveEvent(self, event: object) -> None:  # noqa: N802
        """Point at nothing."""
        self._pointed = None
        self.update()

    def _width(self) -> float:
        return (self.width() - GAP) / 2

    def _right(self) -> float:
        """Epochs that the charts reach to: a little more than there are, so that a long run does not begin as a dot."""
        last = max(
            (line[-1][0] for c in self.course.curves.values() for line in (c.steps, c.epochs) if line), default=1.0
        )
        return min(float(self.course.total or last), float(max(1, math.ceil(last * 1.25))))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw the charts and the legend of the stages."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = QFont(self.font())
        font.setPixelSize(11)
        painter.setFont(font)
        right, width = self._right(), self._width()
        for number, name in enumerate(self.terms()):
            row, column = divmod(number, 2)
            place = QRectF(column * (width + GAP), row * (HEIGHT + GAP), width, HEIGHT)
            self._chart(painter, place, name, self.course.curves[name], right)
        self._legend(painter)
        painter.end()

    def _chart(self, painter: QPainter, place: QRectF, name: str, curve: Curve, right: float) -> None:
        ink = self.palette().text().color()
        faint = QColor(ink)
        faint.setAlpha(70)
        area = place.adjusted(LEFT, TOP, -4, -BOTTOM)
        window = Window(right, *value_range(curve), area)
        painter.setPen(ink)
        title = QRectF(place.left(), place.top(), place.width(), TOP)
        painter.drawText(title, Qt.AlignmentFlag.AlignLeft, TERMS.get(name, name))
        painter.drawText(title, Qt.AlignmentFlag.AlignRight, self._value(curve))
        soft = QColor(ink)
        soft.setAlpha(170)
        painter.setPen(soft)
        numbers = QRectF(place.left(), area.top() - 4, LEFT - 5, area.height() + 8)
        painter.drawText(numbers, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop, short(window.high))
        painter.drawText(numbers, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom, short(window.low))
        under = QRectF(area.left(), area.bottom() + 1, area.width(), BOTTOM)
        painter.drawText(under, Qt.AlignmentFlag.AlignLeft, "0")
        painter.drawText(under, Qt.AlignmentFlag.AlignRight, f"epoch {right:.0f}")
        painter.setPen(QPen(faint, 1))
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        painter.drawLine(area.topLeft(), area.bottomLeft())
        painter.save()
        painter.setClipRect(area.adjusted(-2, -2, 3, 2))
        epochs = self.course.started.epochs if self.course.started else 1
        for stage in range(len(self.course.started.stages) if self.course.started else 1):
            self._stage(painter, window, curve, stage, epochs)
        if self._pointed is not None:
            painter.setPen(QPen(soft, 1, Qt.PenStyle.DashLine))
            x = window.at((self._pointed, window.low)).x()
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
        painter.restore()

    def _stage(self, painter: QPainter, window: Window, curve: Curve, stage: int, epochs: int) -> None:
        colour = QColor(COLOURS[stage % len(COLOURS)])
        thin = QColor(colour)
        thin.setAlpha(110)
        for line, pen in ((curve.steps, QPen(thin, 1)), (curve.epochs, QPen(colour, 2))):
            own = [point for point in thinned(line) if stage * epochs < point[0] <= (stage + 1) * epochs]
            painter.setPen(pen)
            pixels = [window.at(point) for point in own]
            painter.drawPolyline(QPolygonF(pixels))
            if len(own) == 1 or (line is curve.epochs and len(own) <= 20):  # no line, or few enough to be told apart
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(colour)
                for pixel in pixels:
                    painter.drawEllipse(pixel, 2.5, 2.5)
                painter.setBrush(Qt.BrushStyle.NoBrush)

    def _value(self, curve: Curve) -> str:
        line = curve.epochs or curve.steps
        if self._pointed is None:
            return short(line[-1][1])
        when, value = min(line, key=lambda point: abs(point[0] - (self._pointed or 0.0)))
        return f"{when:.3g}: {short(value)}"

    def _legend(self, painter: QPainter) -> None:
        if self.course.started is None or not self.course.curves:
            return
        x, y = float(LEFT), self.height() - 6.0
        for number, stage in enumerate(self.course.started.stages):
            painter.setPen(QPen(QColor(COLOURS[number % len(COLOURS)]), 3))
            painter.drawLine(QPointF(x, y - 4), QPointF(x + 14, y - 4))
            painter.setPen(self.palette().text().color())
            painter.drawText(QPointF(x + 19, y), stage)
            x += 34 + painter.fontMetrics().horizontalAdvance(stage)


def value_range(curve: Curve) -> tuple[float, float]:
    """Return what a chart's axis spans: every epoch, and the steps but for the outermost twentieths."""
    steps = sorted(value for _, value in thinned(curve.steps))
    cut = len(steps) // 20
    values = [*(value for _, value in curve.epochs), *steps[cut : len(steps) - cut]]
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def thinned(line: Sequence[Point]) -> Sequence[Point]:
    """Return at most about `MOST` points of a line, the last one among them."""
    step = max(1, len(line) // MOST)
    return line if step == 1 else [*line[::step], line[-1]]


def short(value: float) -> str:
    """Return a number in four digits or fewer."""
    return f"{value:.3g}"
