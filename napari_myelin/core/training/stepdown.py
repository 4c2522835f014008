"""What a run does when memory runs out: the next smaller way to train, and the step that ran out undone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from napari_myelin.core.options import Options
from napari_myelin.core.options_file import options_from

Change = int | bool
SHRINK = 0.75  # of an edge from one step down to the next: two fifths of the voxels are left


def changed(options: Options, changes: dict[str, Change]) -> Options:
    """Return options with some of the training's changed.

    Raises
    ------
    UsageError
        If that cannot be.
    """
    return options_from({"training": changes}, options) if changes else options


def next_smaller(options: Options, shape: Sequence[int]) -> dict[str, Change] | None:
    """Return the training options that take less memory than these, as little less as possible; None where none does.

    First fewer and smaller cubes, with windows of the same size where the model is to predict in windows, because
    those take less for the same time; then checkpointing, which takes more time.

    Parameters
    ----------
    options
        As they hold.
    shape
        Voxels of the network's grid (I, J, K).
    """
    training = options.training
    if training.crop and training.crops > 1:
        return {"crops": training.crops // 2}
    if training.crop and not training.window and options.network.refiners:
        return {"window": training.crop}  # the frozen stages then see cubes, too
    unit = max(8, options.network.patch) if options.loss.adversarial else 8
    edge = min(training.crop or max(shape), max(shape))
    smaller = _shrunk(edge, unit)
    if smaller >= max(16, unit):
        alone = training.crop and not training.window  # predicts whole volumes, from cubes or not
        return {"crop": smaller} if alone else {"crop": smaller, "window": smaller}
    return None if training.checkpointing else {"checkpointing": True}


def next_window(options: Options, shape: Sequence[int]) -> dict[str, Change] | None:
    """Return a smaller window to predict in, None where it cannot be smaller.

    Parameters
    ----------
    options, shape
        As for `next_smaller`.
    """
    edge = min(options.training.window or max(shape), max(shape))
    smaller = _shrunk(edge, 8)
    return {"window": smaller} if smaller >= 16 else None


def _shrunk(edge: int, unit: int) -> int:
    return int(SHRINK * edge) // unit * unit


def in_words(changes: dict[str, Change]) -> str:
    """Return changes as flags: ``--crop 64 --window 64``."""
    return " ".join(f"--{name}" if value is True else f"--{name} {value}" for name, value in changes.items())


class Undo:
    """A network and its optimiser as they were at the last `keep`; a step that breaks off is undone with `back`.

    Parameters
    ----------
    network
        Small enough to be kept twice: the discriminator, which is updated before the generator is.
    optimiser
        Its ADAM, by Fabric.
    """

    def __init__(self, network: nn.Module, optimiser: Any) -> None:
        self.network, self.optimiser = network, optimiser
        self._kept: list[Tensor] = []
        self._within = False

    def _live(self) -> list[Tensor]:
        states = [value for state in self.optimiser.state.values() for value in state.values()]
        return [*(p.detach() for p in self.network.parameters()), *(v for v in states if isinstance(v, Tensor))]

    @torch.no_grad()
    def keep(self) -> None:
        """Remember how they are now, as a step begins to change them."""
        self._within = True
        live = self._live()
        if len(live) == len(self._kept):
            torch._foreach_copy_(self._kept, live)  # in place: nothing is allocated within a step
        else:  # before the first step there are no moments yet
            self._kept = [each.clone() for each in live]

    def settle(self) -> None:
        """Let what the step did stand."""
        self._within = False

    @torch.no_grad()
    def back(self) -> None:
        """Make them as they were before the step under way, if it has changed them."""
        if not self._within:
            return
        self._within = False
        live = self._live()
        if len(live) > len(self._kept):
            self.optimiser.state.clear()
        torch._foreach_copy_(live[: len(self._kept)], self._kept)
