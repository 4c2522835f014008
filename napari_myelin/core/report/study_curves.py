"""Training curves of a study, from the facts beside its results, so that a reader sees whether they flattened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from napari_myelin.core.evaluation.results import Results
from napari_myelin.core.report.curves import INK
from napari_myelin.core.report.study_canvas import BLUE, ORANGE, StudyFigure, signed, whose
from napari_myelin.core.report.study_names import inputs_title, method_title

ACROSS = 3  # panels in a row


def training_curves(results: Results) -> StudyFigure | None:
    """Return every run's reconstruction term over the epochs of its stages, in training and held out; None without."""
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for about in results.facts.get("training", {}).values():
        if about.get("curves"):
            runs.setdefault((list(about["seconds"])[-1], about["inputs"]), []).append(about["curves"])
    if not runs:
        return None
    across = min(ACROSS, len(runs))
    down = -(-len(runs) // across)
    figure = Figure(figsize=(2.7 * across + 0.4, 2.0 * down + 0.9), layout="constrained")
    panels = list(figure.subplots(down, across, squeeze=False).ravel())
    for panel in panels[len(runs) :]:
        panel.axis("off")
    for panel, ((method, inputs), folds) in zip(panels, runs.items(), strict=False):
        for stages in folds:
            _draw(panel, list(stages.values()))
        panel.set_title(f"{method_title(method)}, {inputs_title(inputs)}", fontsize=8)
        panel.set_ylim(bottom=0)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.set_xlabel("epoch", fontsize=8)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=2, frameon=False)
    bars = (
        "A line is one fold's run: the term of the loss that holds predicted against measured DVR (L1, or squared "
        "errors), of z-scores; dotted: the next stage begins."
    )
    signed(figure, results, bars)
    return StudyFigure("fig11", "Fig. 11. Training curves", f"{whose(results)}. {bars}", figure)


def _draw(panel: Axes, stages: Sequence[dict[str, Any]]) -> None:
    first, end = not panel.lines, 0
    trained: list[float] = []
    held: list[tuple[int, float]] = []
    for stage in stages:
        trained += stage["training"]
        held += [(end + epoch, value) for epoch, value in stage["held_out"]]
        end += len(stage["training"])
        if stage is not stages[-1]:
            panel.axvline(end + 0.5, color=INK, lw=0.6, ls=":")
    label = "training" if first else None
    numbers = range(1, len(trained) + 1)
    panel.plot(numbers, trained, color=BLUE, marker="" if trained[1:] else ".", lw=0.9, alpha=0.8, label=label)
    if held:
        label = "held out" if first else None
        panel.plot(*zip(*held, strict=True), "--", color=ORANGE, marker=".", ms=4, lw=0.9, alpha=0.9, label=label)


def falls(losses: Sequence[float]) -> float | None:
    """Return by which share the training loss still fell: mean of the last quarter of epochs against that before.

    Near 0 where the curve has flattened; None with fewer than four epochs.
    """
    quarter = len(losses) // 4
    if quarter == 0:
        return None
    before = float(np.mean(losses[-2 * quarter : -quarter]))
    return 1 - float(np.mean(losses[-quarter:])) / before if before else None
