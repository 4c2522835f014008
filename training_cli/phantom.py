"""``napari-myelin-train phantom``: write a simulated cohort."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field

from training_cli.arguments import CommonArguments, parse, validated, with_options
from training_cli.output import Output


class PhantomArguments(CommonArguments):
    """Write a cohort of simulated patients and controls whose myelin is known, as BIDS derivatives."""

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")] = Field(
        description="Folder to write; it must not hold a dataset."
    )


def run(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    from napari_myelin.core.phantom.options import PhantomOptions

    arguments = parse(with_options(PhantomArguments, settings=PhantomOptions()), "phantom", argv)
    options = validated(PhantomOptions, arguments.settings)  # type: ignore[attr-defined]

    from napari_myelin.core.phantom.cohort import write_cohort

    output = Output(arguments.quiet, arguments.as_json)
    output.follow(write_cohort(arguments.out, options))
    output.say(f"wrote {options.patients} patients and {options.controls} controls to {arguments.out} (simulated)")
    return 0
