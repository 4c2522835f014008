"""What the tables of a study are made of: columns of the results, cells as text, whole tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from napari_myelin.core.evaluation.comparison import Cell, Trained, compare
from napari_myelin.core.evaluation.results import Results
from napari_myelin.core.report.study_names import BOUNDS, p_text


class Column(NamedTuple):
    """A number in a table: region and metric in the results, title, digits, and whether less or more is better."""

    region: str
    metric: str
    title: str
    digits: int
    judged: bool = True


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
    Column("lesion", "share_predicted", "Demyelinated share", 3, judged=False),
    Column("lesion", "share_true", "The same, measured", 3, judged=False),
)
CALIBRATION = (
    Column("brain", "inside_1sd", "Brain, ±1 SD", 3, judged=False),
    Column("brain", "inside_2sd", "Brain, ±2 SD", 3, judged=False),
    Column("lesion", "inside_1sd", "Lesions, ±1 SD", 3, judged=False),
    Column("lesion", "inside_2sd", "Lesions, ±2 SD", 3, judged=False),
    Column("lesion", "uncertainty", "Mean SD in lesions", 4, judged=False),
)
ATTENTION = (
    Column("lesion", "attention_loss", "Own loss", 2, judged=False),
    Column("lesion", "attention_common", "Common target", 2, judged=False),
)


@dataclass(frozen=True)
class Table:
    """A table as text: ``name`` in files, ``title``, ``caption``, ``header`` and ``rows`` of cells."""

    name: str
    title: str
    caption: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]


def column_texts(results: Results, rows: Sequence[Trained], column: Column, reference: Trained | None) -> list[str]:
    """Return a column's cells as text; the bounds of a phantom are held against nobody, and come last."""
    tested = [row for row in rows if row[0] not in BOUNDS]
    bounds = [row for row in rows if row[0] in BOUNDS]
    cells = compare(results, tested, column.region, column.metric, reference if column.judged else None)
    cells += compare(results, bounds, column.region, column.metric, None)
    return [cell_text(cell, column.digits) for cell in cells]


def cell_text(cell: Cell, digits: int) -> str:
    """Return ``mean (SD)`` with the marks of significance; empty without a number."""
    if not cell.count or not math.isfinite(cell.mean):
        return ""
    sd = f" ({cell.sd:.{digits}f})" if math.isfinite(cell.sd) else ""
    return f"{cell.mean:.{digits}f}{sd}{cell.marks}"


def p_pair(cell: Cell) -> str:
    """Return both p values of a cell, and which way it falls."""
    if not math.isfinite(cell.unpaired) and not math.isfinite(cell.paired):
        return ""
    return f"{p_text(cell.unpaired)} / {p_text(cell.paired)} {'▼' if cell.worse else '▲'}"
