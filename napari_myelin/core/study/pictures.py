"""The figures of a study that show maps: slices (Fig. 4), agreement (Fig. 8 B) and attention (Fig. 9 A)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from napari_myelin.core.data.bids import bids_path
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume, read_volume
from napari_myelin.core.evaluation.demyelination import (
    BOTH,
    NEITHER,
    PREDICTED_ONLY,
    TRUE_ONLY,
    agreement,
    classify,
)
from napari_myelin.core.evaluation.results import Results
from napari_myelin.core.report.pictures import Cut, canonical
from napari_myelin.core.report.study_canvas import LOOK, StudyFigure, signed, whose
from napari_myelin.core.report.study_names import method_title, reference_of
from napari_myelin.core.study.folds import Fold
from napari_myelin.core.study.methods import Method
from napari_myelin.core.study.parts import Part, Plan
from napari_myelin.core.study.work import example, fold_threshold, predicted_below, predictions

ACROSS = 4  # pictures in a row
SHOWN = 8  # patients in the figure of agreement
# the paper's yellow, white, red and orange, far enough apart (CIEDE2000 above 20) for any colour vision
AGREEMENT = {
    BOTH: ("#ecd000", "both"),
    NEITHER: ("#ffffff", "neither"),
    TRUE_ONLY: ("#8b0000", "measured only"),
    PREDICTED_ONLY: ("#d55e00", "predicted only"),
}


@dataclass(frozen=True, eq=False)
class View:
    """One subject's slice: ``brain`` and ``lesion`` canonical, and how to cut any volume of its grid."""

    subject: Subject
    cut: Cut
    brain: np.ndarray
    lesion: np.ndarray
    resample: bool

    @classmethod
    def of(cls, subject: Subject, resample: bool) -> View:
        """Return the view through the subject's lesions, or its brain where there are none."""
        brain = canonical(subject.brain(resample))
        lesion = np.zeros(brain.shape, dtype=bool)
        if subject.has("lesion"):
            lesion = canonical(subject.volume("lesion", resample)).array
        return cls(subject, Cut.through(brain, lesion), brain.array, lesion, resample)

    def slice(self, volume: Volume) -> np.ndarray:
        """Return a volume's slice as (rows, columns), anterior on top, the patient's right on the left."""
        return self.cut.of(canonical(volume).array)


def study_pictures(plan: Plan, results: Results) -> list[StudyFigure]:
    """Return the figures that show maps, as far as the parts they need are done and still hold them."""
    shown = _example(plan)
    with mpl.rc_context(LOOK):
        made = [_agreement(plan, results)]
        if shown is not None:
            view, fold = shown
            made += [_slices(plan, results, view, fold), _attention(plan, results, view, fold)]
    return [figure for figure in made if figure is not None]


def _example(plan: Plan) -> tuple[View, Fold] | None:
    resample = plan.study.options.data.resample
    for fold in plan.folds:
        subject = example(plan.cohort.select(fold.held_out).subjects)
        if subject is not None:
            return View.of(subject, resample), fold
    return None


def _made(plan: Plan, fold: Fold, inputs: str) -> list[tuple[Method, Part]]:
    """Return the methods whose maps of a fold are there, in the tables' order."""
    there = {
        method.name: (method, part)
        for part in plan.parts
        if plan.done(part) and part.inputs == inputs and fold in part.folds
        for method in part.methods
    }
    return [there[name] for name in (*plan.study.study.methods, "ceiling") if name in there]


def _map(plan: Plan, method: Method, part: Part, subject: Subject, what: str = "dvr-predicted") -> Volume | None:
    path = bids_path(predictions(plan, part, method), subject.name, subject.session, what)
    return read_volume(path) if path.exists() else None


def _slices(plan: Plan, results: Results, view: View, fold: Fold) -> StudyFigure | None:
    measured = view.subject.volume("dvr", view.resample)
    panels = [("Measured", view.slice(measured))]
    if view.subject.has("noisefree"):
        panels.append(("Noise-free truth", view.slice(view.subject.volume("noisefree", view.resample))))
    for method, part in _made(plan, fold, plan.study.main):
        if (volume := _map(plan, method, part, view.subject)) is not None:
            panels.append((method_title(method.name), view.slice(volume)))
    if len(panels) < 2:
        return None
    low, high = np.percentile(canonical(measured).array[view.brain], [2, 99.5])
    figure, axes = _grid(panels)
    for panel, (title, image) in zip(axes, panels, strict=True):
        shown = panel.imshow(image, cmap="inferno", vmin=low, vmax=high, interpolation="nearest")
        _outline(panel, view)
        panel.set_title(title, fontsize=8)
    figure.colorbar(shown, ax=axes, label="DVR", shrink=0.6, pad=0.01)
    bars = f"{view.subject.key}, held out ({fold.name}); lesions outlined; the patient's right is on the left."
    signed(figure, results, bars)
    return StudyFigure("fig4", "Fig. 4. One patient's maps by every method", f"{whose(results)}. {bars}", figure)


