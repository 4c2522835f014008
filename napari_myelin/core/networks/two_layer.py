"""The two-layer DNN of Li et al. 2014 that the paper compares with (section 3.2)."""

from __future__ import annotations

from torch import Tensor, nn

from napari_myelin.core.networks.parts import InParts
from napari_myelin.core.networks.unet import SLOPE


class TwoLayer(InParts):
    """Two 7x7x7 convolutions of ``maps`` maps, each with a LeakyReLU, then a voxelwise sum to one map.

    Parameters
    ----------
    inputs
        Channels of the input.
    maps
        Feature maps of each layer (the paper: 64).
    """

    def __init__(self, inputs: int, maps: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(inputs, maps, kernel_size=7, padding=3),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv3d(maps, maps, kernel_size=7, padding=3),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv3d(maps, 1, kernel_size=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, I, J, K) to (B, 1, I, J, K)."""
        first, second, last = self.layers[:2], self.layers[2:4], self.layers[4]
        out: Tensor = last(self.part(second, self.part(first, x)))
        return out
