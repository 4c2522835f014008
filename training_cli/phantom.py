"""``napari-myelin-train phantom``: write a simulated cohort, or its raw scans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field

from training_cli.arguments import CommonArguments, parse, validated, with_options
from training_cli.output import Output


class PhantomArguments(CommonArguments):
    """Write a cohort of simulated patients and controls whose myelin is known, as BIDS derivatives.

    With --raw, what scanners would give of the same people, for prepare to make that cohort of.
    """

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")] = Field(
        description="Folder to write; it must not hold a dataset."
    )
    raw: bool = Field(
        False, description="Write raw BIDS instead: T1w, T2w, FLAIR and its lesion mask, MT pair, DWI, dynamic PET."
    )


def run(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    from napari_myelin.core.phantom.options import PhantomOptions

    arguments = parse(with_options(PhantomArguments, settings=PhantomOptions()), "phantom", argv)
    options = validated(PhantomOptions, arguments.settings)  # type: ignore[attr-defined]

    output = Output(arguments.quiet, arguments.as_json)
    if arguments.raw:
        from napari_myelin.core.prepare.raw_cohort import write_raw_cohort

        output.follow(write_raw_cohort(arguments.out, options))
    else:
        from napari_myelin.core.phantom.cohort import write_cohort

        output.follow(write_cohort(arguments.out, options))
    what = "the raw scans of " if arguments.raw else ""
    output.say(
        f"wrote {what}{options.patients} patients and {options.controls} controls to {arguments.out} (simulated)"
    )
    return 0
