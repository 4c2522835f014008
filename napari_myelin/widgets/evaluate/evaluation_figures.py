"""An evaluation as pictures: box plots of a measure, and Bland and Altman's; a click on a point picks its subject."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_myelin.core.evaluation.score import SMALLEST
from napari_myelin.core.evaluation.statistics import limits_of_agreement
from napari_myelin.widgets.evaluate.evaluation_job import Evaluated

# Okabe and Ito's: told apart whatever colours one sees, on dark and on light
COLOURS = {"predicted": "#56b4e9", "sketch": "#e69f00", "linear": "#009e73", "noise-free": "#999999"}
PAIRS = {
    "lesions": "mean DVR of each lesion",
    "patients": "mean DVR of a patient's lesions",
    "shares": "demyelinated share of a patient's lesions",
}
VALUES = {"patients": ("lesion_dvr_true", "lesion_dvr_predicted"), "shares": ("share_true", "share_predicted")}
REACH = 6  # px around a point that a click may miss it by


class Picture(QWidget):
    """A matplotlib canvas in the window's colours.

    Signals: ``picked`` with the key of the subject whose point was clicked.
    """

    picked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        self.figure = Figure(layout="constrained")
        self.canvas = FigureCanvasQTAgg(self.figure)
        self.canvas.setMinimumHeight(300)
        self.keys: dict[Any, list[str]] = {}
        self.canvas.mpl_connect("pick_event", self._pick)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.canvas)

    def begin(self, ink: str, paper: str) -> Any:
        """Clear the figure and return its axes, drawn in ``ink`` on ``paper`` (colours)."""
        self.figure.clear()
        self.keys.clear()
        self.figure.set_facecolor(paper)
        axes = self.figure.subplots()
        axes.set_facecolor(paper)
        axes.tick_params(colors=ink, labelsize=8)
        for name, spine in axes.spines.items():
            spine.set_color(ink)
            spine.set_visible(name in ("left", "bottom"))
        for each in (axes.xaxis.label, axes.yaxis.label):
            each.set_color(ink)
            each.set_fontsize(9)
        return axes

    def points(self, axes: Any, x: Any, y: Any, keys: list[str], colour: str, edge: str) -> None:
        """Draw points that can be clicked, each a subject's."""
        drawn = axes.scatter(x, y, s=22, c=colour, edgecolors=edge, linewidths=0.5, picker=True, zorder=3)
        drawn.set_pickradius(REACH)
        self.keys[drawn] = keys

    def _pick(self, event: Any) -> None:
        keys = self.keys.get(event.artist)
        if keys is not None and len(event.ind):
            self.picked.emit(keys[int(event.ind[0])])


def draw_boxes(picture: Picture, done: Evaluated, measure: str, ink: str, paper: str) -> None:
    """Draw a box of every method for one measure, with each subject's point."""
    axes = picture.begin(ink, paper)
    methods, boxes, keys = [], [], []
    for method in done.evaluation.methods:
        scores = [s for s in done.evaluation.scores if s.method == method and math.isfinite(s.values[measure])]
        if scores:
            methods.append(method)
            boxes.append([score.values[measure] for score in scores])
            keys.append([score.subject for score in scores])
    if boxes:
        line = {"color": ink, "linewidth": 1}
        axes.boxplot(
            boxes, widths=0.5, showfliers=False, boxprops=line, whiskerprops=line, capprops=line, medianprops=line
        )
    for place, (method, values, names) in enumerate(zip(methods, boxes, keys, strict=True), start=1):
        # side by side in the order of their values, the same each time
        shift = np.linspace(-0.15, 0.15, len(values)) if len(values) > 1 else np.zeros(1)
        order = np.argsort(np.argsort(names))
        picture.points(axes, place + shift[order], values, names, COLOURS.get(method, "#cc79a7"), ink)
    axes.set_xticks(range(1, len(methods) + 1), [done.short(method) for method in methods])
    axes.set_ylabel(done.columns[measure])
    count = max((len(values) for values in boxes), default=0)
    axes.set_title(f"n = {count} subjects{', phantom' if done.phantom else ''}", fontsize=9, color=ink)
    picture.canvas.draw_idle()


def pairs_of(done: Evaluated, method: str, what: str) -> tuple[list[float], list[float], list[str]]:
    """Return measured and predicted values and whose they are; ``what`` is a key of `PAIRS`."""
    true: list[float] = []
    predicted: list[float] = []
    keys: list[str] = []
    for score in done.evaluation.scores:
        if score.method != method:
            continue
        found = score.lesions if what == "lesions" else [tuple(score.values[name] for name in VALUES[what])]
        for pair in found:
            if all(math.isfinite(value) for value in pair):
                true.append(pair[0])
                predicted.append(pair[1])
                keys.append(score.subject)
    return true, predicted, keys


def draw_agreement(picture: Picture, done: Evaluated, method: str, what: str, ink: str, paper: str) -> None:
    """Draw Bland and Altman's plot: the difference of each pair over its mean, with bias and limits of agreement."""
    axes = picture.begin(ink, paper)
    true, predicted, keys = pairs_of(done, method, what)
    limits = limits_of_agreement(true, predicted)
    if keys:
        picture.points(axes, limits.means, limits.differences, keys, COLOURS.get(method, "#cc79a7"), ink)
    for value, style in ((limits.bias, "-"), (limits.low, "--"), (limits.high, "--")):
        if math.isfinite(value):
            axes.axhline(value, color=ink, linestyle=style, linewidth=0.9)
            axes.annotate(
                f"{value:+.3f}",
                (1, value),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="bottom",
                fontsize=8,
                color=ink,
            )
    axes.set_xlabel(f"mean of measured and predicted: {PAIRS[what].split(' of ')[0]}")
    axes.set_ylabel(f"predicted - measured{'' if what == 'shares' else ', DVR'}")
    of = f"{len(keys)} lesions of {len(set(keys))} patients" if what == "lesions" else f"{len(keys)} patients"
    # a line of its own: a panel is narrow
    above = f"\n(lesions above {SMALLEST:.0f} mm³)" if what == "lesions" else ""
    axes.set_title(f"n = {of}{', phantom' if done.phantom else ''}{above}", fontsize=9, color=ink)
    picture.canvas.draw_idle()
