"""Loss terms of steps, copied off the device once in several steps: a GPU is never made to wait for who reads them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch

from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Step
from napari_myelin.core.training.step import Losses

# of a step of a tenth of a second: the curves still move, and a run that diverges loses no more than this
EVERY = 16


class DivergedError(MyelinError):
    """A loss term is no longer finite."""


class Readings:
    """The steps that were done and whose losses nobody has read yet.

    Parameters
    ----------
    stage
        Name of the stage.
    device
        On a CPU the terms are numbers already, and each step is read at once.
    """

    def __init__(self, stage: str, device: torch.device) -> None:
        self.stage, self.every = stage, 1 if device.type == "cpu" else EVERY
        self._waiting: list[tuple[int, int, Losses]] = []
        self._began = time.monotonic()

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self) -> None:
        """Note that a step begins."""
        if not self._waiting:
            self._began = time.monotonic()

    def add(self, epoch: int, step: int, losses: Losses) -> None:
        """Keep a step's loss terms, scalars on the device; epochs and steps count from 1."""
        self._waiting.append((epoch, step, losses))

    @property
    def due(self) -> bool:
        """Whether it is time to read them."""
        return len(self._waiting) >= self.every

    def read(self) -> Iterator[Step]:
        """Yield what waits as events, copied from the device at once; their seconds are the mean over them.

        Raises
        ------
        DivergedError
            If a term is NaN or infinite.
        """
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        names = list(waiting[0][2])
        terms = torch.stack([losses[name].float() for _, _, losses in waiting for name in names]).tolist()
        seconds = (time.monotonic() - self._began) / len(waiting)
        for number, (epoch, step, _) in enumerate(waiting):
            values = dict(zip(names, terms[number * len(names) :], strict=False))
            for name, value in values.items():
                if not math.isfinite(value):
                    raise DivergedError(
                        f'the loss term "{name}" became {value} in stage {self.stage}, epoch {epoch}, step {step}; '
                        "the state saved before it is kept"
                    )
            yield Step(self.stage, epoch, step, values, seconds)
