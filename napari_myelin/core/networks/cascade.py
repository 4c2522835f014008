"""The cascade: a Sketcher, then n Refiners (paper, figure 2)."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn


class Cascade(nn.Module):
    """A Sketcher that sees the MR images and noise, then Refiners that see the images and the last map.

    Parameters
    ----------
    generator
        Makes a generator for a number of input channels.
    modalities
        Number of MR images M.
    refiners
        Number of Refiners n; 0 leaves the Sketcher alone.
    """

    def __init__(self, generator: Callable[[int], nn.Module], modalities: int, refiners: int = 1) -> None:
        super().__init__()
        self.stages = nn.ModuleList(generator(modalities + 1) for _ in range(refiners + 1))

    def stage(self, index: int, mri: Tensor, condition: Tensor) -> Tensor:
        """Return the map (B, 1, I, J, K) of one stage.

        Parameters
        ----------
        index
            0 is the Sketcher G_S, whose condition is the noise z; k is the k-th Refiner G_R, whose
            condition is the map of the stage before it, I_S.
        mri
            (B, M, I, J, K), z-scored.
        condition
            (B, 1, I, J, K).
        """
        out: Tensor = self.stages[index](torch.cat([mri, condition], dim=1))
        return out

    def forward(self, mri: Tensor, noise: Tensor) -> list[Tensor]:
        """Return the map of each stage: the sketch, then each refinement, all (B, 1, I, J, K)."""
        maps = [noise]
        for index in range(len(self.stages)):
            maps.append(self.stage(index, mri, maps[-1]))
        return maps[1:]

    def first(self, stages: int) -> Cascade:
        """Return a cascade of the first ``stages`` stages that shares their weights with this one."""
        view = copy.copy(self)
        view._modules = {"stages": self.stages[:stages]}
        return view
