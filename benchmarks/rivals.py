"""What `fit` is compared with: the same training as one would write it by hand in PyTorch, and with MONAI's networks.

One loop for both: subjects held on the device, ADAM, the losses of the method, no cache, no events, no record, no
check. Noise and dropout are torch's own stream, so that losses agree with those of `fit` within noise, not to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor, nn

from napari_myelin.core.losses.reconstruction import plain_l1, region_l1
from napari_myelin.core.networks.build import build_cascade, build_discriminator
from napari_myelin.core.networks.unet import SLOPE
from napari_myelin.core.options import Options
from napari_myelin.core.runtime import derive_seed

TRUE, GENERATED = 1, 0


@dataclass(frozen=True)
class Held:
    """A subject on the device: ``mri`` (1, M, I, J, K) and ``dvr``, z-scored, and ``regions`` (1, 1, I, J, K)."""

    mri: Tensor
    dvr: Tensor
    regions: Tensor


@dataclass(frozen=True)
class Build:
    """Networks of one maker: their generators, a discriminator for a stage, and the loss of D's answer."""

    generators: list[nn.Module]
    discriminator: Callable[[int], nn.Module]
    verdict: Callable[[nn.Module, Tensor, Tensor, int], Tensor]  # D, mri, map, what D should say -> cross-entropy


def our_build(options: Options) -> Build:
    """Return the networks that `fit` trains, with the same first weights."""
    modalities, seed = len(options.data.modalities), options.training.seed
    cascade = build_cascade(options.network, modalities, derive_seed(seed, "weights"))

    def discriminator(stage: int) -> nn.Module:
        return build_discriminator(options.network, modalities, derive_seed(seed, "discriminator", stage))

    def verdict(network: nn.Module, mri: Tensor, dvr: Tensor, wanted: int) -> Tensor:
        logits = network(mri, dvr)
        return F.cross_entropy(logits.float(), torch.full((len(logits),), wanted, device=logits.device))

    return Build(list(cascade.stages), discriminator, verdict)


def monai_build(options: Options, name: str = "UNet") -> Build:
    """Return MONAI's networks nearest to ours: the same maps at the same resolutions, norm, activation and dropout.

    Parameters
    ----------
    options
        Number of maps, dropout.
    name
        ``"UNet"`` with two residual units a level, or ``"DynUNet"``, whose levels are built more like ours.
    """
    from monai.networks.nets import DynUNet, PatchDiscriminator, UNet

    network, inputs = options.network, len(options.data.modalities) + 1
    widths, strides = [network.maps * 2**level for level in range(4)], [1, 2, 2, 2]
    leaky = ("LeakyReLU", {"negative_slope": SLOPE, "inplace": True})

    def generator() -> nn.Module:
        if name == "DynUNet":
            shape = [3] * 4, strides, strides[1:], widths
            return DynUNet(3, inputs, 1, *shape, dropout=network.dropout, act_name=leaky, norm_name="instance")
        # MONAI's last width is that of the bottom, which does not halve again
        shape = [*widths, widths[-1]], strides
        return UNet(3, inputs, 1, *shape, num_res_units=2, act=leaky, norm="instance", dropout=network.dropout)

    def discriminator(stage: int) -> nn.Module:
        return PatchDiscriminator(3, network.discriminator_maps, inputs, num_layers_d=network.discriminator_blocks)

    def verdict(network: nn.Module, mri: Tensor, dvr: Tensor, wanted: int) -> Tensor:
        logits = network(torch.cat([mri, dvr], dim=1))[-1].float()
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(wanted)))

    return Build([generator() for _ in range(network.refiners + 1)], discriminator, verdict)


class Loop:
    """A training by hand, stage after stage.

    Parameters
    ----------
    build
        The networks.
    options
        Learning rates, weights of the terms and their form.
    subjects
        By key, on the device.
    device
        Where to compute.
    half
        Compute in bfloat16 where torch's autocast does.
    """

    def __init__(
        self, build: Build, options: Options, subjects: Mapping[str, Held], device: torch.device, *, half: bool = False
    ) -> None:
        self.build, self.options, self.subjects, self.device, self.half = build, options, subjects, device, half
        self.generators = [network.to(device) for network in build.generators]

    def open(self, stage: int) -> None:
        """Begin a stage: the networks before it are frozen."""
        self.stage = stage
        for network in self.generators:
            network.requires_grad_(False).eval()
        self.generator = self.generators[stage].requires_grad_(True).train()
        self.discriminator = self.build.discriminator(stage).to(self.device)
        training = self.options.training
        rate = training.refiner_rate if stage else training.sketcher_rate
        self.for_generator = torch.optim.Adam(self.generator.parameters(), lr=rate)
        self.for_discriminator = torch.optim.Adam(self.discriminator.parameters(), lr=rate)

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.half else nullcontext()

    def _condition(self, mri: Tensor) -> Tensor:
        condition = torch.randn_like(mri[:, :1])
        with torch.no_grad(), self._autocast():
            for network in self.generators[: self.stage]:
                condition = network(torch.cat([mri, condition], dim=1)).float()
        return condition

    def step(self, key: str) -> Tensor:
        """Update D, then G, on one subject; return its reconstruction term, on the device."""
        subject, loss = self.subjects[key], self.options.loss
        condition, verdict = self._condition(subject.mri), self.build.verdict
        with self._autocast():
            fake = self.generator(torch.cat([subject.mri, condition], dim=1))
        fake = fake.float()

        self.for_discriminator.zero_grad()
        with self._autocast():
            of_true = verdict(self.discriminator, subject.mri, subject.dvr, TRUE)
            of_fake = verdict(self.discriminator, subject.mri, fake.detach(), GENERATED)
        (of_true + of_fake).backward()
        self.for_discriminator.step()

        self.for_generator.zero_grad()
        self.discriminator.requires_grad_(False)
        with self._autocast():
            adversarial = verdict(self.discriminator, subject.mri, fake, TRUE)
        kind = loss.refiner_l1 if self.stage else loss.sketcher_l1
        weight = loss.lambda_refiner if self.stage else loss.lambda_sketcher
        l1 = region_l1(fake, subject.dvr, subject.regions) if kind == "region" else plain_l1(fake, subject.dvr)
        (adversarial + weight * l1).backward()
        self.discriminator.requires_grad_(True)
        self.for_generator.step()
        return l1.detach()
