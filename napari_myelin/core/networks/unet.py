"""The generator: a 3D U-Net (paper, section 2.4 and figure 3A)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from napari_myelin.core.networks import lean
from napari_myelin.core.networks.convolution import Conv3d
from napari_myelin.core.networks.layers import Dropout, InstanceNorm
from napari_myelin.core.networks.parts import InParts

SLOPE = 0.2  # of every LeakyReLU
LEVELS = 3  # times the volume is halved


class ConvBlock(nn.Sequential):
    """Convolution, LeakyReLU, normalisation, dropout, in the paper's order.

    Parameters
    ----------
    inputs, outputs
        Number of feature maps before and after.
    norm
        ``"instance"`` or ``"none"``. The paper says batch norm; with its running statistics a batch of
        one collapses at prediction, so each sample is normalised with its own statistics, always.
    dropout
        Rate in [0, 1).
    stride
        1, or 2 to halve the volume.
    """

    def __init__(self, inputs: int, outputs: int, norm: str, dropout: float, stride: int = 1) -> None:
        super().__init__(
            Conv3d(inputs, outputs, kernel_size=3, stride=stride, padding=1), *_after(outputs, norm, dropout)
        )

    def forward(self, *volumes: Tensor) -> Tensor:
        """Map volumes (B, C, I, J, K), joined along their channels, to (B, outputs, ...)."""
        first, *after = self
        if lean.pays(volumes[0]):
            return lean.convolved(first, volumes, after)
        x = torch.cat(volumes, dim=1) if len(volumes) > 1 else volumes[0]
        for layer in self:
            x = layer(x)
        return x


class Upsample(nn.Sequential):
    """Deconvolution with stride 2 that halves the maps, then as `ConvBlock`."""

    def __init__(self, inputs: int, outputs: int, norm: str, dropout: float) -> None:
        super().__init__(
            nn.ConvTranspose3d(inputs, outputs, kernel_size=3, stride=2, padding=1, output_padding=1),
            *_after(outputs, norm, dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, I, J, K) to (B, outputs, 2 I, 2 J, 2 K)."""
        first, *after = self
        if lean.pays(x):
            return lean.convolved(first, [x], after)
        for layer in self:
            x = layer(x)
        return x


def _after(maps: int, norm: str, dropout: float) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.LeakyReLU(SLOPE, inplace=True)]
    if norm == "instance":
        layers.append(InstanceNorm(maps))
    if dropout > 0:
        layers.append(Dropout(dropout))
    return layers


class UNet(InParts):
    """3D U-Net: three levels down, a bottom, three levels up with skips.

    Each level has two convolutions; a stride-2 convolution halves the volume and a stride-2
    deconvolution doubles it. Maps double from level to level. The last convolution, to one map, has
    neither norm nor dropout.

    Parameters
    ----------
    inputs
        Channels of the input.
    maps
        Feature maps of the first level (the paper: 32).
    norm, dropout
        As in `ConvBlock`.
    output
        ``"leaky_relu"`` ends with a LeakyReLU as the paper does, ``"linear"`` with the convolution.
    """

    def __init__(
        self,
        inputs: int,
        maps: int = 32,
        norm: str = "instance",
        dropout: float = 0.5,
        *,
        output: str = "leaky_relu",
    ) -> None:
        super().__init__()
        widths = [maps * 2**level for level in range(LEVELS + 1)]

        def pair(before: int, after: int) -> nn.Sequential:
            return nn.Sequential(ConvBlock(before, after, norm, dropout), ConvBlock(after, after, norm, dropout))

        self.encoders = nn.ModuleList(pair(a, b) for a, b in zip([inputs, *widths[:-2]], widths[:-1], strict=True))
        self.downs = nn.ModuleList(ConvBlock(w, w, norm, dropout, stride=2) for w in widths[:-1])
        self.bottom = pair(widths[-2], widths[-1])
        self.ups = nn.ModuleList(Upsample(2 * w, w, norm, dropout) for w in reversed(widths[:-1]))
        self.decoders = nn.ModuleList(pair(2 * w, w) for w in reversed(widths[:-1]))
        self.last = nn.Sequential(Conv3d(maps, 1, kernel_size=3, padding=1))
        if output == "leaky_relu":
            self.last.append(nn.LeakyReLU(SLOPE))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, I, J, K) to (B, 1, I, J, K); I, J, K are multiples of 8."""
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = self.part(encoder, x)
            skips.append(x)
            x = self.part(down, x)
        x = self.part(self.bottom, x)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            # popped, so that a prediction does not hold every level's maps to the end
            first, second = decoder.children()
            x = self.part(partial(_join, up, first), skips.pop(), x)
            x = self.part(second, x)
        out: Tensor = self.last(x)
        return out


def _join(up: nn.Module, block: nn.Module, skip: Tensor, below: Tensor) -> Tensor:
    out: Tensor = block(skip, up(below))
    return out
