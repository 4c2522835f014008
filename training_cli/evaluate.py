"""``napari-myelin-train evaluate``: compare predictions with measured DVR maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from pydantic import Field
from rich.table import Table

from napari_myelin.core.events import Event, Skipped
from training_cli.arguments import COHORT_HELP, CohortPath, CommonArguments, parse
from training_cli.output import Output

if TYPE_CHECKING:
    from napari_myelin.core.evaluation.table import Evaluation

SHOWN = {
    "mse": "MSE",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "discrepancy_wm": "WM in HC",
    "discrepancy_nawm": "NAWM",
    "discrepancy_lesion": "lesions",
    "lesion_voxel_error": "lesion voxels",
    "dice": "Dice",
    "correlation_lesions": "r, lesions",
}


class EvaluateArguments(CommonArguments):
    """Compare predicted DVR maps with the measured ones, the voxelwise linear baseline beside them.

    Writes metrics.tsv (a row a subject and method), summary.tsv and evaluation.json.
    """

    predictions: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PREDICTIONS")] = Field(
        description="Folder that predict wrote."
    )
    cohort: CohortPath = Field(description=COHORT_HELP)
    out: Path = Field(description="Folder for the tables.")
    threshold_value: float | None = Field(
        None, gt=0, description="DVR below which a lesion voxel is demyelinated; by default that of the predictions."
    )
    resample: bool = Field(False, description="Resample maps that lie on another grid than the measured DVR.")


def run(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    arguments = parse(EvaluateArguments, "evaluate", argv)

    from napari_myelin.core.data.cohort import open_cohort  # noqa: PLC0415
    from napari_myelin.core.evaluation.table import read_evaluation  # noqa: PLC0415
    from napari_myelin.core.inference.evaluate import evaluate_cohort  # noqa: PLC0415 (--help needs no torch)

    output = Output(arguments.quiet, arguments.as_json)
    seen: list[Event] = []
    events = evaluate_cohort(
        arguments.predictions,
        open_cohort(arguments.cohort),
        arguments.out,
        threshold_value=arguments.threshold_value,
        resample=arguments.resample,
    )
    output.follow(events, seen)
    evaluation = read_evaluation(arguments.out)
    for warning in evaluation.warnings:
        output.warn(warning)
    show(evaluation, output)
    output.say(f"mean (SD) over subjects; all of it in {arguments.out}" + (", phantom" if evaluation.phantom else ""))
    output.say("research software, not a medical device")
    return 1 if any(isinstance(event, Skipped) for event in seen) else 0


def show(evaluation: Evaluation, output: Output) -> None:
    """Print the summary: a row a method."""
    output.result(summary=[vars(row) for row in evaluation.summary], warnings=evaluation.warnings)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 1))
    measured = {name: title for name, title in SHOWN.items() if evaluation.of(evaluation.methods[0], name)}
    for title in ("", *measured.values()):
        table.add_column(title, justify="right" if title else "left", no_wrap=True)
    for method in evaluation.methods:
        cells = []
        for name in measured:
            cell = evaluation.of(method, name)
            sd = "" if cell is None or cell.sd != cell.sd else f" ({cell.sd:.3f})"
            cells.append("" if cell is None else f"{cell.mean:.4f}{sd}" if name == "mse" else f"{cell.mean:.3f}{sd}")
        table.add_row(method, *cells)
    output.show(table)
