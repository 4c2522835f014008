"""From options to networks."""

from __future__ import annotations

import torch
from torch import nn

from napari_myelin.core.networks.cascade import Cascade
from napari_myelin.core.networks.discriminator import PatchDiscriminator
from napari_myelin.core.networks.residual import ResidualUNet
from napari_myelin.core.networks.two_layer import TwoLayer
from napari_myelin.core.networks.unet import UNet
from napari_myelin.core.options import NetworkOptions


def build_cascade(options: NetworkOptions, modalities: int, seed: int) -> Cascade:
    """Return a new cascade for ``modalities`` MR images, its weights drawn from ``seed`` alone."""

    def generator(inputs: int) -> nn.Module:
        if options.generator == "two_layer":
            return TwoLayer(inputs, options.maps)
        if options.generator == "residual":
            return ResidualUNet(inputs, options.maps, variance=options.variance, region_head=options.region_head)
        return UNet(inputs, options.maps, options.norm, options.dropout, output=options.output)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Cascade(generator, modalities, options.refiners, noise=options.noise)


def build_discriminator(options: NetworkOptions, modalities: int, seed: int) -> PatchDiscriminator:
    """Return a new patch discriminator for ``modalities`` MR images, its weights drawn from ``seed`` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PatchDiscriminator(
            modalities + 1, options.patch, options.discriminator_maps, options.discriminator_blocks
        )
