"""``napari-myelin-train prepare-dvr``: a DVR map from a dynamic PET."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field

from napari_myelin.core.prepare.options import DvrOptions
from training_cli.arguments import CommonArguments, parse, validated, with_options
from training_cli.output import Output
from training_cli.prepared import tell


class PrepareDvrArguments(CommonArguments):
    """Write the DVR map of a dynamic PET (Logan's graphical analysis with a reference region) and its fits' R2.

    Research software, not a medical device.
    """

    image: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PET")] = Field(description="4D dynamic PET.")
    reference: Path = Field(description="Mask of the reference region, or an image of labels, in the PET's space.")
    out: Path = Field(description="Folder to write to.")
    timing: Path | None = Field(None, description="BIDS JSON with the frame times; by default beside the image.")
    mask: Path | None = Field(None, description="Brain mask in the PET's space.")


def run(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    arguments = parse(with_options(PrepareDvrArguments, settings=DvrOptions()), "prepare-dvr", argv)
    options = validated(DvrOptions, arguments.settings)  # type: ignore[attr-defined]

    from napari_myelin.core.prepare.single import make_dvr

    output = Output(arguments.quiet, arguments.as_json)
    made = make_dvr(arguments.image, arguments.reference, arguments.out, options, arguments.timing, arguments.mask)
    return tell(made, output)
