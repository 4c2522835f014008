"""Curves and scatter plots as inline SVG that takes the page's text colour."""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import StringIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napari_myelin.core.evaluation.table import Evaluation
from napari_myelin.core.events import Epoch, Event

INK = "#010203"  # replaced by the page's own colour
COLOURS = {
    "l1": "#1f77b4",
    "held-out": "#d6522c",
    "adversarial": "#2a9d5c",
    "discriminator": "#9467bd",
    "D right": "#b8860b",
}
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "napari-myelin",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def loss_curves(events: Sequence[Event]) -> list[tuple[str, str]]:
    """Return for each stage its name and an SVG of every loss term over the epochs; empty without an epoch."""
    epochs = [event for event in events if isinstance(event, Epoch)]
    pictures = []
    for stage in dict.fromkeys(event.stage for event in epochs):
        own = [event for event in epochs if event.stage == stage]
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=(5.2, 3.6), layout="constrained")
            upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
            _terms(upper, lower, own)
            lower.set_xlabel("epoch")
            pictures.append((stage, to_svg(figure)))
    return pictures


def _terms(upper: Axes, lower: Axes, epochs: Sequence[Epoch]) -> None:
    numbers = [event.epoch for event in epochs]
    term = "l2" if "l2" in epochs[0].losses else "l1"
    upper.plot(numbers, [event.losses[term] for event in epochs], color=COLOURS["l1"])
    held = [event for event in epochs if event.validation]
    if held:
        twin = upper.twinx()
        twin.spines["right"].set_visible(True)
        values = [event.validation["mse"] for event in held]
        twin.plot([event.epoch for event in held], values, "o-", ms=3, color=COLOURS["held-out"])
        twin.set_ylim(bottom=0)
        twin.set_ylabel("held-out MSE, DVR²", color=COLOURS["held-out"])
    upper.set_ylim(bottom=0)
    name = {"l1": "L1, training", "l2": "squared error, training"}[term]
    upper.set_ylabel(f"{name} (z-score)", color=COLOURS["l1"])
    if "adversarial" not in epochs[0].losses:
        lower.set_visible(False)
        return
    for name in ("adversarial", "discriminator"):
        lower.plot(numbers, [event.losses[name] for event in epochs], color=COLOURS[name], label=f"{name} loss")
    lower.plot(
        numbers, [event.balance or 0.0 for event in epochs], "--", color=COLOURS["D right"], label="D right (share)"
    )
    lower.set_ylim(bottom=0)
    lower.legend(frameon=False, fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.3))


def lesion_scatter(evaluation: Evaluation, method: str) -> str | None:
    """Return an SVG of each lesion's mean DVR, measured against predicted; None with fewer than two lesions."""
    pairs = np.array([pair for score in evaluation.scores if score.method == method for pair in score.lesions])
    if len(pairs) < 2:
        return None
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.8, 3.6), layout="constrained")
        axes = figure.subplots()
        margin = 0.06 * float(np.ptp(pairs)) or 0.03
        low, high = float(pairs.min()) - margin, float(pairs.max()) + margin
        axes.plot([low, high], [low, high], "--", lw=0.8, color=INK)
        axes.plot(pairs[:, 0], pairs[:, 1], "o", ms=4, alpha=0.7, color=COLOURS["l1"], mew=0)
        axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        axes.set_xlabel("measured mean DVR of a lesion")
        axes.set_ylabel("predicted")
        return to_svg(figure)


def to_svg(figure: Figure) -> str:
    """Return a figure as SVG without a date, the same every time, its ink the page's text colour."""
    buffer = StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue().replace(INK, "currentColor")
    return re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
