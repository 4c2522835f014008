"""What one option is edited with, and what its class says about it: help, bounds, choices."""

from __future__ import annotations

import re
import types
from collections.abc import Callable
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QCheckBox, QComboBox, QLineEdit, QSpinBox

SYMBOLS = {"t_star": "t*", "k2_prime": "k2'"}  # as the field writes them
LARGEST = 2**31 - 1  # a spin box holds no larger number


class Switch(QCheckBox):
    """Yes or no."""

    edited = Signal()

    def __init__(self, field: FieldInfo) -> None:
        super().__init__()
        self.toggled.connect(lambda checked: self.edited.emit())

    def given(self) -> bool:
        """Return the value in the form."""
        return self.isChecked()

    def put(self, value: Any) -> None:
        """Put a value into the form."""
        self.setChecked(bool(value))


class Choice(QComboBox):
    """One of a few words."""

    edited = Signal()

    def __init__(self, field: FieldInfo) -> None:
        super().__init__()
        self.addItems([str(each) for each in get_args(field.annotation)])
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.currentIndexChanged.connect(lambda index: self.edited.emit())

    def given(self) -> str:
        """Return the value in the form."""
        return self.currentText()

    def put(self, value: Any) -> None:
        """Put a value into the form."""
        self.setCurrentText(str(value))

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802
        """Scroll the panel, not the value, unless the value has the focus."""
        super().wheelEvent(event) if self.hasFocus() else event.ignore()


class Whole(QSpinBox):
    """A whole number within the option's bounds."""

    edited = Signal()

    def __init__(self, field: FieldInfo) -> None:
        super().__init__()
        bounds = bounds_of(field)
        low = bounds.get("ge", bounds.get("gt", -LARGEST - 1) + ("gt" in bounds))
        high = min(LARGEST, bounds.get("le", bounds.get("lt", LARGEST + 1) - 1))
        self.setRange(int(low), int(high))
        self.setSingleStep(int(bounds.get("multiple_of", 1)))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.valueChanged.connect(lambda value: self.edited.emit())

    def given(self) -> int:
        """Return the value in the form."""
        self.interpretText()  # what was typed counts, also before the cursor leaves the field
        return self.value()

    def put(self, value: Any) -> None:
        """Put a value into the form."""
        self.setValue(int(value))

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802
        """Scroll the panel, not the value, unless the value has the focus."""
        super().wheelEvent(event) if self.hasFocus() else event.ignore()


class Words(QLineEdit):
    """Whatever is written down: a number, several, names; nothing where the option may be none."""

    edited = Signal()

    def __init__(self, field: FieldInfo) -> None:
        super().__init__()
        kind = field.annotation
        parts = [each for each in get_args(kind) if each is not type(None)]
        self.optional = get_origin(kind) in (Union, types.UnionType) and len(parts) < len(get_args(kind))
        if self.optional:
            (kind,) = parts
            self.setPlaceholderText("none")
        self.several = get_origin(kind) is tuple
        self.item: Any = get_args(kind)[0] if self.several else kind
        self.textChanged.connect(lambda text: self.edited.emit())

    def given(self) -> Any:
        """Return the value in the form; what is no number stays text, so that the option class can refuse it."""
        text = self.text().strip()
        if self.optional and text.lower() in ("", "none"):
            return None
        if self.several:
            separators = r"[\s,]+" if self.item is str else r"[\s,x\u00d7]+"
            return [_number(word, self.item) for word in re.split(separators, text) if word]
        return _number(text, self.item)

    def put(self, value: Any) -> None:
        """Put a value into the form."""
        several = isinstance(value, tuple | list)
        self.setText("" if value is None else " ".join(str(each) for each in value) if several else str(value))


Editor = Switch | Choice | Whole | Words


def _number(text: str, kind: Any) -> Any:
    try:
        return kind(text)
    except ValueError:
        return text


def editor_of(field: FieldInfo) -> Editor:
    """Return what a value of an option is edited with."""
    if get_origin(field.annotation) is Literal:
        return Choice(field)
    made: dict[Any, Callable[[FieldInfo], Editor]] = {bool: Switch, int: Whole}
    return made.get(field.annotation, Words)(field)


def bounds_of(field: FieldInfo) -> dict[str, float]:
    """Return an option's bounds as its class has them: ``ge``, ``gt``, ``le``, ``lt``, ``multiple_of``."""
    names = ("ge", "gt", "le", "lt", "multiple_of")
    return {name: getattr(rule, name) for rule in field.metadata for name in names if hasattr(rule, name)}


def tooltip_of(field: FieldInfo) -> str:
    """Return an option's help and its bounds in words."""
    said = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "multiple_of": "a multiple of"}
    bounds = ", ".join(f"{said[name]} {value:g}" for name, value in bounds_of(field).items() if value < LARGEST)
    return f"<p>{field.description}</p>" + (f"<p>{bounds.capitalize()}.</p>" if bounds else "")


def label_of(name: str) -> str:
    """Return an option's or a group's name as a form shows it."""
    if name in SYMBOLS:
        return SYMBOLS[name]
    text = name.replace("_", " ").replace("l1", "L1")
    text = re.sub(r"\b(mtr|dti|dvr|dwi|pet)\b", lambda word: word[0].upper(), text)
    return text[:1].upper() + text[1:]
