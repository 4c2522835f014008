"""``napari-myelin-train prepare-brain``: brain mask and bias field of a T1w."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field

from training_cli.arguments import CommonArguments, parse
from training_cli.output import Output
from training_cli.prepared import tell


class PrepareBrainArguments(CommonArguments):
    """Write the brain mask of a T1w, and the image corrected for its bias field (N4).

    Research software, not a medical device.
    """

    t1w: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="T1W")] = Field(
        description="With or without skull."
    )
    out: Path = Field(description="Folder to write to.")
    mask: Path | None = Field(None, description="Brain mask of your own, which is then taken.")


def run(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    arguments = parse(PrepareBrainArguments, "prepare-brain", argv)

    from napari_myelin.core.prepare.single_anatomy import make_brain

    output = Output(arguments.quiet, arguments.as_json)
    return tell(make_brain(arguments.t1w, arguments.out, arguments.mask), output)
