"""Figures of a study that hold predicted against measured DVR: the paper's 6 to 8, and correlations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napari_myelin.core.evaluation.comparison import Trained, correlations, group_tests
from napari_myelin.core.evaluation.metrics import mean_sd
from napari_myelin.core.evaluation.results import Results
from napari_myelin.core.evaluation.statistics import limits_of_agreement
from napari_myelin.core.report.curves import INK
from napari_myelin.core.report.study_canvas import BLUE, GREEN, ORANGE, REGIONS, StudyFigure, signed, whose
from napari_myelin.core.report.study_names import method_title, p_text, reference_of


def groups(results: Results, rows: Sequence[Trained]) -> StudyFigure | None:
    """Return Fig. 6: box plots of mean DVR by group and region, measured and by every method, with two group tests."""
    if not rows:
        return None
    names = ["Measured", *(method_title(method) for method, _ in rows)]
    figure = Figure(figsize=(8.6, 0.34 * len(names) + 1.5), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    for panel, (region, title) in zip(panels, REGIONS.items(), strict=True):
        values = [list(results.of(*rows[0], region, "dvr_true").values())]
        values += [list(results.of(*row, region, "dvr_predicted").values()) for row in rows]
        _boxes(panel, values)
        panel.set_title(title)
        panel.set_xlabel("mean DVR")
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    tests = [group_tests(results, rows[0], "dvr_true"), *(group_tests(results, row) for row in rows)]
    twin = panels[2].secondary_yaxis("right")
    labels = [f"{p_text(each.nawm_wm):>7} | {p_text(each.lesion_nawm)}" for each in tests]
    twin.set_yticks(range(len(names)), labels, fontsize=8)
    twin.tick_params(length=0)
    twin.spines["right"].set_visible(False)
    twin.set_ylabel("p, NAWM vs. WM | lesions vs. NAWM", fontsize=8)
    bars = (
        "Boxes: quartiles, solid line: median, dotted: mean, whiskers: minimum and maximum over subjects. "
        "p: two-sided t-test."
    )
    signed(figure, results, bars)
    return StudyFigure("fig6", "Fig. 6. Mean DVR by group and region", f"{whose(results)}. {bars}", figure)


def _boxes(axes: Axes, values: Sequence[Sequence[float]]) -> None:
    places = [number for number, each in enumerate(values) if each]
    if not places:
        return  # nobody has the region
    boxes = axes.boxplot(
        [values[number] for number in places],
        positions=places,
        orientation="horizontal",
        widths=0.6,
        whis=(0, 100),
        showmeans=True,
        meanline=True,
        patch_artist=True,
        manage_ticks=False,
        medianprops={"color": INK, "lw": 1.4},
        meanprops={"color": INK, "ls": ":", "lw": 1.2},
        boxprops={"edgecolor": INK, "lw": 0.8},
        whiskerprops={"color": INK, "lw": 0.8},
        capprops={"color": INK, "lw": 0.8},
    )
    for number, box in zip(places, boxes["boxes"], strict=True):
        box.set_facecolor(BLUE if number == 0 else ORANGE)
        box.set_alpha(0.55)


def bland_altman(results: Results, rows: Sequence[Trained]) -> StudyFigure | None:
    """Return Fig. 7: Bland-Altman plots of WM/NAWM and lesions, a row a method."""
    rows = [row for row in rows if row[0] != "noise-free"]
    if not rows:
        return None
    figure = Figure(figsize=(7.6, 1.75 * len(rows) + 0.8), layout="constrained")
    grid = figure.subplots(len(rows), 2, squeeze=False, sharex="col", sharey="col")
    for line, row in zip(grid, rows, strict=True):
        for panel, regions in zip(line, (("wm", "nawm"), ("lesion",)), strict=True):
            pairs: list[tuple[float, float]] = []
            for region in regions:
                each = list(results.pairs(*row, region).values())
                pairs += each
                colour, marker = {"wm": (BLUE, "o"), "nawm": (ORANGE, "^"), "lesion": (GREEN, "s")}[region]
                means, differences = [(t + p) / 2 for t, p in each], [p - t for t, p in each]
                panel.plot(means, differences, marker, ms=4, color=colour, mew=0, label=REGIONS[region])
            limits = limits_of_agreement([pair[0] for pair in pairs], [pair[1] for pair in pairs])
            panel.axhline(0, color=INK, lw=0.5, alpha=0.5)
            if np.isfinite(limits.bias):
                panel.axhline(limits.bias, color=INK, lw=1.2)
            for level in (limits.low, limits.high):
                if np.isfinite(level):
                    panel.axhline(level, color=INK, lw=0.9, ls="--")
            text = f"{limits.bias:+.3f} [{limits.low:+.3f}, {limits.high:+.3f}]".replace("+nan", "n/a")
            panel.set_title(f"{method_title(row[0])}: {text}", fontsize=8, loc="left")
        line[0].set_ylabel("predicted - measured", fontsize=8)
    for panel in grid[0]:
        panel.legend(frameon=False, fontsize=7, loc="best")
    for panel in grid[-1]:
        panel.set_xlabel("mean of measured and predicted DVR")
    bars = "Solid: bias; dashed: 95 % limits of agreement (bias ± 1.96 SD); a point is a subject's mean."
    signed(figure, results, bars)
    title = "Fig. 7. Bland-Altman: WM/NAWM (left) and lesions (right)"
    return StudyFigure("fig7", title, f"{whose(results)}. {bars}", figure)


def shares(results: Results, rows: Sequence[Trained]) -> StudyFigure | None:
    """Return Fig. 8 A: demyelinated share of each patient's lesion voxels, measured and by the reference method."""
    row = reference_of(results) or (rows[0] if rows else None)
    if row is None:
        return None
    true, ours = (results.of(*row, "lesion", metric) for metric in ("share_true", "share_predicted"))
    if not true:
        return None
    keys = sorted(true, key=lambda key: true[key])
    figure = Figure(figsize=(max(4.0, 0.36 * len(keys) + 1.6), 3.5), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(keys))
    axes.bar(places - 0.2, [100 * true[key] for key in keys], 0.4, color=BLUE, label="measured")
    shares = [100 * ours.get(key, np.nan) for key in keys]
    axes.bar(places + 0.2, shares, 0.4, color=ORANGE, hatch="////", edgecolor=INK, lw=0, label="predicted")
    axes.set_xticks(places, [key.removeprefix("sub-") for key in keys], rotation=90 if len(keys) > 8 else 0)
    axes.set_xlabel("patient")
    axes.set_ylabel("demyelinated, % of lesion voxels")
    axes.set_ylim(0, 100)
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=8)
    mean, sd, number = mean_sd(list(results.of(*row, "lesion", "dice").values()))
    spread = f" ± {sd:.2f}" if np.isfinite(sd) else ""
    bars = (
        f"{method_title(row[0])}; a pair of bars is one patient. Dice of the masks {mean:.2f}{spread} (SD, {number} "
        "patients)."
    )
    signed(figure, results, bars)
    return StudyFigure("fig8a", "Fig. 8 A. Demyelinated share per patient", f"{whose(results)}. {bars}", figure)


