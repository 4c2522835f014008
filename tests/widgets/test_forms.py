"""The form is the option classes: every option is there, and every value set in it is the value used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import Field
from pydantic.fields import FieldInfo
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QComboBox, QSpinBox

from napari_myelin.core.errors import UsageError
from napari_myelin.core.options import OptionGroup, Options
from napari_myelin.core.options_file import options_from, preset, preset_names
from napari_myelin.widgets.editors import Whole, Words, bounds_of, editor_of, tooltip_of
from napari_myelin.widgets.train.forms import OptionsForm


def fields() -> Iterator[tuple[str, FieldInfo]]:
    for group, outer in Options.model_fields.items():
        if isinstance(outer.annotation, type) and issubclass(outer.annotation, OptionGroup):
            for key, field in outer.annotation.model_fields.items():
                yield f"{group}.{key}", field


# what an option goes with, where it cannot be set alone
RESIDUAL = {"network": {"generator": "residual"}, "loss": {"distance": "l2"}}
COMPANY = {"network.variance": RESIDUAL, "network.region_head": RESIDUAL}


def another(name: str, field: FieldInfo) -> Any:
    """Another value than the default, from the class alone where it says enough."""
    told = {
        "data.modalities": ("FA", "T1w", "MTR"),
        "data.spacing": 2.5,
        "data.shape": (64, 96, 64),
        "network.patch": 16,
        "training.crop": 32,
        "training.window": 32,
        "training.jitter": 0.25,
        "training.field": 0.25,
        "training.average": 0.5,
        "training.clip": 2.0,
        "loss.lesion_weight": 3.0,
        "demyelination.threshold_value": 0.875,
    }
    default = field.get_default()
    if name in told:
        return told[name]
    if isinstance(default, bool):
        return not default
    if get_origin(field.annotation) is Literal:
        return next(each for each in get_args(field.annotation) if each not in (default, "value"))
    low, high = (bounds_of(field).get(key) for key in ("ge", "le"))
    changed = default * 0.5 if isinstance(default, float) else default + 1
    return changed if high is None or changed <= high else low


@pytest.fixture
def form(qtbot: Any) -> OptionsForm:
    made = OptionsForm(Options())
    qtbot.addWidget(made)
    made.show()
    return made


def test_every_option_has_a_row_with_its_own_words(form: OptionsForm) -> None:
    assert list(form.editors) == [name for name, _ in fields()]
    for name, field in fields():
        editor = form.editors[name]
        assert str(field.description) in editor.toolTip(), name
        if get_origin(field.annotation) is Literal:
            assert isinstance(editor, QComboBox)
            assert [editor.itemText(n) for n in range(editor.count())] == list(get_args(field.annotation))
        if field.annotation is int:
            assert isinstance(editor, QSpinBox)
            assert editor.minimum() == bounds_of(field).get("ge", editor.minimum())
            assert editor.maximum() == bounds_of(field).get("le", editor.maximum())


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_comes_back_from_the_form_as_it_went_in(form: OptionsForm, name: str) -> None:
    form.put(preset(name))
    assert form.options() == preset(name)
    assert form.complaint() == ""


@pytest.mark.parametrize(("name", "field"), list(fields()), ids=[name for name, _ in fields()])
def test_a_value_set_in_the_form_is_the_value_used(form: OptionsForm, qtbot: Any, name: str, field: FieldInfo) -> None:
    value = another(name, field)
    group, key = name.split(".")
    start = options_from(COMPANY.get(name, {}))
    form.put(start)
    before = getattr(getattr(form.options(), group), key)
    assert value != before
    with qtbot.waitSignal(form.changed, timeout=1000):
        form.editors[name].put(value)
    after = getattr(form.options(), group)
    assert getattr(after, key) == value
    assert type(getattr(after, key)) is type(value)
    assert after.model_copy(update={key: before}) == getattr(start, group)  # and nothing else moved


def test_what_is_typed_counts_at_once(form: OptionsForm, qtbot: Any) -> None:
    for name, typed, value in (("training.epochs", "37", 37), ("training.sketcher_rate", "3e-5", 3e-5)):
        editor = form.editors[name]
        editor.selectAll()
        qtbot.keyClicks(editor, typed)
        group, key = name.split(".")
        assert getattr(getattr(form.options(), group), key) == value
    shape = form.editors["data.shape"]
    shape.selectAll()
    qtbot.keyClicks(shape, "32 x 64, 96")
    assert form.options().data.shape == (32, 64, 96)
    shape.clear()
    assert form.options().data.shape is None
    assert shape.placeholderText() == "none"


def test_what_cannot_be_is_said_next_to_it_in_the_engines_words(form: OptionsForm) -> None:
    form.editors["training.refiner_rate"].setText("fast")
    assert (
        form.complaint() == "options: training.refiner_rate must be a valid number, unable to parse string as a "
        "number, got 'fast'"
    )
    problem = form.problems["training.refiner_rate"]
    assert problem.isVisibleTo(form)
    assert problem.text() == "must be a valid number, unable to parse string as a number, got 'fast'"
    assert form.sections["training"].header.isChecked()
    with pytest.raises(UsageError):
        form.options()
    form.editors["training.refiner_rate"].setText("2")
    form.complaint()
    assert problem.text() == "must be less than or equal to 1, got 2.0"
    form.editors["training.refiner_rate"].setText("0.5")
    assert form.complaint() == ""
    assert not problem.isVisibleTo(form)


def test_options_at_odds_with_each_other_are_told_under_the_form(form: OptionsForm) -> None:
    form.editors["network.patch"].put(64)
    assert "must be multiples of 8, 16 or more, and of the discriminator's patch (64)" in form.complaint()
    assert form.problem.isVisibleTo(form)
    form.editors["network.patch"].put(33)
    assert form.complaint().endswith("network.patch must be a multiple of 8, got 33")
    form.editors["network.patch"].put(32)
    form.editors["demyelination.threshold"].put("value")
    form.complaint()
    assert form.problem.text() == 'Demyelination: threshold is "value" but threshold_value is not given'


def test_scrolling_over_the_form_changes_nothing(form: OptionsForm, qtbot: Any) -> None:
    for name in ("training.epochs", "training.select"):
        editor = form.editors[name]
        assert not editor.hasFocus()
        wheel = QWheelEvent(
            QPointF(3, 3),
            QPointF(3, 3),
            QPoint(0, 0),
            QPoint(0, -120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        editor.wheelEvent(wheel)
        assert not wheel.isAccepted()
    assert form.options() == Options()


class Later(OptionGroup):
    """A group that does not exist yet."""

    count: int = Field(4, gt=2, lt=9, multiple_of=2, description="An even count.")
    sizes: tuple[float, ...] | None = Field(None, description="Sizes in mm.")
    name: str = Field("a", description="A name.")


def test_options_of_other_kinds_find_an_editor_by_themselves(qtbot: Any) -> None:
    count, sizes, name = (editor_of(field) for field in Later.model_fields.values())
    assert isinstance(count, Whole)
    assert (count.minimum(), count.maximum(), count.singleStep()) == (3, 8, 2)
    assert tooltip_of(Later.model_fields["count"]) == "<p>An even count.</p><p>Above 2, below 9, a multiple of 2.</p>"
    assert isinstance(sizes, Words)
    assert sizes.given() is None
    sizes.put((1.5, 2.0))
    assert sizes.given() == [1.5, 2.0]
    name.put("b c")
    assert name.given() == "b c"