def _agreement(plan: Plan, results: Results) -> StudyFigure | None:
    row = reference_of(results)
    if row is None:
        return None
    dice = results.of(*row, "lesion", "dice")
    panels = []
    for fold in plan.folds:
        method = next((each for each in _made(plan, fold, plan.study.main) if each[0].name == row[0]), None)
        threshold = fold_threshold(plan, fold)
        if method is None or threshold is None:
            continue
        for subject in plan.cohort.select(fold.held_out).subjects:
            volume = _map(plan, *method, subject) if subject.key in dice else None
            if volume is not None:
                view = View.of(subject, plan.study.options.data.resample)
                spread = _map(plan, *method, subject, "dvr-uncertainty")
                on_grid = threshold.on(subject, volume)
                sd = None if spread is None else spread.array
                below = predicted_below(on_grid, sd, method[1].options)
                picture = _masks(view, volume, on_grid, on_grid if below is None else below)
                panels.append((f"{subject.key}, Dice {dice[subject.key]:.2f}", picture))
    if not panels:
        return None
    panels = panels[:SHOWN]
    figure, axes = _grid(panels)
    for panel, (title, image) in zip(axes, panels, strict=True):
        panel.imshow(image, interpolation="nearest")
        panel.set_title(title, fontsize=8)
    keys = [Patch(facecolor=colour, edgecolor="#010203", label=text) for colour, text in AGREEMENT.values()]
    figure.legend(handles=keys, loc="outside upper center", ncols=4, frameon=False, fontsize=8, title="demyelinated in")
    bars = f"{method_title(row[0])}; {len(panels)} of {len(dice)} patients, each the slice with most lesion voxels."
    signed(figure, results, bars)
    return StudyFigure("fig8b", "Fig. 8 B. Agreement of demyelination", f"{whose(results)}. {bars}", figure)


def _masks(view: View, predicted: Volume, threshold: float | np.ndarray, below: float | np.ndarray) -> np.ndarray:
    subject, resample = view.subject, view.resample
    measured, lesion = subject.volume("dvr", resample), subject.volume("lesion", resample).array
    true, ours = classify(measured.array, lesion, threshold), classify(predicted.array, lesion, below)
    labels = view.slice(Volume(agreement(true, ours, lesion).astype(np.float32), measured.affine))
    grey = view.slice(subject.volume(next(iter(subject.modalities)), resample))
    background = 0.6 * np.clip(grey / max(float(np.percentile(grey, 99.5)), 1e-6), 0, 1)
    image = np.repeat(background[..., None], 3, axis=2)
    for label, (colour, _) in AGREEMENT.items():
        image[labels == label] = mpl.colors.to_rgb(colour)
    return image


def _attention(plan: Plan, results: Results, view: View, fold: Fold) -> StudyFigure | None:
    names = [name for pair in (("unet", "unet_weighted"), ("sketcher", "sketcher_weighted")) for name in pair]
    there = {method.name: (method, part) for method, part in _made(plan, fold, plan.study.main)}
    panels = []
    for name in [*names, "refiner"]:
        for target, words in (("loss", "own loss"), ("dvr", "common target")):
            what = f"saliency-{target}-Max"
            if name in there and (volume := _map(plan, *there[name], view.subject, what)) is not None:
                inside = canonical(volume).array[view.brain]
                scale = float(np.percentile(inside, 99.5)) or 1.0
                panels.append((f"{method_title(name)}\n{words}", view.slice(volume) / scale))
    if not panels:
        return None
    figure, axes = _grid(panels)
    for panel, (title, image) in zip(axes, panels, strict=True):
        shown = panel.imshow(image, cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
        _outline(panel, view)
        panel.set_title(title, fontsize=8)
    figure.colorbar(shown, ax=axes, label="saliency, relative", shrink=0.6, pad=0.01)
    bars = f"{view.subject.key} ({fold.name}), maximum over maps, each scaled to its own 99.5th percentile."
    signed(figure, results, bars)
    title = "Fig. 9 A. Attention with and without the weighted loss (L1W)"
    return StudyFigure("fig9a", title, f"{whose(results)}. {bars}", figure)


def _grid(panels: Sequence[tuple[str, np.ndarray]]) -> tuple[Figure, list[Axes]]:
    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    height = panels[0][1].shape[0] / panels[0][1].shape[1]
    figure = Figure(figsize=(1.85 * across + 0.9, (1.85 * height + 0.3) * down + 0.6), layout="constrained")
    every = list(figure.subplots(down, across, squeeze=False).ravel())
    for axes in every:
        axes.axis("off")
    return figure, every[: len(panels)]


def _outline(axes: Axes, view: View) -> None:
    mask = view.cut.of(view.lesion)
    if mask.any():
        axes.contour(mask, levels=[0.5], colors="#56b4e9", linewidths=0.7)
