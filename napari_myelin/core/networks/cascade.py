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
    noise
        Off: the Sketcher sees zeros in place of the noise.
    """

    def __init__(
        self,
        generator: Callable[[int], nn.Module],
        modalities: int,
        refiners: int = 1,
        *,
        noise: bool = True,
    ) -> None:
        super().__init__()
        self.noise = noise
        self.stages = nn.ModuleList(generator(modalities + 1) for _ in range(refiners + 1))

    def condition(self, index: int, before: Tensor) -> Tensor:
        """Return what a stage sees besides the MR images, (B, 1, I, J, K).

        Parameters
        ----------
        index
            0 is the Sketcher G_S, k the k-th Refiner G_R.
        before
            The noise z for the Sketcher; for a Refiner what the stage before it returned, of which the first channel
            is the map I_S. (B, C, I, J, K).
        """
        return torch.zeros_like(before) if index == 0 and not self.noise else before[:, :1]

    def stage(self, index: int, mri: Tensor, condition: Tensor) -> Tensor:
        """Return what one stage makes of ``mri`` (B, M, I, J, K), z-scored, and its `condition`.

        The first channel of (B, C, I, J, K) is the map; a second one, of a generator that has it, is the logarithm of
        its variance.
        """
        # joined with a volume of one channel, torch leaves channels-last memory
        seen = torch.cat([mri, condition], dim=1).contiguous(memory_format=torch.channels_last_3d)
        out: Tensor = self.stages[index](seen)
        return out

    def forward(self, mri: Tensor, noise: Tensor) -> list[Tensor]:
        """Return what each stage makes: the sketch, then each refinement, all (B, C, I, J, K) as for `stage`."""
        maps = [noise]
        for index in range(len(self.stages)):
            maps.append(self.stage(index, mri, self.condition(index, maps[-1])))
        return maps[1:]

    def first(self, stages: int) -> Cascade:
        """Return a cascade of the first ``stages`` stages that shares their weights with this one."""
        view = copy.copy(self)
        view._modules = {"stages": self.stages[:stages]}
        return view
