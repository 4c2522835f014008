"""Quality is untouched by speed: a training through our layers against one through torch's own, in plain memory."""

from __future__ import annotations

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from napari_myelin.core.networks.build import build_cascade
from napari_myelin.core.networks.convolution import Conv3d
from napari_myelin.core.networks.layers import InstanceNorm
from napari_myelin.core.options import Options
from napari_myelin.core.options_file import options_from
from napari_myelin.core.runtime import to_device
from napari_myelin.core.training.stage import Position, open_stage
from napari_myelin.core.training.step import Sample, StageNets, train_step

SHAPE, STEPS = (16, 32, 16), 12


class PlainNorm(InstanceNorm):
    def forward(self, x: Tensor) -> Tensor:
        return functional.instance_norm(x.contiguous(), weight=self.weight, bias=self.bias, eps=self.eps)


class PlainConvolution(Conv3d):
    def forward(self, x: Tensor) -> Tensor:
        return nn.Conv3d.forward(self, x.contiguous())


def opened(options: Options, fabric: Fabric, plain: bool) -> StageNets:
    """Return what the Sketcher's stage trains, its layers as they are or torch's own with unfused ADAM."""
    # in float64, so that ADAM has no rounding to scale up
    cascade = to_device(build_cascade(options.network, 4, seed=1).double(), torch.device("cpu"))
    nets = open_stage(Position(), cascade, options, fabric, steps=STEPS)
    assert nets.discriminator is not None
    nets.discriminator.double()
    if not plain:
        return nets
    for network in (nets.generator, nets.discriminator):
        for module in network.modules():
            if type(module) is InstanceNorm:
                module.__class__ = PlainNorm
            elif type(module) is Conv3d:
                module.__class__ = PlainConvolution
        for parameter in network.parameters():
            parameter.data = parameter.data.contiguous()
    for optimiser in (nets.generator_optimiser, nets.discriminator_optimiser):
        optimiser.param_groups[0]["fused"] = False
    return nets


def learnable(number: int) -> Sample:
    stream = torch.Generator().manual_seed(number)
    mri = torch.randn(1, 4, *SHAPE, generator=stream, dtype=torch.float64)
    dvr = functional.avg_pool3d(mri.mean(1, keepdim=True), 3, stride=1, padding=1)
    regions = (dvr > 0).to(torch.uint8)
    noise = torch.randn(1, 1, *SHAPE, generator=stream, dtype=torch.float64)
    return Sample(mri.contiguous(memory_format=torch.channels_last_3d), dvr, regions, dvr.abs(), noise, seed=number)


def test_our_layers_and_torchs_own_learn_the_same() -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    given = {
        "network": {"maps": 4, "discriminator_maps": 4, "patch": 16, "dropout": 0.0, "output": "linear"},
        "training": {"sketcher_rate": 1e-3, "epochs": 1},
    }
    options = options_from(given)
    ours, theirs = opened(options, fabric, plain=False), opened(options, fabric, plain=True)
    terms = []
    for number in range(STEPS):
        one, other = (train_step(nets, [learnable(number % 3)], fabric) for nets in (ours, theirs))
        terms.append((float(one["l1"]), float(other["l1"])))
    mine, plain = zip(*terms, strict=True)
    assert mine == pytest.approx(plain, rel=1e-5)
    assert mine[-1] < 0.8 * mine[0]  # and something was learnt
