"""The 3D patch discriminator (paper, section 2.4 and figure 3B)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from napari_myelin.core.networks.convolution import Conv3d
from napari_myelin.core.networks.parts import InParts
from napari_myelin.core.networks.unet import SLOPE

BLOCK = 4  # layers: convolution, norm, activation, max-pooling


def patches(volume: Tensor, edge: int) -> Tensor:
    """Cut (B, C, I, J, K) into non-overlapping cubes: (B * n, C, edge, edge, edge).

    Parameters
    ----------
    volume
        Any tensor whose I, J, K are multiples of ``edge``.
    edge
        Edge of a patch in voxels; 32 cuts 128 x 160 x 128 into 4 * 5 * 4 = 80.

    Raises
    ------
    ValueError
        If ``edge`` does not divide the volume.
    """
    batch, channels, i, j, k = volume.shape
    if i % edge or j % edge or k % edge:
        raise ValueError(f"a patch of {edge} does not divide a volume of {(i, j, k)}")
    cut = volume.reshape(batch, channels, i // edge, edge, j // edge, edge, k // edge, edge)
    return cut.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(-1, channels, edge, edge, edge)


class PatchDiscriminator(InParts):
    """Classifies each patch of a volume, seen with its condition, as true or generated.

    Blocks of (convolution, batch norm, LeakyReLU, max-pooling), maps doubling, then a fully connected
    layer with two outputs: 0 is "generated", 1 is "true". The norm's statistics are those of the patches of
    the volumes in hand, in training and afterwards; no running averages (the paper's batch norm).

    Parameters
    ----------
    inputs
        Channels: the modalities and the map.
    patch
        Edge of a patch in voxels, a multiple of ``2 ** blocks``.
    maps
        Feature maps of the first block.
    blocks
        Number of blocks.
    """

    def __init__(self, inputs: int, patch: int = 32, maps: int = 32, blocks: int = 3) -> None:
        super().__init__()
        self.patch = patch
        widths = [inputs, *(maps * 2**block for block in range(blocks))]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [
                Conv3d(before, after, kernel_size=3, padding=1),
                nn.BatchNorm3d(after, track_running_stats=False),
                nn.LeakyReLU(SLOPE, inplace=True),
                nn.MaxPool3d(2),
            ]
        self.features = nn.Sequential(*layers)
        self.decide = nn.Linear(widths[-1] * (patch // 2**blocks) ** 3, 2)

    def forward(self, mri: Tensor, dvr: Tensor) -> Tensor:
        """Return logits (B * n, 2) of the n patches of each volume.

        Parameters
        ----------
        mri
            Condition, (B, M, I, J, K), z-scored.
        dvr
            True or generated map, (B, 1, I, J, K), z-scored.
        """
        x = patches(torch.cat([mri, dvr], dim=1), self.patch)
        for first in range(0, len(self.features), BLOCK):
            x = self.part(self.features[first : first + BLOCK], x)
        logits: Tensor = self.decide(x.flatten(1))
        return logits
