"""``napari-myelin-train prepare-template``: a T1w registered to the MNI template."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field

from training_cli.arguments import CommonArguments, parse
from training_cli.output import Output
from training_cli.prepared import tell


class PrepareTemplateArguments(CommonArguments):
    """Register a T1w to the MNI template (affine, then non-linear) and write the transforms there and back.

    Research software, not a medical device.
    """

    t1w: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="T1W")] = Field(
        description="With or without skull."
    )
    out: Path = Field(description="Folder to write to.")
    mask: Path | None = Field(None, description="Brain mask in the T1w's space; by default it is found.")


def run(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    arguments = parse(PrepareTemplateArguments, "prepare-template", argv)

    from napari_myelin.core.prepare.single_anatomy import make_template

    output = Output(arguments.quiet, arguments.as_json)
    return tell(make_template(arguments.t1w, arguments.out, arguments.mask), output)
