"""One optimiser step of one stage, as in the paper: D against G, then G against D (Eq. 2, 3, 6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from napari_myelin.core.losses.adversarial import discriminator_loss, generator_loss, right_answers
from napari_myelin.core.losses.reconstruction import plain_l1, region_entropy, region_l1, variance_term, weighted_l2
from napari_myelin.core.networks.residual import split_channels
from napari_myelin.core.runtime import seeded
from napari_myelin.core.training.pace import Average, cosine
from napari_myelin.core.training.stepdown import Undo

Losses = dict[str, Tensor]
LIKELIHOOD = 0.1  # weight of the variance beside the squared errors
TELLING = 0.1  # weight of telling the regions apart beside them


@dataclass(frozen=True)
class Sample:
    """One subject on the network's grid, or N cubes of it, z-scored, on the device.

    ``mri`` (N, M, I, J, K); ``dvr`` (N, 1, I, J, K); ``regions`` (N, 1, I, J, K) 0 other, 1 NAWM, 2 lesion;
    ``weights`` (N, 1, I, J, K), how much each voxel counts in squared errors; ``condition`` (N, 1, I, J, K), what the
    stage sees besides (`Cascade.condition`); ``seed`` of its dropout.
    """

    mri: Tensor
    dvr: Tensor
    regions: Tensor
    weights: Tensor
    condition: Tensor
    seed: int


@dataclass
class StageNets:
    """What one stage trains: the generator, and a discriminator unless the L1 term stands alone."""

    generator: nn.Module
    generator_optimiser: Any
    discriminator: nn.Module | None
    discriminator_optimiser: Any
    weight: float  # lambda of Eq. 6
    region_weighted: bool  # Eq. 5 instead of Eq. 4
    adversarial_form: str
    squared: bool = False  # squared errors instead of L1
    clip: float = 0.0  # longest gradient of G; 0: any
    rate: float = 0.0  # of learning, where it changes from step to step
    steps: int = 0  # of the whole stage
    done: int = 0  # of them
    average: Average | None = None
    before: Undo | None = None  # D as it was before the step under way
    updating: bool = False  # G is being changed: the step can no longer be undone

    def undo(self) -> None:
        """Undo what a step that broke off has done, and let go of its gradients."""
        if self.before is not None:
            self.before.back()
        for optimiser in (self.generator_optimiser, self.discriminator_optimiser):
            if optimiser is not None:
                optimiser.zero_grad()


def train_step(nets: StageNets, samples: Sequence[Sample], fabric: Fabric) -> Losses:
    """Update D, then G, on the samples of this rank; return every loss term, averaged over them.

    Every rank holds as many samples as the others, so the mean of the ranks' gradients is the gradient of
    the whole batch. Subjects go through the networks one by one: their statistics and their dropout are
    their own, and a batch does not depend on how it is shared between devices.
    """
    if nets.rate:
        _set_rate(nets)
    # generate, once for both updates
    generated = [_generate(nets, sample, fabric) for sample in samples]
    terms: list[Losses] = [{} for _ in samples]

    # D: tell the true map from the generated one, given the MR images
    if nets.discriminator is not None:
        if nets.before is not None:
            nets.before.keep()
        nets.discriminator_optimiser.zero_grad()
        for sample, fake, term in zip(samples, generated, terms, strict=True):
            with fabric.autocast():
                true_logits = nets.discriminator(sample.mri, sample.dvr)
                fake_logits = nets.discriminator(sample.mri, fake[:, :1].detach())
                loss = discriminator_loss(true_logits, fake_logits)
            fabric.backward(loss / len(samples))
            term["discriminator"] = loss.detach()
            term["balance"] = right_answers(true_logits, fake_logits)
        share_gradients(nets.discriminator, fabric)
        nets.discriminator_optimiser.step()

    # G: pass for true, and stay near the true map
    nets.generator_optimiser.zero_grad()
    for sample, fake, term in zip(samples, generated, terms, strict=True):
        total = nets.weight * _reconstruction(nets, sample, fake, term)
        # on the way back, too: with checkpointing D's inside is computed again there
        with _frozen(nets.discriminator):
            if nets.discriminator is not None:
                with fabric.autocast():
                    adversarial = generator_loss(nets.discriminator(sample.mri, fake[:, :1]), nets.adversarial_form)
                total = adversarial + total
                term["adversarial"] = adversarial.detach()
            fabric.backward(total / len(samples))
        term["generator"] = total.detach()
    share_gradients(nets.generator, fabric)
    if nets.clip:
        fabric.clip_gradients(nets.generator, nets.generator_optimiser, max_norm=nets.clip, error_if_nonfinite=False)
    nets.updating = True
    nets.generator_optimiser.step()
    if nets.average is not None:
        nets.average.follow(nets.generator, nets.done)
    if nets.before is not None:
        nets.before.settle()
    nets.done += 1
    nets.updating = False
    return _averaged(terms, fabric)


def _set_rate(nets: StageNets) -> None:
    for optimiser in (nets.generator_optimiser, nets.discriminator_optimiser):
        if optimiser is not None:
            for group in optimiser.param_groups:
                group["lr"] = nets.rate * cosine(nets.done, nets.steps)


def _generate(nets: StageNets, sample: Sample, fabric: Fabric) -> Tensor:
    with seeded(sample.mri.device, sample.seed), fabric.autocast():
        fake: Tensor = nets.generator(torch.cat([sample.mri, sample.condition], dim=1))
    return fake.float()


def _reconstruction(nets: StageNets, sample: Sample, fake: Tensor, term: Losses) -> Tensor:
    """Return what is weighted by lambda, and note its parts in ``term``."""
    map_, log_variance, logits = split_channels(fake)
    if not nets.squared:
        l1 = region_l1(map_, sample.dvr, sample.regions) if nets.region_weighted else plain_l1(map_, sample.dvr)
        term["l1"] = l1.detach()
        return l1
    loss = weighted_l2(map_, sample.dvr, sample.weights)
    term["l2"] = loss.detach()
    if log_variance.shape[1]:
        likelihood = variance_term(log_variance, map_, sample.dvr, sample.weights)
        term["variance"] = likelihood.detach()
        loss = loss + LIKELIHOOD * likelihood
    if logits.shape[1]:
        entropy = region_entropy(logits, sample.regions, sample.weights)
        term["regions"] = entropy.detach()
        loss = loss + TELLING * entropy
    return loss


@contextmanager
def _frozen(network: nn.Module | None) -> Iterator[None]:
    if network is None:
        yield
        return
    # D only passes the gradient through while G learns; its own would be thrown away
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def share_gradients(network: nn.Module, fabric: Fabric) -> None:
    """Replace each rank's gradients by their mean over the ranks, in one message."""
    if fabric.world_size == 1:
        return
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    flat = fabric.all_reduce(flat, reduce_op="mean")  # type: ignore[assignment]
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def _averaged(terms: Iterable[Losses], fabric: Fabric) -> Losses:
    terms = list(terms)
    mean = {name: torch.stack([term[name] for term in terms]).mean() for name in terms[0]}
    if fabric.world_size > 1:
        names = sorted(mean)
        values = fabric.all_reduce(torch.stack([mean[name] for name in names]), reduce_op="mean")
        mean = dict(zip(names, values, strict=True))
    return mean
