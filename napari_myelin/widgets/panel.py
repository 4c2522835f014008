"""What every panel is made of: a scrolling column of parts and a line that says how it stands."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QFrame, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from napari_myelin.core.events import Failed
from napari_myelin.widgets.closing import guard
from napari_myelin.widgets.docking import join_tabs
from napari_myelin.widgets.session import session_of
from napari_myelin.widgets.styles import inks
from napari_myelin.widgets.words import in_panel_words, notify

RESEARCH = "Research software, not a medical device."
WIDTH = 400  # px
KIND = "saysKind"  # property of a widget that the panel's style sheet colours by
# of marks in tables: 3 to 1 and more on napari's dark and light theme alike
COLOURS = {"good": "#2b9455", "problem": "#e5534b"}


class Column(QScrollArea):
    """Scrolls up and down only, and is never narrower than what is inside."""

    def __init__(self, inside: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(inside)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return the width of the parts with a scroll bar beside them."""
        inside = self.widget()
        width = 0 if inside is None else inside.minimumSizeHint().width()
        return QSize(width + self.verticalScrollBar().sizeHint().width(), 120)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return a width that a form reads well in."""
        return QSize(max(WIDTH, self.minimumSizeHint().width()), super().sizeHint().height())

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Follow the parts when they become wider."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)


class Panel(QWidget):
    """A dock widget: parts in a column, a message under them.

    Parameters
    ----------
    viewer
        napari's.
    """

    name = "panel"  # key of its form in the session's memory
    _theme = ""  # whose colours it has

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.viewer = viewer
        self.session = session_of(viewer)
        self._placing = QTimer(self)  # the panel's own, so that it ends with it; napari is still placing the dock
        self._placing.setSingleShot(True)
        self._placing.timeout.connect(lambda: join_tabs(self))
        inside = QWidget()
        self.column = QVBoxLayout(inside)
        self.column.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.message.hide()
        whole = QVBoxLayout(self)
        whole.setContentsMargins(4, 4, 4, 4)
        whole.addWidget(Column(inside), 1)
        whole.addWidget(self.message)
        self._follow_theme()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Write sentences in colours that can be read where the window has taken another theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange:
            self._follow_theme()

    def _follow_theme(self) -> None:
        if self._theme != self.viewer.theme:
            self._theme = self.viewer.theme
            rules = (f'*[{KIND}="{kind}"] {{ color: {ink}; }}' for kind, ink in inks(self._theme).items())
            self.setStyleSheet("\n".join(rules))

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """See to it that the panel has room, and that the window does not close upon running work."""
        super().showEvent(event)
        guard(self, self.session)
        self._placing.start()

    @property
    def memory(self) -> dict[str, Any]:
        """Values of the panel's form that outlive it."""
        return self.session.memory.setdefault(self.name, {})

    def say(self, text: str, kind: str = "note") -> None:
        """Show a sentence under the panel: ``note``, ``good`` or ``problem``; an empty one hides the line."""
        self.message.setText(text)
        tint(self.message, kind)
        self.message.setVisible(bool(text))

    def fail(self, failed: Failed) -> None:
        """Show why something could not be done, here and as a notification."""
        self.say(in_panel_words(failed.sentence), "problem")
        notify(failed)


def wrapping_label() -> QLabel:
    """Return an empty label for sentences, which wraps them and lets its panel be narrow."""
    label = QLabel()
    label.setWordWrap(True)
    label.setMinimumWidth(80)
    return label


def tint(widget: QWidget, kind: str) -> None:
    """Colour a widget's text by what it says: ``note`` (as the theme has it), ``good``, ``problem`` or ``caution``."""
    if widget.property(KIND) != kind:  # to polish it lays the whole panel out again
        widget.setProperty(KIND, kind)
        widget.style().unpolish(widget)
        widget.style().polish(widget)


def allow(button: QPushButton, reason: str, tooltip: str) -> None:
    """Enable a button where there is no reason against it, else disable it and let it say why.

    Parameters
    ----------
    button
        Its tooltip becomes ``tooltip``, or the reason.
    reason
        Why it cannot be pressed now; empty where it can.
    tooltip
        What it does.
    """
    button.setEnabled(not reason)
    button.setToolTip(f"{tooltip}\n\nNot now: {reason}." if reason else tooltip)
