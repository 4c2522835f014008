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
REGIONS = 3  # other, NAWM, lesion
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
    variance
        Whether a second channel says the logarithm of the map's variance.
    region_head
        Whether, while it trains, three last channels say how likely other tissue, NAWM and lesion are (logits, in the
        order of `napari_myelin.core.data.regions`). Nobody asks them at prediction; what they teach is in the features.
    """

    def __init__(self, inputs: int, maps: int = 8, *, variance: bool = False, region_head: bool = False) -> None:
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
        if variance:
            last = nn.Conv3d(maps, 1, kernel_size=1)
            self.spread = nn.Sequential(nn.Conv3d(maps, maps, kernel_size=1), nn.SiLU(), last)
            nn.init.zeros_(last.weight)
        nn.init.zeros_(self.head.weight)
        self.regions = nn.Conv3d(maps, REGIONS, kernel_size=1) if region_head else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, I, J, K) to (B, channels, I, J, K); I, J, K are multiples of 4."""
        h, skips = self.stem(x), []
        for encoder, down in zip(self.encoders, self.downs, strict=False):
            h = self.part(encoder, h)
            skips.append(h)
            h = down(h)
        h = self.part(self.encoders[-1], h)
        for up, decoder in zip(reversed(self.ups), reversed(self.decoders), strict=True):
            h = self.part(partial(_join, up, decoder), skips.pop(), h)
        features = functional.silu(h)
        channels = [self.head(features) + self.linear(x)]
        if len(self.spread):
            channels.append(LARGEST * torch.tanh(self.spread(features.detach()) / LARGEST))
        if self.regions is not None and self.training:
            channels.append(self.regions(features))
        return torch.cat(channels, dim=1)


def split_channels(out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what a generator says, (B, channels, I, J, K), as map, log variance and logits of the regions.

    The map has one channel; the others have none where the generator does not say them.
    """
    last = out.shape[1] - (REGIONS if out.shape[1] > REGIONS else 0)
    return out[:, :1], out[:, 1:last], out[:, last:]


def _join(up: nn.Module, decoder: nn.Module, skip: Tensor, below: Tensor) -> Tensor:
    larger = functional.interpolate(up(below), scale_factor=2, mode="trilinear", align_corners=False)
    out: Tensor = decoder(skip + larger)
    return out
