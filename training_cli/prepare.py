"""``napari-myelin-train prepare``: from raw BIDS to a cohort that can be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field

from napari_myelin.core.events import Event, Skipped, Stopped, StopRequest
from napari_myelin.core.prepare.options import JOBS, PrepareOptions
from training_cli.arguments import CommonArguments, parse, validated, with_options
from training_cli.output import Output, stops_on_interrupt


class PrepareArguments(CommonArguments):
    """Make a cohort of raw BIDS: MTR, FA, RD, AD, DVR, masks and transforms of each subject on one grid.

    Needs the extra: pip install napari-myelin[prepare]. What was made from the same scans with the same options is not
    made again. A step that fails is told and the rest goes on; the exit code is then 1. Look at preparation.html.
    Research software, not a medical device.
    """

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="BIDS_DIR")] = Field(
        description="Raw BIDS dataset; lesion masks and labels are looked for in its derivatives too."
    )
    out: Path = Field(description="Folder of the cohort; the same one goes on with it.")
    subjects: tuple[str, ...] = Field((), description="Only these, such as 01 03, or 01_ses-02; by default all.")
    jobs: int = Field(1, ge=1, description=JOBS)


def run(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    arguments = parse(with_options(PrepareArguments, settings=PrepareOptions()), "prepare", argv)
    options = validated(PrepareOptions, arguments.settings)  # type: ignore[attr-defined]

    from napari_myelin.core.prepare.cohort import prepare_cohort

    output = Output(arguments.quiet, arguments.as_json)
    seen: list[Event] = []
    stop = StopRequest()
    with stops_on_interrupt(stop, output):
        events = prepare_cohort(
            arguments.folder, arguments.out, options, subjects=arguments.subjects, jobs=arguments.jobs, stop=stop
        )
        output.follow((event for event in events if not isinstance(event, Stopped)), seen)
    if stop:
        output.result(stopped=True)
        output.say("stopped; the same command goes on")
        return 130
    failed = sorted({event.subject.split(",")[0] for event in seen if isinstance(event, Skipped)})
    output.say(f"cohort: {arguments.out}; to look at: {arguments.out / 'preparation.html'} (research use only)")
    if failed:
        output.error(f"something failed for {', '.join(failed)}; the rest is done, the same command tries it again")
    return 1 if failed else 0
