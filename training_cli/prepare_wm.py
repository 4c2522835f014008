"""``napari-myelin-train prepare-wm``: the white-matter mask of a T1w."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field

from training_cli.arguments import CommonArguments, parse
from training_cli.output import Output
from training_cli.prepared import tell


class PrepareWmArguments(CommonArguments):
    """Write the white-matter mask of a T1w, lesions in it: three classes, after filling the lesions.

    Research software, not a medical device.
    """

    t1w: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="T1W")] = Field(
        description="With or without skull."
    )
    out: Path = Field(description="Folder to write to.")
    mask: Path | None = Field(None, description="Brain mask in the T1w's space; by default it is found.")
    lesion: Path | None = Field(None, description="Lesion mask in the T1w's space.")
    labels: Path | None = Field(None, description="FreeSurfer's or FAST's labels, instead of a segmentation.")


def run(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    arguments = parse(PrepareWmArguments, "prepare-wm", argv)

    from napari_myelin.core.prepare.single_anatomy import make_wm

    output = Output(arguments.quiet, arguments.as_json)
    own = {"mask": arguments.mask, "lesion": arguments.lesion, "labels": arguments.labels}
    return tell(make_wm(arguments.t1w, arguments.out, **own), output)
