"""``napari-myelin-train evaluate``: compare predictions with measured DVR maps."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from pydantic import Field
from rich.table import Table

from napari_myelin.core.errors import UsageError
from napari_myelin.core.events import Event, Skipped, read_events
from training_cli.arguments import COHORT_HELP, CohortPath, CommonArguments, parse
from training_cli.output import Output

if TYPE_CHECKING:
    from napari_myelin.core.evaluation.table import Evaluation

SHOWN = {
    "mse": "MSE",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "discrepancy_wm": "WM in controls",
    "discrepancy_nawm": "NAWM",
    "discrepancy_lesion": "lesions",
    "lesion_voxel_error": "lesion voxels",
    "share_true": "share, measured",
    "share_predicted": "share, in the map",
    "dice": "Dice",
    "correlation_lesions": "r, lesions",
}


class EvaluateArguments(CommonArguments):
    """Compare predicted DVR maps with the measured ones, the voxelwise linear baseline beside them.

    Writes metrics.tsv (a row a subject and method), summary.tsv, evaluation.json, and page.html to look at.
    """

    predictions: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PREDICTIONS")] = Field(
        description="Folder that predict wrote."
    )
    cohort: CohortPath = Field(description=COHORT_HELP)
    out: Path = Field(description="Folder for the tables.")
    threshold_value: float | None = Field(
        None, description="DVR below which a lesion voxel is demyelinated; by default that of the predictions."
    )
    resample: bool = Field(False, description="Resample maps that lie on another grid than the measured DVR.")
    run: Path | None = Field(None, description="Run folder of the model, for the page's loss curves.")
    notice: str = Field("", description="Attribution that the data ask for, shown on the page.")


def run(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    arguments = parse(EvaluateArguments, "evaluate", argv)
    if arguments.threshold_value is not None and not arguments.threshold_value > 0:
        raise UsageError(f"threshold_value must be greater than 0, got {arguments.threshold_value}")

    from napari_myelin.core.data.cohort import open_cohort
    from napari_myelin.core.evaluation.table import read_evaluation
    from napari_myelin.core.inference.evaluate import evaluate_cohort
    from napari_myelin.core.inference.outputs import read_outputs
    from napari_myelin.core.report.page import PAGE, PageInput, write_page

    output = Output(arguments.quiet, arguments.as_json)
    cohort = open_cohort(arguments.cohort)
    seen: list[Event] = []
    events = evaluate_cohort(
        arguments.predictions,
        cohort,
        arguments.out,
        threshold_value=arguments.threshold_value,
        resample=arguments.resample,
    )
    output.follow(events, seen)
    evaluation = read_evaluation(arguments.out)
    for warning in evaluation.warnings:
        output.warn(warning)
    show(evaluation, output)
    given = PageInput(
        title=f"Evaluation on {cohort.root.name or cohort.root}",
        cohort=cohort,
        predictions=read_outputs(arguments.predictions),
        evaluation=evaluation,
        events=read_events(arguments.run / "events.jsonl") if arguments.run else (),
        notice=arguments.notice,
    )
    page = write_page(arguments.out / PAGE, given)
    output.result(page=str(page))
    output.say(f"mean (SD) over subjects; to look at: {page}" + (", phantom" if evaluation.phantom else ""))
    output.say("research software, not a medical device")
    return 1 if any(isinstance(event, Skipped) for event in seen) else 0


def show(evaluation: Evaluation, output: Output) -> None:
    """Print the summary: a row a measure, a column a method."""
    output.result(summary=[vars(row) for row in evaluation.summary], warnings=evaluation.warnings)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for title in ("", *evaluation.methods):
        table.add_column(title, justify="right" if title else "left", no_wrap=True)
    for name, title in SHOWN.items():
        cells = [_cell(evaluation, method, name) for method in evaluation.methods]
        if any(cells):
            table.add_row(title, *cells)
    output.show(table)


def _cell(evaluation: Evaluation, method: str, measure: str) -> str:
    row = evaluation.of(method, measure)
    if row is None:
        return ""
    digits = {"mse": 4, "psnr": 2}.get(measure, 3)
    return _short(row.mean, digits) + (f" ({_short(row.sd, digits)})" if math.isfinite(row.sd) else "")


def _short(value: float, digits: int) -> str:
    # as the paper prints them, .0083 (.0037): four columns fit into 80 characters
    return re.sub(r"^(-?)0\.", r"\1.", f"{value:.{digits}f}")
