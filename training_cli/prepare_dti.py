"""``napari-myelin-train prepare-dti``: FA, MD, RD and AD from a diffusion-weighted series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field

from napari_myelin.core.prepare.options import DtiOptions
from training_cli.arguments import CommonArguments, parse, validated, with_options
from training_cli.output import Output
from training_cli.prepared import tell


class PrepareDtiArguments(CommonArguments):
    """Write FA (none) and MD, RD, AD (10^-3 mm2/s) of a tensor fitted by weighted least squares.

    Research software, not a medical device.
    """

    image: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DWI")] = Field(description="4D series.")
    out: Path = Field(description="Folder to write to.")
    bval: Path | None = Field(None, description="b values in s/mm2; by default beside the series.")
    bvec: Path | None = Field(None, description="b-vectors; by default beside the series.")
    mask: Path | None = Field(None, description="Brain mask; by default the foreground of the first b = 0 volume.")


def run(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    arguments = parse(with_options(PrepareDtiArguments, settings=DtiOptions()), "prepare-dti", argv)
    options = validated(DtiOptions, arguments.settings)  # type: ignore[attr-defined]

    from napari_myelin.core.prepare.single import make_dti

    output = Output(arguments.quiet, arguments.as_json)
    tables = arguments.bval, arguments.bvec
    return tell(make_dti(arguments.image, arguments.out, options, tables, arguments.mask), output)
