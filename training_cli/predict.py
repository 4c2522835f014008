"""``napari-myelin-train predict``: DVR maps of a cohort's subjects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field

from napari_myelin.core.errors import UsageError
from napari_myelin.core.events import Event, Skipped, Stopped, StopRequest
from napari_myelin.core.options import RuntimeOptions
from napari_myelin.core.prediction_options import PredictionOptions
from training_cli.arguments import CommonArguments, parse, validated, with_options
from training_cli.output import Output, stops_on_interrupt


class PredictArguments(CommonArguments):
    """Predict each subject's DVR map with a model, or with several whose predictions are averaged.

    Maps are written on the subject's own grid under BIDS names: DVR and sketch, and where there is a lesion mask
    the demyelinated voxels and a table of lesions. A subject that cannot be predicted is named and skipped, and the
    exit code is 1. What is in --out already, of the same model, options and files, is kept, so that the same command
    goes on after a stop or a crash. Research software, not a medical device.
    """

    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MODEL [MODEL ...] COHORT")] = (
        Field(description="Model files, then the cohort: a folder of BIDS derivatives or a cohort.tsv.")
    )
    out: Path = Field(description="Folder to write the predictions to.")
    subjects: tuple[str, ...] = Field((), description="Only these, such as 01 03; by default all.")
    again: bool = Field(False, description="Predict what is in --out already, with the same model and options, again.")


def run(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    arguments = parse(
        with_options(PredictArguments, settings=PredictionOptions(), runtime=RuntimeOptions()), "predict", argv
    )
    if len(arguments.inputs) < 2:
        raise UsageError("give a model (or several) and then a cohort: predict MODEL [MODEL ...] COHORT --out DIR")
    options = validated(PredictionOptions, arguments.settings)  # type: ignore[attr-defined]
    runtime = validated(RuntimeOptions, arguments.runtime)  # type: ignore[attr-defined]

    from napari_myelin.core.data.cohort import open_cohort
    from napari_myelin.core.inference.cohort import predict_cohort
    from napari_myelin.core.inference.model import load_model

    output = Output(arguments.quiet, arguments.as_json)
    cohort = open_cohort(arguments.inputs[-1])
    if arguments.subjects:
        cohort = cohort.select(arguments.subjects)
    models = [load_model(path) for path in arguments.inputs[:-1]]
    seen: list[Event] = []
    stop = StopRequest()
    with stops_on_interrupt(stop, output):
        events = predict_cohort(models, cohort, arguments.out, options, runtime, stop=stop, again=arguments.again)
        output.follow(events, seen)
    skipped = [event for event in seen if isinstance(event, Skipped)]
    if any(isinstance(event, Stopped) for event in seen):
        return 130
    if models[0].threshold is None and options.threshold_value is None:
        output.warn("the model has no threshold: nothing is called demyelinated; give --threshold-value")
    done = len(cohort.subjects) - len(skipped)
    output.say(f"{done} of {len(cohort.subjects)} subjects predicted: {arguments.out} (research use only)")
    if skipped:
        output.say(f"not predicted: {', '.join(event.subject for event in skipped)}; the same command tries them again")
    return 1 if skipped else 0
