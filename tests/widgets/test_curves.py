"""Curves are where their values are, both stages in colours of their own, and drawing them is short."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytest
from qtpy.QtCore import QPointF, QRectF
from qtpy.QtGui import QColor

from napari_myelin.core.events import Epoch, Started, Step
from napari_myelin.widgets.train.course import TERMS, Course, Curve
from napari_myelin.widgets.train.curves import COLOURS, GAP, HEIGHT, MOST, Curves, Window, thinned, value_range

TRAINING_TERMS = ("discriminator", "balance", "l1", "adversarial", "generator")


def course(epochs: int, steps: int, until: int) -> Course:
    """A course of two stages whose losses fall, with ``until`` epochs done."""
    made = Course()
    made.take(Started(["sketcher", "refiner"], epochs, steps, [f"s{n}" for n in range(steps)], ["v"], "cpu"))
    for done in range(until):
        stage, epoch = ("sketcher", "refiner")[done // epochs], done % epochs + 1
        losses = {name: 1.0 + number + 1 / (done + 1) for number, name in enumerate(TRAINING_TERMS)}
        for step in range(steps):
            made.take(Step(stage, epoch, step + 1, losses, 0.1))
        balance = losses.pop("balance")
        made.take(Epoch(stage, epoch, epochs, losses, balance, {"loss": 0.1, "mse": 0.02}, 1.0, 2.0))
    return made


def colours_of(curves: Curves, height: int) -> set[str]:
    """The colours of the pixels down to a height."""
    picture = curves.grab().toImage()
    return {picture.pixelColor(x, y).name() for x in range(picture.width()) for y in range(height)}


def test_a_point_is_drawn_where_its_value_is() -> None:
    window = Window(10.0, 0.0, 4.0, QRectF(50, 20, 100, 80))
    assert window.at((0.0, 0.0)) == QPointF(50, 100)
    assert window.at((10.0, 4.0)) == QPointF(150, 20)
    assert window.at((2.5, 1.0)) == QPointF(75, 80)


def test_the_axis_spans_the_epochs_and_all_but_the_outermost_steps() -> None:
    steps = [(n / 40, float(n)) for n in range(40)]
    low, high = value_range(Curve(steps, [(1.0, 45.0)]))
    assert (low, high) == (pytest.approx(2 - 0.06 * 43), pytest.approx(45 + 0.06 * 43))
    assert value_range(Curve([], [(1.0, 2.0)])) == (pytest.approx(1.9), pytest.approx(2.1))
    assert value_range(Curve([], [(1.0, 0.0)])) == (-1.0, 1.0)


def test_thinning_keeps_the_last_point() -> None:
    line = [(float(n), 0.0) for n in range(10 * MOST + 7)]
    assert len(thinned(line)) < 1.1 * MOST
    assert thinned(line)[-1] == line[-1]
    assert thinned(line[:MOST]) == line[:MOST]


def test_every_term_has_a_chart_with_both_stages_in_their_colours(qtbot: Any) -> None:
    curves = Curves()
    qtbot.addWidget(curves)
    curves.resize(380, 400)
    curves.show_course(course(3, 2, 5))
    qtbot.waitUntil(lambda: curves.height() == curves.sizeHint().height(), timeout=2000)
    there = {*TRAINING_TERMS, "held-out mse", "held-out loss"}
    assert curves.terms() == [name for name in TERMS if name in there]
    assert len(curves.terms()) == 7
    assert curves.height() > 4 * HEIGHT
    colours = colours_of(curves, curves.height())
    assert {QColor(COLOURS[0]).name(), QColor(COLOURS[1]).name()} <= colours
    assert QColor(COLOURS[2]).name() not in colours  # there is no third stage


def test_the_first_step_is_a_point_since_it_is_no_line_yet(qtbot: Any) -> None:
    curves = Curves()
    qtbot.addWidget(curves)
    curves.resize(380, 400)
    first = Course()
    first.take(Started(["sketcher", "refiner"], 3, 5, ["s1"], ["v"], "cpu"))
    first.take(Step("sketcher", 1, 1, {"l1": 0.9}, 0.1))
    curves.show_course(first)
    qtbot.waitUntil(lambda: curves.height() == HEIGHT + GAP + 20, timeout=2000)
    assert QColor(COLOURS[0]).name() in colours_of(curves, HEIGHT)  # above the legend, which has it too


def test_drawing_the_papers_whole_run_is_short(qtbot: Any) -> None:
    curves = Curves()
    qtbot.addWidget(curves)
    curves.resize(380, 400)
    curves.course = course(400, 16, 800)  # 12 800 steps
    curves.setFixedHeight(curves.sizeHint().height())
    curves.grab()
    took = []
    for _ in range(5):
        began = time.perf_counter()
        curves.grab()
        took.append(time.perf_counter() - began)
    sys.stdout.write(f"drawing 12 800 steps of 7 terms: {1e3 * min(took):.0f} ms\n")
    assert min(took) < 0.1
