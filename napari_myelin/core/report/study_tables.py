"""The tables of a study, from its results alone: the paper's Tables 1 to 4 in their layout, and those it lacks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from napari_myelin.core.evaluation.comparison import Trained, compare, correlations
from napari_myelin.core.evaluation.metrics import mean_sd
from napari_myelin.core.evaluation.results import Results
from napari_myelin.core.evaluation.statistics import limits_of_agreement
from napari_myelin.core.report.study_cells import (
    ATTENTION,
    CALIBRATION,
    IMAGE,
    REGIONS,
    VOXELS,
    Column,
    Table,
    column_texts,
    p_pair,
)
from napari_myelin.core.report.study_names import (
    BOUNDS,
    count,
    inputs_title,
    method_title,
    reference_of,
    trained,
)
from napari_myelin.core.report.study_time import training_time

BASELINES, ACCURATE = ("linear", "boosting"), "accurate"
MARKS = (
    "* {reference} better, p < .05 by two-sided t-test, unpaired as in the paper; † the same by paired "
    "Wilcoxon test, corrected for the rows of a column (Holm); ° the row is better, by the paired test."
)


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
        *_p_values(results, rows, reference),
        training_time(results),
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
    there = _there(results, rows, columns)
    cells = [column_texts(results, rows, column, reference) for column in there]
    marks = MARKS.format(reference=f"the {method_title(reference[0])} is") if reference is not None else ""
    lines = [
        (method_title(row[0]), *(each[number] for each in cells))
        for number, row in enumerate(rows)
        if any(each[number] for each in cells)
    ]
    caption = f"Mean (SD) over subjects, {count(results)}. {marks}".strip()
    return Table(name, title, caption, ("", *(column.title for column in there)), lines)


def _there(results: Results, rows: Sequence[Trained], columns: Sequence[Column]) -> list[Column]:
    return [column for column in columns if any(results.of(*row, column.region, column.metric) for row in rows)]


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


def _inputs_tables(results: Results) -> list[Table]:
    made = []
    methods = [each for each in dict.fromkeys(row.method for row in results.rows) if len(results.inputs(each)) > 1]
    reference = str(results.facts.get("reference", "refiner"))
    for place, method in enumerate(sorted(methods, key=lambda each: each != reference)):
        rows = [(method, inputs) for inputs in sorted(results.inputs(method), key=lambda each: each == results.main)]
        for number, (what, every) in enumerate((("Image quality", IMAGE), ("Discrepancy of mean DVR", REGIONS))):
            columns = _there(results, rows, every)
            cells = [column_texts(results, rows, column, (method, results.main)) for column in columns]
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
        lines.append((method_title(row[0]), *(cell.replace("+nan", "n/a").replace("nan", "n/a") for cell in cells)))
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


def _p_values(results: Results, rows: Sequence[Trained], reference: Trained | None) -> Iterator[Table]:
    """Yield both tests of every row against the reference, and against the accurate preset where that is judged."""
    tested = [row for row in rows if row[0] not in BOUNDS]
    columns = _there(results, tested, [IMAGE[0], *REGIONS, VOXELS[0], VOXELS[2]])
    against = [row for row in dict.fromkeys((reference, (ACCURATE, results.main))) if row in tested]
    for number, base in enumerate(against):
        by_column = [compare(results, tested, column.region, column.metric, base) for column in columns]
        lines = [
            (method_title(row[0]), *(p_pair(cells[place]) for cells in by_column))
            for place, row in enumerate(tested)
            if row != base
        ]
        name = method_title(base[0])
        caption = (
            f"Each row against the {name}: p of the unpaired t-test / p of the paired Wilcoxon test, corrected for the "
            f"rows of the column (Holm). ▼: the row is worse than the {name}, ▲: better. {count(results)}."
        )
        header = ("", *(column.title for column in columns))
        title = f"Table {number + 9}. Both tests in full, against the {name}"
        yield Table(f"table{number + 9}", title, caption, header, lines)
