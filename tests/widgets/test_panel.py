"""What a panel says can be read, whichever theme the window has and takes."""

from __future__ import annotations

from typing import Any

import pytest
from napari.utils.theme import get_theme
from qtpy.QtGui import QColor

from napari_myelin.core.data.check import Finding
from napari_myelin.widgets.panel import COLOURS, Panel, tint
from napari_myelin.widgets.predict.suitability_line import SuitabilityLine
from napari_myelin.widgets.session import session_of
from napari_myelin.widgets.styles import inks


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.1, relative luminance)."""

    def luminance(colour: str) -> float:
        parts = [part / 255 for part in QColor(colour).getRgb()[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_colour_is_read_on_the_theme_it_is_for(theme: str) -> None:
    paper = get_theme(theme).background.as_hex()
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert set(inks(theme)) == {"good", "problem", "caution"}
    for ink in inks(theme).values():
        assert contrast(ink, paper) >= 4.5
    for mark in COLOURS.values():  # one colour for both
        assert contrast(mark, paper) >= 3


def test_sentences_take_the_colours_of_a_new_theme(viewer: Any, qtbot: Any) -> None:
    panel = Panel(viewer)
    line = SuitabilityLine(session_of(viewer))
    panel.column.addWidget(line)
    viewer.window.add_dock_widget(panel, name="panel")

    def colour() -> str:
        panel.message.ensurePolished()
        return panel.message.palette().windowText().color().name()

    panel.say("the disk is full", "problem")
    line._take([Finding("warning", "it is younger"), Finding("error", "it has no FA map")])
    for theme in ("dark", "light", "dark"):
        viewer.theme = theme
        assert colour() == inks(theme)["problem"]
        assert f'color: {inks(theme)["caution"]};">It is younger.' in line.text()
        assert f'color: {inks(theme)["problem"]};">It has no FA map.' in line.text()
    panel.say("Saved.", "good")
    assert colour() == inks("dark")["good"]
    tint(panel.message, "note")  # as the theme has it
    assert colour() not in inks("dark").values()
