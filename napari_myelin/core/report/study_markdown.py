"""The tables of a study as Markdown, next to the paper's numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from napari_myelin.core.data.volume import write_atomically
from napari_myelin.core.evaluation.results import Results
from napari_myelin.core.report.study_cells import Table
from napari_myelin.core.report.study_curves import falls
from napari_myelin.core.report.study_names import count
from napari_myelin.core.report.study_tables import tables

# Wei et al. 2019, tables 1 to 4: another cohort (private), another task; for the order of the rows, not the values
PAPER = {
    "table1": (
        ("", "MSE", "PSNR"),
        (
            ("2-Layer DNN", "0.0136 (0.0048)*", "27.767 (1.214)*"),
            ("3D U-Net", "0.0107 (0.0041)*", "29.297 (0.986)"),
            ("3D U-Net+L1W", "0.0113 (0.0043)*", "28.606 (1.007)*"),
            ("Sketcher", "0.0094 (0.0038)", "29.475 (0.981)"),
            ("Sketcher+L1W", "0.0103 (0.0042)", "29.077 (0.995)*"),
            ("Refiner (Proposed)", "0.0083 (0.0037)", "30.044 (1.095)"),
        ),
    ),
    "table2": (
        ("", "WM in HC", "NAWM", "MS Lesions"),
        (
            ("2-Layer DNN", "0.059 (0.040)", "0.041 (0.036)", "0.131 (0.051)*"),
            ("3D U-Net", "0.053 (0.034)", "0.039 (0.033)", "0.035 (0.027)"),
            ("3D U-Net+L1W", "0.054 (0.034)", "0.038 (0.031)", "0.032 (0.029)"),
            ("Sketcher", "0.053 (0.041)", "0.034 (0.022)", "0.030 (0.017)"),
            ("Sketcher+L1W", "0.052 (0.037)", "0.035 (0.027)", "0.027 (0.022)"),
            ("Refiner (Proposed)", "0.048 (0.026)", "0.029 (0.021)", "0.022 (0.015)"),
        ),
    ),
    "table3": (
        ("", "MSE", "PSNR"),
        (
            ("MTR", "0.0094 (0.0043)", "29.524 (1.671)"),
            ("MTR+RD", "0.0092 (0.0043)", "29.581 (1.679)"),
            ("MTR+DTI", "0.0083 (0.0037)", "30.044 (1.095)"),
        ),
    ),
    "table4": (
        ("", "WM in HC", "NAWM", "MS Lesions"),
        (
            ("MTR", "0.059 (0.040)", "0.036 (0.021)", "0.037 (0.029)"),
            ("MTR+RD", "0.050 (0.030)", "0.031 (0.019)", "0.025 (0.017)"),
            ("MTR+DTI", "0.048 (0.026)", "0.029 (0.021)", "0.022 (0.015)"),
        ),
    ),
}


def write_markdown(path: Path, results: Results, notes: str = "") -> Path:
    """Write every table, and where the paper has it the paper's below; return the file.

    Parameters
    ----------
    path
        The file.
    results
        All numbers come from here.
    notes
        Markdown to stand before the tables: what to make of them.

    Raises
    ------
    MyelinError
        If it cannot be written.
    """
    whose = "simulated subjects (a phantom), nobody was scanned" if results.phantom else "real subjects"
    lines = ["# Results", "", f"Made by `napari-myelin-train study` from its table of results: {whose}, "]
    lines[-1] += f"{count(results)}. Research software, not a medical device."
    lines += ["", *_facts(results)]
    if notes.strip():
        lines += ["", notes.strip()]
    for table in tables(results):
        lines += ["", f"## {table.title}", "", *table_markdown(table.header, table.rows)]
        lines += ["", table.caption.replace("*", "\\*")]
        if table.name in PAPER:
            header, rows = PAPER[table.name]
            lines += ["", "The paper's (its own private cohort of 18 patients and 10 controls):", ""]
            lines += [*table_markdown(header, rows), "", *_orders(table, header, rows)]
    lines += _training(results)
    write_atomically(path, ("\n".join(lines) + "\n").encode())
    return path


def _orders(table: Table, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield for each column of the paper's which order its rows have there and here, best first."""
    for title in header[1:]:
        if title not in table.header:
            continue
        theirs, ours = _numbers(header, rows, title), _numbers(table.header, table.rows, title)
        names = [name for name in theirs if name in ours]
        if len(names) < 2:
            continue
        sign = -1 if title == "PSNR" else 1
        there, here = (sorted(names, key=lambda name: sign * numbers[name]) for numbers in (theirs, ours))
        told = "the same order as in the paper" if here == there else f"in the paper {', '.join(there)}"
        yield f"- {title}, best first: {', '.join(here)}; {told}."


def _numbers(header: tuple[str, ...], rows: Sequence[tuple[str, ...]], title: str) -> dict[str, float]:
    column = header.index(title)
    return {row[0]: float(row[column].split()[0].rstrip("*†°")) for row in rows if row[column]}


def table_markdown(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return a table as lines of Markdown."""

    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("*", "\\*") for cell in cells) + " |"

    return [line(header), "| --- |" + " --- |" * (len(header) - 1), *(line(row) for row in rows)]


def _facts(results: Results) -> list[str]:
    facts = results.facts
    lines = [
        f"- {name.replace('_', ' ')}: {facts[name]}"
        for name in (
            "cohort",
            "simulation",
            "preset",
            "maps",
            "epochs",
            "folds",
            "software",
            "commit",
            "computer",
            "command",
        )
        if facts.get(name) not in (None, "")
    ]
    if facts.get("seeds"):
        lines.append("- seeds: " + ", ".join(f"{name} {value}" for name, value in facts["seeds"].items()))
    if runs := _runs(results):
        first = next(iter(runs.values()))
        lines.append(f"- grid: {' x '.join(map(str, first['grid']))} voxels of {first['spacing'][0]:g} mm")
    return lines


def _runs(results: Results) -> dict[str, Any]:
    """Return the facts of the networks' runs, by part."""
    return {name: each for name, each in results.facts.get("training", {}).items() if "stages" in each}


def _fall(losses: Sequence[float]) -> str:
    fall = falls(losses)
    return "n/a" if fall is None else f"{100 * fall:.1f} %"


def _training(results: Results) -> list[str]:
    rows = [
        (
            name,
            " + ".join(map(str, each["epochs"])),
            ", ".join(f"{stage} {seconds / 60:.1f}" for stage, seconds in each["stages"].items()),
            ", ".join(_fall(stage["training"]) for stage in each["curves"].values()),
            each["device"],
            each["commit"],
        )
        for name, each in _runs(results).items()
    ]
    if not rows:
        return []
    header = ("run", "epochs", "minutes, start to end of stage", "loss still fell by", "device", "commit")
    caption = (
        "Loss still fell by: the mean L1 (or squared error) in training of the last quarter of each stage's epochs, "
        "against the quarter before; near 0 where the curve has flattened."
    )
    return ["", "## Runs", "", *table_markdown(header, rows), "", caption]
