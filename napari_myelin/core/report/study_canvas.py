"""What the figures of a study share: colours, look, and the line that says whose data they show."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from napari_myelin.core.evaluation.results import Results
from napari_myelin.core.report.curves import STYLE
from napari_myelin.core.report.study_names import count

# Okabe and Ito 2008: told apart with any colour vision; every use has a second sign too (place, marker, hatch)
BLUE, ORANGE, GREEN, PINK = "#0072b2", "#e69f00", "#009e73", "#cc79a7"
LETTERS = 16  # of 7 points an inch
REGIONS = {"wm": "WM in controls", "nawm": "NAWM", "lesion": "Lesions"}
LOOK: Any = {**STYLE, "font.size": 9, "axes.titlesize": 9, "hatch.linewidth": 0.6}


@dataclass(frozen=True, eq=False)
class StudyFigure:
    """A figure of a study: ``name`` in files, ``title``, and ``caption``: what is shown, of how many, what bars are."""

    name: str
    title: str
    caption: str
    figure: Figure


def whose(results: Results) -> str:
    """Return what every figure says of its subjects: phantom or not, and how many."""
    return f"{'Phantom: simulated subjects' if results.phantom else 'Real subjects'}, {count(results)}"


def signed(figure: Figure, results: Results, bars: str) -> None:
    """Write below a figure whose data it shows and what its bars are, so that it says so wherever it goes."""
    across = int(figure.get_figwidth() * LETTERS)
    text = textwrap.fill(f"{whose(results)}. {bars}", across)
    figure.supxlabel(text, fontsize=7, x=0.01, ha="left", multialignment="left")
