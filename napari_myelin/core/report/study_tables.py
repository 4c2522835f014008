"""The tables of a study, from its results alone: the paper's Tables 1 to 4 in their layout, and those it lacks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from napari_myelin.core.evaluation.comparison import Cell, Trained, compare, correlations
from napari_myelin.core.evaluation.metrics import mean_sd
from napari_myelin.core.evaluation.results import Results
from napari_myelin.core.evaluation.statistics import limits_of_agreement
from napari_myelin.core.report.study_names import (
    BOUNDS,
    count,
    inputs_title,
    method_title,
    p_text,
    reference_of,
    trained,
)

BASELINES = ("linear", "boosting")
MARKS = (
    "* {reference} better, p < .05 by two-sided t-test, unpaired as in the paper; † the same by paired "
    "Wilcoxon test, corrected for the rows of a column (Holm); ° the row is better, by the paired test."
)


class Column(NamedTuple):
    """A number in a table: region and metric in the results, title, digits."""

    region: str
    metric: str
    title: str
    digits: int


IMAGE = (
    Column("image", "mse", "MSE", 4),
    Column("image", "psnr", "PSNR", 3),
    Column("image", "psnr_2.89", "PSNR, MAX 2.89", 3),
    Column("brain", "mse", "MSE in the brain", 4),
)
REGIONS = (
    Column("wm", "discrepancy", "WM in HC", 3),
    Column("nawm", "discrepancy", "NAWM", 3),
    Column("lesion", "discrepancy", "MS Lesions", 3),
)
VOXELS = (
    Column("lesion", "voxel_error", "Voxel error", 4),
    Column("lesion", "voxel_error_noisefree", "Voxel error, to noise-free", 4),
    Column("lesion", "dice", "Dice", 3),
    Column("lesion", "share_predicted", "Demyelinated share", 3),
)
CALIBRATION = (
    Column("brain", "inside_1sd", "Brain, ±1 SD", 3),
    Column("brain", "inside_2sd", "Brain, ±2 SD", 3),
    Column("lesion", "inside_1sd", "Lesions, ±1 SD", 3),
    Column("lesion", "inside_2sd", "Lesions, ±2 SD", 3),
    Column("lesion", "uncertainty", "Mean SD in lesions", 4),
)
ATTENTION = (
    Column("lesion", "attention_loss", "Own loss", 2),
    Column("lesion", "attention_common", "Common target", 2),
)


@dataclass(frozen=True)
class Table:
    """A table as text: ``name`` in files, ``title``, ``caption``, ``header`` and ``rows`` of cells."""

    name: str
    title: str
    caption: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]


def tables(results: Results) -> list[Table]:
    """Return every table that the results have numbers for."""
    rows, reference = trained(results), reference_of(results)
    paper = [
        _methods_table(results, rows, reference, "table1", "Table 1. Image quality", IMAGE),
        _methods_table(results, rows, reference, "table2", "Table 2. Discrepancy of mean DVR", REGIONS),
        *_inputs_tables(results),
    ]
    own = [
        _lesion_table(results, rows, reference),
        _agreement(results, rows),
        _plain(results, rows, "table7", "Table 7. Calibration of the uncertainty", CALIBRATION, _CALIBRATED),
        _plain(results, rows, "table8", "Table 8. Attention: saliency in lesions over NAWM", ATTENTION, _ATTENTION),
        _p_values(results, rows, reference),
    ]
    return [table for table in (*paper, *own) if table is not None and table.rows]


_CALIBRATED = (
    "Share of voxels whose measured DVR lies within 1 and 2 SD of the prediction, mean (SD) over subjects; .68 and "
    ".95 would be calibrated."
)
_ATTENTION = (
    "Mean saliency (Eq. 7, maximum over maps) in lesions over that in NAWM, mean (SD) over patients. Own loss: against "
    "the loss the network was trained with, whose region weights alone inflate the gradients of small regions. Common "
    "target: mean predicted DVR of the brain, the same for all."
)


def _methods_table(
    results: Results,
    rows: Sequence[Trained],
    reference: Trained | None,
    name: str,
    title: str,
    columns: Sequence[Column],
) -> Table:
    there = [column for column in columns if any(results.of(*row, column.region, column.metric) for row in rows)]
    cells = [_column(results, rows, column, reference) for column in there]
    marks = MARKS.format(reference=f"the {method_title(reference[0])} is") if reference is not None else ""
    lines = [
        (method_title(row[0]), *(each[number] for each in cells))
        for number, row in enumerate(rows)
        if any(each[number] for each in cells)
    ]
    caption = f"Mean (SD) over subjects, {count(results)}. {marks}".strip()
    return Table(name, title, caption, ("", *(column.title for column in there)), lines)


def _lesion_table(results: Results, rows: Sequence[Trained], reference: Trained | None) -> Table:
    made = _methods_table(results, rows, reference, "table5", "Table 5. Lesions, voxel by voxel", VOXELS)
    way = way_to_ceiling(results)
    if not way:
        return made
    named = {method_title(method): share for method, share in way.items()}
    lines = [(*row, f"{100 * named[row[0]]:.0f} %" if row[0] in named else "") for row in made.rows]
    caption = (
        f"{made.caption} Way to the ceiling: how much of the distance in voxel error between the best voxelwise "
        "baseline (0 %) and the practical ceiling (100 %) a method goes."
    )
    return Table(made.name, made.title, caption, (*made.header, "Way to the ceiling"), lines)


def way_to_ceiling(results: Results) -> dict[str, float]:
    """Return for each method the share of the way from the best voxelwise baseline to the practical ceiling.

    In the mean absolute error over lesion voxels, over patients; below 0 where it is worse than the baseline. Empty
    without a baseline and a ceiling that is better.
    """
    errors = {
        method: mean_sd(list(results.of(method, results.main, "lesion", "voxel_error").values()))[0]
        for method in results.methods(results.main)
    }
    base = min((errors[method] for method in BASELINES if method in errors), default=math.nan)
    distance = base - errors.get("ceiling", math.nan)
    return {method: (base - error) / distance for method, error in errors.items()} if distance > 0 else {}


def _column(results: Results, rows: Sequence[Trained], column: Column, reference: Trained | None) -> list[str]:
    tested = [row for row in rows if row[0] not in BOUNDS]
    bounds = [row for row in rows if row[0] in BOUNDS]
    cells = compare(results, tested, column.region, column.metric, reference)
    cells += compare(results, bounds, column.region, column.metric, None)
    return [cell_text(cell, column.digits) for cell in cells]


def cell_text(cell: Cell, digits: int) -> str:
    """Return ``mean (SD)`` with the marks of significance; empty without a number."""
    if not cell.count or not math.isfinite(cell.mean):
        return ""
    sd = f" ({cell.sd:.{digits}f})" if math.isfinite(cell.sd) else ""
    return f"{cell.mean:.{digits}f}{sd}{cell.marks}"


def _inputs_tables(results: Results) -> list[Table]:
    made = []
    methods = [each for each in dict.fromkeys(row.method for row in results.rows) if len(results.inputs(each)) > 1]
    reference = str(results.facts.get("reference", "refiner"))
    for place, method in enumerate(sorted(methods, key=lambda each: each != reference)):
        rows = [(method, inputs) for inputs in sorted(results.inputs(method), key=lambda each: each == results.main)]
        for number, (what, columns) in enumerate((("Image quality", IMAGE), ("Discrepancy of mean DVR", REGIONS))):
            cells = [_column(results, rows, column, (method, results.main)) for column in columns]
            lines = [(inputs_title(row[1]), *(each[index] for each in cells)) for index, row in enumerate(rows)]
            marks = MARKS.format(reference="all inputs together are")
            caption = f"{method_title(method)}; mean (SD) over subjects, {count(results)}. {marks}"
            name = f"table{number + 3}{'' if place == 0 else '_' + method}"
            title = f"Table {number + 3}. {what} by inputs, {method_title(method)}"
            made.append(Table(name, title, caption, ("", *(column.title for column in columns)), lines))
    return sorted(made, key=lambda table: table.title[:8])


def _agreement(results: Results, rows: Sequence[Trained]) -> Table:
    lines = []
    for row in rows:
        white = {**results.pairs(*row, "wm"), **results.pairs(*row, "nawm")}
        pairs = list(results.pairs(*row, "lesion").values())
        if not pairs:
            continue
        cells = []
        for each in (list(white.values()), pairs):
            limits = limits_of_agreement([pair[0] for pair in each], [pair[1] for pair in each])
            cells.append(f"{limits.bias:+.3f} [{limits.low:+.3f}, {limits.high:+.3f}]")
        lesions, lesion_count, patients, patient_count = correlations(results, row)
        cells += [f"{lesions:.2f} ({lesion_count})", f"{patients:.2f} ({patient_count})"]
        lines.append((method_title(row[0]), *(cell.replace("nan", "n/a") for cell in cells)))
    caption = (
        "Bias (predicted - measured) with 95 % limits of agreement (bias ± 1.96 SD) over subjects' mean DVR; Pearson's "
        f"r over lesions above 106 mm³ and over patients' mean lesion DVR, with their numbers. {count(results)}."
    )
    header = ("", "Bias, WM/NAWM", "Bias, lesions", "r, lesions (n)", "r, patients (n)")
    return Table("table6", "Table 6. Agreement and correlation", caption, header, lines)


def _plain(
    results: Results, rows: Sequence[Trained], name: str, title: str, columns: Sequence[Column], caption: str
) -> Table:
    made = _methods_table(results, rows, None, name, title, columns)
    return Table(name, title, f"{caption} {count(results)}.", made.header, made.rows)


def _p_values(results: Results, rows: Sequence[Trained], reference: Trained | None) -> Table | None:
    if reference is None:
        return None
    tested = [row for row in rows if row[0] not in BOUNDS]
    columns = [IMAGE[0], *REGIONS, VOXELS[0], VOXELS[2]]
    by_column = [compare(results, tested, column.region, column.metric, reference) for column in columns]
    lines = [
        (method_title(row[0]), *(p_pair(cells[number]) for cells in by_column))
        for number, row in enumerate(tested)
        if row != reference
    ]
    caption = (
        f"Against the {method_title(reference[0])}: p of the unpaired t-test / p of the paired Wilcoxon test, Holm. "
        "▼: the row is worse than the reference, ▲: better."
    )
    header = ("", *(column.title for column in columns))
    return Table("table9", "Table 9. Both tests in full", caption, header, lines)


def p_pair(cell: Cell) -> str:
    """Return both p values of a cell, and which way it falls."""
    if not math.isfinite(cell.unpaired) and not math.isfinite(cell.paired):
        return ""
    return f"{p_text(cell.unpaired)} / {p_text(cell.paired)} {'▼' if cell.worse else '▲'}"
