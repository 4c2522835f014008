"""What the commands of single preparation steps say at their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training_cli.output import Output

if TYPE_CHECKING:
    from napari_myelin.core.prepare.made import Made


def tell(made: Made, output: Output) -> int:
    """Say what a step wrote and what is to be known about it; return the exit code."""
    for note in made.notes:
        output.say(f"note: {note}")
    for name, path in made.files.items():
        median = f", median {made.medians[name]:.4g}" if name in made.medians else ""
        output.say(f"{name}{median}: {path}")
    files = {name: str(path) for name, path in made.files.items()}
    output.result(files=files, medians=made.medians, notes=made.notes)
    return 0
