"""``napari-myelin-train prepare-register``: an image brought to another's grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from pydantic import Field

from training_cli.arguments import CommonArguments, parse
from training_cli.output import Output
from training_cli.prepared import tell


class PrepareRegisterArguments(CommonArguments):
    """Register an image to another by mutual information and write it on that one's grid, with the transform.

    Research software, not a medical device.
    """

    fixed: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FIXED")] = Field(
        description="Image that stays."
    )
    moving: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="MOVING")] = Field(
        description="Image that is brought to the other's grid."
    )
    out: Path = Field(description="Folder to write to.")
    kind: Literal["rigid", "affine"] = Field("rigid", description="6 or 12 parameters.")
    masks: tuple[Path, ...] = Field(
        (), description="Masks drawn on the moving image, which follow and keep their volume."
    )


def run(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    arguments = parse(PrepareRegisterArguments, "prepare-register", argv)

    from napari_myelin.core.prepare.single_anatomy import make_registration

    output = Output(arguments.quiet, arguments.as_json)
    made = make_registration(arguments.fixed, arguments.moving, arguments.out, arguments.kind, arguments.masks)
    return tell(made, output)
