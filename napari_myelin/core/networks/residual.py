"""A residual U-Net without normalisation: values stay values, so that a map in a unit comes out in a unit.

Instance norm takes each map's mean away, and with it what a change of all white matter would look like; residual
branches that begin at nothing train without it (Zhang et al. 2019, Fixup, arXiv:1901.09321).
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_myelin.core.networks.convolution import Conv3d
from napari_myelin.core.networks.parts import InParts

LEVELS = 2  # times the volume is halved
LARGEST = 10.0  # logarithm of a variance, on either side: outside a brain nothing else holds it


class ResidualBlock(nn.Module):
    """Two activations and convolutions beside an identity; the last convolution begins at zero.

    Parameters
    ----------
    maps
        Feature maps, before and after.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.first = Conv3d(maps, maps, kernel_size=3, padding=1)
        self.second = Conv3d(maps, maps, kernel_size=3, padding=1)
        for parameter in self.second.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, maps, I, J, K) to the same shape."""
        out: Tensor = x + self.second(functional.silu(self.first(functional.silu(x))))
        return out


class ResidualUNet(InParts):
    """A residual block at each of three resolutions, down and up again, beside a voxelwise linear model.

    Parameters
    ----------
    inputs
        Channels of the input.
    maps
        Feature maps at full resolution; they double from level to level.
    outputs
        1 for a map, 2 for a map and the logarithm of its variance.
    """

    def __init__(self, inputs: int, maps: int = 8, outputs: int = 1) -> None:
        super().__init__()
        widths = [maps * 2**level for level in range(LEVELS + 1)]
        self.stem = Conv3d(inputs, maps, kernel_size=3, padding=1)
        self.encoders = nn.ModuleList(ResidualBlock(width) for width in widths)
        self.downs = nn.ModuleList(Conv3d(a, b, kernel_size=2, stride=2) for a, b in pairwise(widths))
        self.ups = nn.ModuleList(nn.Conv3d(b, a, kernel_size=1) for a, b in pairwise(widths))
        self.decoders = nn.ModuleList(ResidualBlock(width) for width in widths[:-1])
        self.head = nn.Conv3d(maps, 1, kernel_size=1)
        self.linear = nn.Conv3d(inputs, 1, kernel_size=1)
        # what says the variance reads the features and does not shape them: they are the map's
        self.spread = nn.Sequential()
        if outputs == 2:
            last = nn.Conv3d(maps, 1, kernel_size=1)
            self.spread = nn.Sequential(nn.Conv3d(maps, maps, kernel_size=1), nn.SiLU(), last)
            nn.init.zeros_(last.weight)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, I, J, K) to (B, outputs, I, J, K); I, J, K are multiples of 4."""
        h, skips = self.stem(x), []
        for encoder, down in zip(self.encoders, self.downs, strict=False):
            h = self.part(encoder, h)
            skips.append(h)
            h = down(h)
        h = self.part(self.encoders[-1], h)
        for up, decoder in zip(reversed(self.ups), reversed(self.decoders), strict=True):
            h = self.part(partial(_join, up, decoder), skips.pop(), h)
        features = functional.silu(h)
        out: Tensor = self.head(features) + self.linear(x)
        if not len(self.spread):
            return out
        spread = self.spread(features.detach())
        return torch.cat([out, LARGEST * torch.tanh(spread / LARGEST)], dim=1)


def _join(up: nn.Module, decoder: nn.Module, skip: Tensor, below: Tensor) -> Tensor:
    larger = functional.interpolate(up(below), scale_factor=2, mode="trilinear", align_corners=False)
    out: Tensor = decoder(skip + larger)
    return out
