"""A form made from the option classes, and options made from the form: nothing about an option is typed here."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from napari_myelin.core.errors import UsageError
from napari_myelin.core.options import OptionGroup, Options
from napari_myelin.core.options_file import checked, findings, options_from
from napari_myelin.widgets.editors import Editor, editor_of, label_of, tooltip_of
from napari_myelin.widgets.panel import tint


class Section(QWidget):
    """A headline that folds what is under it.

    Parameters
    ----------
    title
        The headline.
    inside
        What is folded.
    opened
        Whether it starts unfolded.
    """

    def __init__(self, title: str, inside: QWidget, opened: bool = False) -> None:
        super().__init__()
        self.inside = inside
        self.header = QToolButton()
        self.header.setText(title)
        self.header.setCheckable(True)
        self.header.setAutoRaise(True)
        self.header.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.header.setStyleSheet("QToolButton { background: transparent; border: none; font-weight: bold; }")
        self.header.toggled.connect(self._fold)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.header)
        column.addWidget(inside)
        self.open(opened)

    def open(self, opened: bool) -> None:
        """Unfold, or fold."""
        self.header.setChecked(opened)
        self._fold(opened)

    def _fold(self, opened: bool) -> None:
        self.header.setArrowType(Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow)
        self.inside.setVisible(opened)


class GroupsForm(QWidget):
    """Every option of a class of option groups, a foldable section for each group.

    Parameters
    ----------
    options
        Values to begin with; their class says what there is.
    opened
        Name of the group that begins unfolded.
    """

    changed = Signal()

    def __init__(self, options: OptionGroup, opened: str = "") -> None:
        super().__init__()
        self.kind = type(options)
        self.editors: dict[str, Editor] = {}
        self.problems: dict[str, QLabel] = {}
        self.sections: dict[str, Section] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        for name, field in self.kind.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, OptionGroup):
                section = self.sections[name] = Section(label_of(name), self._group(name, kind), name == opened)
                section.header.setToolTip((kind.__doc__ or "").strip())
                column.addWidget(section)
        self.problem = _problem()
        column.addWidget(self.problem)
        self.put(options)

    def _group(self, name: str, kind: type[OptionGroup]) -> QWidget:
        inside = QWidget()
        rows = QFormLayout(inside)
        rows.setContentsMargins(14, 0, 0, 6)
        rows.setVerticalSpacing(2)
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for key, field in kind.model_fields.items():
            editor = self.editors[f"{name}.{key}"] = editor_of(field)
            problem = self.problems[f"{name}.{key}"] = _problem()
            label = QLabel(label_of(key))
            for each in (editor, label):
                each.setToolTip(tooltip_of(field))
            editor.setAccessibleName(label.text())
            editor.setMinimumWidth(60)
            editor.edited.connect(self._edited)
            cell = QVBoxLayout()
            cell.setSpacing(0)
            cell.addWidget(editor)
            cell.addWidget(problem)
            rows.addRow(label, cell)
        return inside

    def put(self, options: Any) -> None:
        """Show options; ``changed`` is said once."""
        self.blockSignals(True)
        for name, editor in self.editors.items():
            group, key = name.split(".")
            editor.put(getattr(getattr(options, group), key))
        self.blockSignals(False)
        self._edited()

    def given(self) -> dict[str, Any]:
        """Return what stands in the form by ``group.option``, unchecked: what is remembered of it."""
        return {name: editor.given() for name, editor in self.editors.items()}

    def put_given(self, values: dict[str, Any]) -> None:
        """Show what was remembered; names that are no options any more are passed over."""
        for name, value in values.items():
            if name in self.editors:
                self.editors[name].put(value)

    def table(self) -> dict[str, dict[str, Any]]:
        """Return the values in the form by group and option, unchecked."""
        table: dict[str, dict[str, Any]] = {}
        for name, value in self.given().items():
            group, key = name.split(".")
            table.setdefault(group, {})[key] = value
        return table

    def options(self) -> Any:
        """Return the options that the form shows.

        Raises
        ------
        UsageError
            In the engine's words, if one of them cannot be.
        """
        return checked(self.kind, self.table())

    def complaint(self) -> str:
        """Show what cannot be next to the option it is about, and return all of it; empty where all is well."""
        for problem in (self.problem, *self.problems.values()):
            problem.hide()
        try:
            self.options()
        except UsageError as error:
            cause = error.__cause__
            for name, sentence in findings(cause) if isinstance(cause, ValidationError) else [("", str(error))]:
                option = ".".join(name.split(".")[:2])  # of a tuple, the finding names the item as well
                problem = self.problems.get(option, self.problem)
                problem.setText(
                    sentence if problem is not self.problem else f"{label_of(name)}: {sentence}".strip(": ")
                )
                problem.show()
                if option in self.problems:
                    self.sections[option.split(".")[0]].open(True)
            return str(error)
        return ""

    def _edited(self) -> None:
        if not self.signalsBlocked():
            self.changed.emit()


class OptionsForm(GroupsForm):
    """Every option of a training.

    Parameters
    ----------
    options, opened
        As for `GroupsForm`.
    """

    def __init__(self, options: Options, opened: str = "") -> None:
        self.preset = options.preset
        super().__init__(options, opened)

    def put(self, options: Options) -> None:
        """Show options; ``changed`` is said once."""
        self.preset = options.preset
        super().put(options)

    def options(self) -> Options:
        """Return the options that the form shows.

        Raises
        ------
        UsageError
            In the engine's words, if one of them cannot be.
        """
        return options_from(self.table(), Options(preset=self.preset))


def _problem() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    tint(label, "problem")
    label.hide()
    return label