def scatter(results: Results) -> StudyFigure | None:
    """Return lesions' and patients' mean DVR, measured against predicted by the reference method."""
    row = reference_of(results)
    lesions = results.lesions(*row) if row is not None else []
    if row is None or len(lesions) < 2:
        return None
    figure = Figure(figsize=(7.2, 3.7), layout="constrained")
    r_lesions, lesion_count, r_patients, patient_count = correlations(results, row)
    patients = list(results.pairs(*row, "lesion").values())
    titles = (
        f"lesions, r = {r_lesions:.2f} (n = {lesion_count})",
        f"patients, r = {r_patients:.2f} (n = {patient_count})",
    )
    for axes, pairs, title in zip(figure.subplots(1, 2), (lesions, patients), titles, strict=True):
        array = np.array(pairs)
        low, high = float(array.min()) - 0.03, float(array.max()) + 0.03
        axes.plot([low, high], [low, high], "--", lw=0.8, color=INK)
        axes.plot(array[:, 0], array[:, 1], "o", ms=4, alpha=0.7, color=BLUE, mew=0)
        axes.set(xlim=(low, high), ylim=(low, high), aspect="equal", title=title.replace("nan", "n/a"))
        axes.set_xlabel("measured mean DVR")
        axes.set_ylabel("predicted")
    bars = f"{method_title(row[0])}; left: each lesion above 106 mm³, right: each patient's lesions; dashed: equal."
    signed(figure, results, bars)
    return StudyFigure("fig10", "Fig. 10. Lesions and patients", f"{whose(results)}. {bars}", figure)
