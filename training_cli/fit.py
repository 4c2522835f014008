"""``napari-myelin-train fit``: train a model on a cohort."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from napari_myelin.core.events import Failed, Stopped, StopRequest
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


class FitArguments(CommonArguments):
    """Train a Sketcher and its Refiners on a cohort; the run folder ends with model.safetensors.

    Ctrl-C saves and stops; --resume goes on, also after a crash. Options come from --preset, over it from
    the TOML file given as --options, over both from the flags.
    """

    cohort: CohortPath = Field(description=COHORT_HELP)
    out: Path = Field(description="Run folder; it must not hold a run, unless --resume.")
    options: Path | None = Field(None, description="TOML file of options, as options.toml in a run folder.")
    resume: bool = Field(False, description="Go on with the run in --out, with the options it was started with.")


def run(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    out = flag_value(argv, "--out")
    started = Path(out) / "options.toml" if out and "--resume" in argv else None
    base = starting_options(argv, started if started is not None and started.exists() else None)
    arguments = parse(with_options(FitArguments, settings=base), "fit", argv)
    options = checked_options(arguments.settings)  # type: ignore[attr-defined]

    from napari_myelin.core.data.cohort import open_cohort
    from napari_myelin.core.training.fit import fit
    from napari_myelin.core.training.folder import STOP

    output = Output(arguments.quiet, arguments.as_json)
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
