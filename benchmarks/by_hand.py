"""A step of the Refiner's stage by hand, for ``inside.py``, and what its networks can be changed to."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from napari_myelin.core.losses.adversarial import discriminator_loss, generator_loss
from napari_myelin.core.losses.reconstruction import region_l1

MODALITIES = 4


class OneByOne(nn.Module):
    """A discriminator that sees its patches one after the other."""

    def __init__(self, discriminator: nn.Module, patch: int) -> None:
        super().__init__()
        self.discriminator, self.patch = discriminator, patch

    def forward(self, mri: Tensor, dvr: Tensor) -> Tensor:
        """Return the logits of all patches."""
        cuts = [slice(first, first + self.patch) for first in range(0, max(mri.shape[2:]), self.patch)]
        boxes = [(slice(None), slice(None), i, j, k) for i in cuts for j in cuts for k in cuts]
        boxes = [box for box in boxes if mri[box].numel()]
        return torch.cat([self.discriminator(mri[box], dvr[box]) for box in boxes])


class Step:
    """A step of the Refiner's stage by hand, with networks, memory and optimiser of a kind."""

    def __init__(
        self,
        given: argparse.Namespace,
        generator: nn.Module,
        discriminator: nn.Module,
        fused: bool,
        order: torch.memory_format,
    ) -> None:
        self.order = order
        self.device, self.half = torch.device(given.device), given.precision == "bf16-mixed"
        self.generator, self.discriminator = generator, discriminator
        self.adams = [torch.optim.Adam(n.parameters(), lr=1e-4, fused=fused) for n in (generator, discriminator)]
        stream = torch.Generator().manual_seed(0)
        volume = (1, 1, *given.shape)
        mri = torch.randn(1, MODALITIES, *given.shape, generator=stream).to(self.device)
        self.mri = mri.contiguous(memory_format=order)
        self.dvr, self.sketch = (torch.randn(volume, generator=stream).to(self.device) for _ in range(2))
        self.regions = torch.randint(0, 3, volume, generator=stream, dtype=torch.uint8).to(self.device)

    def __call__(self) -> float:
        """Return the seconds of a step."""
        half = torch.autocast(self.device.type, torch.bfloat16) if self.half else nullcontext()
        began = self._now()
        seen = torch.cat([self.mri, self.sketch], dim=1).contiguous(memory_format=self.order)
        of_g, of_d = self.adams
        with half:
            fake = self.generator(seen).float()
            of_d.zero_grad()
            loss = discriminator_loss(
                self.discriminator(self.mri, self.dvr), self.discriminator(self.mri, fake.detach())
            )
        loss.backward()
        of_d.step()
        of_g.zero_grad()
        self.discriminator.requires_grad_(False)
        with half:
            adversarial = generator_loss(self.discriminator(self.mri, fake))
        (adversarial + 100 * region_l1(fake, self.dvr, self.regions)).backward()
        self.discriminator.requires_grad_(True)
        of_g.step()
        return self._now() - began

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def swapped(network: nn.Module, ours: type[nn.Module], forward: Callable[..., Tensor]) -> nn.Module:
    """Return a network whose layers of a kind compute as torch's own do."""
    theirs = type(f"Plain{ours.__name__}", (ours,), {"forward": forward})
    for module in network.modules():
        if type(module) is ours:
            module.__class__ = theirs
    return network
