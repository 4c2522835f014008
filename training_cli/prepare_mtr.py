"""``napari-myelin-train prepare-mtr``: an MTR map from an image with and one without MT pulse."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field

from napari_myelin.core.errors import UsageError
from napari_myelin.core.prepare.options import MtrOptions
from training_cli.arguments import CommonArguments, parse, validated, with_options
from training_cli.output import Output
from training_cli.prepared import tell


class PrepareMtrArguments(CommonArguments):
    """Write an MTR map: 100 (off - on) / off, in %, 0 to 100, on the grid of the image without MT pulse.

    Research software, not a medical device.
    """

    images: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="ON OFF")] = Field(
        description="Image with MT pulse and image without; or one 4D file with the two volumes in this order."
    )
    out: Path = Field(description="Folder to write to.")
    mask: Path | None = Field(None, description="Brain mask; by default all of the foreground.")


def run(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    arguments = parse(with_options(PrepareMtrArguments, settings=MtrOptions()), "prepare-mtr", argv)
    if len(arguments.images) not in (1, 2):
        raise UsageError("give an image with MT pulse and one without: prepare-mtr ON OFF --out DIR")
    options = validated(MtrOptions, arguments.settings)  # type: ignore[attr-defined]

    from napari_myelin.core.prepare.single import make_mtr

    output = Output(arguments.quiet, arguments.as_json)
    return tell(make_mtr(arguments.images, arguments.out, options, arguments.mask), output)
