"""How fast a stage learns as it goes on, and the running average of its weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

WARM_UP = 50  # steps of rise, or a tenth of the stage where that is shorter
LEFT = 0.01  # of the learning rate at the end


def cosine(done: int, total: int) -> float:
    """Return the share of the learning rate at a step: a linear rise, then a half cosine down to `LEFT`.

    Parameters
    ----------
    done
        Steps of the stage before this one.
    total
        Steps of the whole stage.
    """
    rise = min(1.0, (done + 1) / min(WARM_UP, max(1, total // 10)))
    return rise * (LEFT + (1 - LEFT) * 0.5 * (1 + math.cos(math.pi * done / total)))


@dataclass
class Average:
    """A running average of a generator's weights, which predicts better than the last of them (Izmailov et al. 2018).

    Parameters
    ----------
    decay
        Share of the average that is kept at each step; less in the first steps, when there is little to keep.
    weights
        The average, by name.
    """

    decay: float
    weights: dict[str, Tensor] = field(default_factory=dict)

    @torch.no_grad()
    def follow(self, generator: nn.Module, done: int) -> None:
        """Take the weights after step number ``done`` (from 0) into account."""
        keep = min(self.decay, (done + 1) / (done + 10))
        for name, value in generator.state_dict().items():
            if name not in self.weights:
                self.weights[name] = value.clone()
            else:
                self.weights[name].lerp_(value, 1 - keep)


@contextmanager
def averaged(generator: nn.Module, average: Average | None) -> Iterator[None]:
    """Give a generator its average weights inside the block; without an average nothing changes."""
    if average is None or not average.weights:
        yield
        return
    kept = {name: value.clone() for name, value in generator.state_dict().items()}
    generator.load_state_dict(average.weights)
    try:
        yield
    finally:
        generator.load_state_dict(kept)
