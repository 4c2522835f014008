"""``napari-myelin-train prepare-ratio``: the ratio of T1w and T2w."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field

from training_cli.arguments import CommonArguments, parse
from training_cli.output import Output
from training_cli.prepared import tell


class PrepareRatioArguments(CommonArguments):
    """Write the T1w / T2w ratio on the T1w's grid, each corrected for its bias field and divided by its median.

    Research software, not a medical device.
    """

    t1w: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="T1W")] = Field(
        description="With or without skull."
    )
    t2w: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="T2W")] = Field(description="Of the same person.")
    out: Path = Field(description="Folder to write to.")
    mask: Path | None = Field(None, description="Brain mask in the T1w's space; by default it is found.")


def run(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    arguments = parse(PrepareRatioArguments, "prepare-ratio", argv)

    from napari_myelin.core.prepare.single_anatomy import make_ratio

    output = Output(arguments.quiet, arguments.as_json)
    return tell(make_ratio(arguments.t1w, arguments.t2w, arguments.out, arguments.mask), output)
