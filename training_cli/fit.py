"""``napari-myelin-train fit``: train a model on a cohort."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from napari_myelin.core.errors import UsageError
from napari_myelin.core.events import Failed, Stopped, StopRequest
from napari_myelin.core.precision import in_precision
from training_cli.arguments import (
    COHORT_HELP,
    CohortPath,
    CommonArguments,
    checked_options,
    flag_value,
    parse,
    starting_options,
    with_options,
)
from training_cli.output import Output, stops_on_interrupt

if TYPE_CHECKING:
    from napari_myelin.core.data.cohort import Cohort
    from napari_myelin.core.options import Options


class FitArguments(CommonArguments):
    """Train a Sketcher and its Refiners on a cohort; the run folder ends with model.safetensors.

    Ctrl-C saves and stops; --resume goes on, also after a crash. Options come from --preset, over it from
    the TOML file given as --options, over both from the flags.
    """

    cohort: CohortPath = Field(description=COHORT_HELP)
    out: Path | None = Field(None, description="Run folder; it must not hold a run, unless --resume.")
    options: Path | None = Field(None, description="TOML file of options, as options.toml in a run folder.")
    resume: bool = Field(False, description="Go on with the run in --out, with the options it was started with.")
    dry_run: bool = Field(
        False, description="Say who would train, on which grid, how long and with how much memory; train nothing."
    )
    export_slurm: Path | None = Field(
        None,
        description="Folder to write the training to as a job: its options, a shell script, a SLURM script for the "
        "devices and nodes asked for; train nothing.",
    )


def run(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    out = flag_value(argv, "--out")
    started = Path(out) / "options.toml" if out and "--resume" in argv else None
    base = starting_options(argv, started if started is not None and started.exists() else None)
    arguments = parse(with_options(FitArguments, settings=base), "fit", argv)
    options = checked_options(arguments.settings)  # type: ignore[attr-defined]

    from napari_myelin.core.data.cohort import open_cohort

    output = Output(arguments.quiet, arguments.as_json)
    if arguments.dry_run:
        return foretell(open_cohort(arguments.cohort), options, output)
    if arguments.out is None:
        raise UsageError("give a run folder: fit COHORT --out DIR")
    if arguments.export_slurm is not None:
        return _export(arguments, options, output)

    from napari_myelin.core.training.fit import fit
    from napari_myelin.core.training.folder import STOP

    stop = StopRequest(arguments.out / STOP)
    with stops_on_interrupt(stop, output):
        events = fit(open_cohort(arguments.cohort), options, arguments.out, stop=stop, resume=arguments.resume)
        last = output.follow(events)
    if isinstance(last, Stopped):
        return 130
    if isinstance(last, Failed):
        if arguments.as_json:
            output.error(last.sentence)
        if arguments.debug:
            print(last.trace, file=sys.stderr)
        return 2 if last.usage else 1
    return 0


def foretell(cohort: Cohort, options: Options, output: Output) -> int:
    """Say what a training would be; return the exit code."""
    from napari_myelin.core.training.forecast import forecast
    from napari_myelin.core.training.memory import amount
    from napari_myelin.core.training.stage import stage_names

    seen, stages = forecast(cohort, options), stage_names(options.network.refiners)
    epochs = options.training.epochs
    shape, spacing = (" x ".join(f"{edge:g}" for edge in edges) for edges in (seen.grid.shape, seen.grid.spacing))
    held = f"{seen.validation} held out" if seen.validation else "none held out"
    judged = f" and {seen.discriminator:,} in its discriminator" if seen.discriminator else ""
    free = f", {amount(seen.free)} are free" if seen.free else ""
    stays = f" ({amount(seen.resident)} of it the subjects, who stay there)" if seen.resident else ""
    place = in_precision(seen.device, seen.precision)
    for note in seen.notes:
        output.warn(note)
    output.say(f"subjects: {seen.training} train ({seen.controls} controls among them), {held}")
    output.say(f"grid: {shape} voxels of {spacing} mm")
    output.say(f"stages: {', then '.join(stages)}; epochs of each: {epochs}, steps of an epoch: {seen.steps}")
    output.say(f"parameters: {seen.generator:,} in each generator{judged}")
    output.say(f"memory: about {amount(seen.need)} at the peak on {place}{stays}{free}")
    if seen.advice:
        output.warn(f"may not fit: {seen.advice}; a run that runs out steps down by itself")
    output.result(**asdict(seen), stages=stages, epochs=epochs)
    return 0


def _export(arguments: FitArguments, options: Options, output: Output) -> int:
    from napari_myelin.core.data.cohort import open_cohort
    from napari_myelin.core.training.job import export_job

    assert arguments.export_slurm is not None
    assert arguments.out is not None
    job = export_job(arguments.export_slurm, open_cohort(arguments.cohort), options, arguments.out)
    output.result(options=str(job.options), script=str(job.script), slurm=str(job.slurm))
    output.say(f"wrote {job.slurm}: sbatch it; {job.script} does the same training without SLURM")
    return 0
