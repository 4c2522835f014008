"""The figures of a study that its results alone suffice for: the paper's 5 to 9, and the correlations."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from napari_myelin.core.evaluation.comparison import Trained
from napari_myelin.core.evaluation.metrics import mean_sd
from napari_myelin.core.evaluation.results import Results
from napari_myelin.core.report.curves import INK
from napari_myelin.core.report.study_agreement import bland_altman, groups, scatter, shares
from napari_myelin.core.report.study_canvas import BLUE, GREEN, LOOK, ORANGE, REGIONS, StudyFigure, signed, whose
from napari_myelin.core.report.study_curves import training_curves
from napari_myelin.core.report.study_names import method_title, trained

ITERATIONS = ("sketcher", "refiner", "refiner2", "refiner3")


def study_figures(results: Results) -> list[StudyFigure]:
    """Return every figure that the results have numbers for."""
    with mpl.rc_context(LOOK):
        rows = trained(results)
        shown = [row for row in rows if results.pairs(*row, "brain")]
        made = [
            _iterations(results),
            groups(results, shown),
            bland_altman(results, shown),
            shares(results, shown),
            _attention(results, shown),
            scatter(results),
            training_curves(results),
        ]
    return [figure for figure in made if figure is not None]


def _iterations(results: Results) -> StudyFigure | None:
    main = results.main
    there = [name for name in ITERATIONS if results.of(name, main, "image", "mse")]
    if len(there) < 2:
        return None
    steps = [ITERATIONS.index(name) for name in there]
    figure = Figure(figsize=(7.2, 3.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    _line(left, steps, [list(results.of(name, main, "image", "mse").values()) for name in there], BLUE, "o", "MSE", 0)
    left.set_title("A. MSE, DVR²")
    for number, (region, title) in enumerate(REGIONS.items()):
        values = [list(results.of(name, main, region, "discrepancy").values()) for name in there]
        if all(values):
            colour, marker = (BLUE, ORANGE, GREEN)[number], "os^"[number]
            _line(right, steps, values, colour, marker, title, 0.06 * (number - 1))
    right.set_title("B. Discrepancy of mean DVR")
    figure.legend(*right.get_legend_handles_labels(), loc="outside upper right", ncols=3, frameon=False, fontsize=8)
    for axes in (left, right):
        axes.set_xticks(steps)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("Refiners after the Sketcher")
    bars = "Points: mean over subjects; bars: standard error of the mean."
    signed(figure, results, bars)
    return StudyFigure("fig5", "Fig. 5. Refinement iterations", f"{whose(results)}. {bars}", figure)


def _line(
    axes: Axes,
    steps: Sequence[int],
    values: Sequence[Sequence[float]],
    colour: str,
    marker: str,
    name: str,
    shift: float,
) -> None:
    spread = [mean_sd(each) for each in values]
    errors = [sd / np.sqrt(number) if number > 1 else 0.0 for _, sd, number in spread]
    where = [step + shift for step in steps]
    axes.errorbar(
        where, [mean for mean, _, _ in spread], errors, color=colour, marker=marker, ms=5, capsize=3, lw=1.2, label=name
    )


def _attention(results: Results, rows: Sequence[Trained]) -> StudyFigure | None:
    rows = [row for row in rows if results.of(*row, "lesion", "attention_loss")]
    if not rows:
        return None
    figure = Figure(figsize=(7.6, 0.34 * len(rows) + 1.4), layout="constrained")
    axes = figure.subplots()
    for shift, metric, colour, marker, name in (
        (-0.16, "attention_loss", BLUE, "o", "own loss"),
        (0.16, "attention_common", ORANGE, "^", "common target (mean DVR of the brain)"),
    ):
        for place, row in enumerate(rows):
            values = list(results.of(*row, "lesion", metric).values())
            axes.plot(values, [place + shift] * len(values), marker, ms=3.5, color=colour, alpha=0.6, mew=0)
            label = name if place == 0 else None
            axes.plot(np.mean(values), place + shift, "|", ms=13, mew=2, color=colour, label=label)
    axes.axvline(1, color=INK, lw=0.7, ls=":")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_yticks(range(len(rows)), [method_title(method) for method, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0.48), max(high, 2.1))  # 0.5, 1 and 2 are marked whatever comes out
    axes.set_xlabel("mean saliency in lesions over NAWM")
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=8)
    bars = "A point is a patient, a bar the mean; dotted: lesions count as much as NAWM."
    signed(figure, results, bars)
    return StudyFigure("fig9b", "Fig. 9 B. Attention in numbers", f"{whose(results)}. {bars}", figure)
