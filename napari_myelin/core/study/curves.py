"""Training curves of a study's runs, so that a reader sees whether they have flattened."""

from __future__ import annotations

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from napari_myelin.core.evaluation.results import Results
from napari_myelin.core.events import Epoch, read_events
from napari_myelin.core.report.curves import INK
from napari_myelin.core.report.study_canvas import BLUE, LOOK, ORANGE, StudyFigure, signed, whose
from napari_myelin.core.report.study_names import inputs_title, method_title
from napari_myelin.core.study.parts import Part, Plan
from napari_myelin.core.training.names import EVENTS

ACROSS = 3  # panels in a row


def training_curves(plan: Plan, results: Results) -> StudyFigure | None:
    """Return every run's training L1 and held-out loss over the epochs of its stages; None where no run is there."""
    runs: dict[tuple[str, str], list[list[Epoch]]] = {}
    for part in plan.parts:
        if part.kind == "network" and plan.done(part):
            events = read_events(plan.place(part) / "run" / EVENTS)
            if epochs := [event for event in events if isinstance(event, Epoch)]:
                runs.setdefault((_title(part), part.inputs), []).append(epochs)
    if not runs:
        return None
    across = min(ACROSS, len(runs))
    down = -(-len(runs) // across)
    with mpl.rc_context(LOOK):
        figure = Figure(figsize=(2.7 * across + 0.4, 2.0 * down + 0.9), layout="constrained")
        panels = list(figure.subplots(down, across, squeeze=False).ravel())
        for panel in panels[len(runs) :]:
            panel.axis("off")
        for panel, ((title, inputs), folds) in zip(panels, runs.items(), strict=False):
            for epochs in folds:
                _draw(panel, epochs)
            panel.set_title(f"{title}, {inputs_title(inputs)}", fontsize=8)
            panel.set_ylim(bottom=0)
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
            panel.set_xlabel("epoch", fontsize=8)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=2, frameon=False)
        bars = "A line is one fold's run, in z-scores; dotted: the next stage begins."
        signed(figure, results, bars)
    return StudyFigure("fig11", "Fig. 11. Training curves", f"{whose(results)}. {bars}", figure)


def _title(part: Part) -> str:
    return method_title(part.methods[0].name if len(part.methods) == 1 else part.methods[-1].name)


def _draw(panel: Axes, epochs: list[Epoch]) -> None:
    first = not panel.lines
    numbers = list(range(1, len(epochs) + 1))
    trained = [event.losses["l1"] for event in epochs]
    label = "L1, training" if first else None
    panel.plot(numbers, trained, color=BLUE, marker="" if numbers[1:] else ".", lw=0.9, alpha=0.8, label=label)
    pairs = zip(numbers, epochs, strict=True)
    held = [(number, event.validation["loss"]) for number, event in pairs if event.validation]
    if held:
        label = "L1, held out" if first else None
        panel.plot(*zip(*held, strict=True), "--", color=ORANGE, marker=".", ms=4, lw=0.9, alpha=0.9, label=label)
    for number in numbers[1:]:
        if epochs[number - 1].stage != epochs[number - 2].stage:
            panel.axvline(number - 0.5, color=INK, lw=0.6, ls=":")
