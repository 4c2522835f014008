"""``napari-myelin-train info``: print a model's card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field

from napari_myelin.core.events import duration
from training_cli.arguments import CommonArguments, parse
from training_cli.output import Output


class InfoArguments(CommonArguments):
    """Print a model's card: what it needs, what it was trained on, how it came out, what it is for."""

    model: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")] = Field(
        description="A .safetensors file that fit wrote."
    )


def run(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    arguments = parse(InfoArguments, "info", argv)

    from napari_myelin.core.inference.model import ModelCard, read_card

    output = Output(arguments.quiet, arguments.as_json)
    card: ModelCard = read_card(arguments.model)
    output.result(**card.model_dump(mode="json"))
    training, grid = card.training, card.grid
    spacing = " x ".join(f"{edge:g}" for edge in grid["spacing"])
    lines = {
        "model": f"{card.uid} (napari-myelin {card.version}, preset {card.options.preset})",
        "needs": ", ".join(f"{name} ({card.units[name]})" for name in card.modalities),
        "grid": f"{' x '.join(map(str, grid['shape']))} voxels of {spacing} mm",
        "networks": f"{card.options.network.generator}, {card.options.network.maps} maps, {card.stages} "
        f"stages ({', '.join(training.stages)})",
        "trained on": f"{len(training.subjects)} subject{'' if len(training.subjects) == 1 else 's'} "
        f"({training.controls} controls)" + (", simulated (phantom)" if training.phantom else ""),
        "held out": ", ".join(training.validation) or "nobody",
        "epochs": ", ".join(map(str, training.epochs)) + ("" if training.finished else " (not finished)"),
        "held-out MSE": "not measured" if training.validation_mse is None else f"{training.validation_mse:.4g} DVR^2",
        "time": f"{duration(training.seconds)} on {training.place}",
        "threshold": _threshold(card.threshold),
        "licence": card.licence,
        "intended use": card.intended_use,
    }
    for name, text in lines.items():
        output.say(f"{name + ':':<14}{text}")
    for note in card.notes:
        output.say(f"{'note:':<14}{note}")
    return 0


def _threshold(threshold: dict[str, object] | None) -> str:
    if threshold is None:
        return "none stored (no controls)"
    kinds = {"global": "from all control WM voxels", "template": "voxelwise", "value": "given by the user"}
    how = kinds[str(threshold["kind"])]
    k = "" if threshold["k"] is None else f", mean - {threshold['k']:g} SD of {threshold['controls']} controls"
    return f"DVR {threshold['value']:.3f}, {how}{k}"
