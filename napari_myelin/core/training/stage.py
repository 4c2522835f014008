"""One stage of the cascade: its networks and optimisers, its samples, its best weights."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from napari_myelin.core.data.regions import LESION
from napari_myelin.core.errors import UsageError
from napari_myelin.core.networks.build import build_discriminator
from napari_myelin.core.networks.cascade import Cascade
from napari_myelin.core.networks.parts import set_forgetting
from napari_myelin.core.options import Options
from napari_myelin.core.runtime import derive_seed, draw_noise, to_device
from napari_myelin.core.training.cubes import cut
from napari_myelin.core.training.fields import field_zeros
from napari_myelin.core.training.ground import Ground
from napari_myelin.core.training.pace import Average
from napari_myelin.core.training.step import Sample, StageNets
from napari_myelin.core.training.stepdown import Undo


def stage_names(refiners: int) -> list[str]:
    """Return the names of the stages: ``sketcher``, then ``refiner`` or ``refiner1``, ``refiner2``, ..."""
    if refiners == 1:
        return ["sketcher", "refiner"]
    return ["sketcher", *(f"refiner{number + 1}" for number in range(refiners))]


@dataclass
class Position:
    """Where a run stands: stage (0 is the Sketcher), epochs done in it, steps done in the epoch under way."""

    stage: int = 0
    epoch: int = 0
    step: int = 0
    steps_done: int = 0  # of the whole run
    seconds: float = 0.0
    mse: float | None = None  # on the held-out subjects, of the weights that the stage before ended with
    sums: dict[str, float] = field(default_factory=dict)  # of the epoch's loss terms so far


@dataclass
class Best:
    """The weights with the lowest validation loss of a stage."""

    loss: float
    mse: float
    epoch: int
    weights: dict[str, Tensor]


def open_stage(position: Position, cascade: Cascade, options: Options, fabric: Fabric, steps: int) -> StageNets:
    """Return what the stage at ``position`` trains: the others are frozen, this one starts from scratch.

    Parameters
    ----------
    position, cascade, options, fabric
        Of the run.
    steps
        Of an epoch.
    """
    index = position.stage
    cascade.requires_grad_(False).eval()
    generator = cascade.stages[index].requires_grad_(True).train()
    set_forgetting(generator, options.training.checkpointing)
    sketching = index == 0
    rate = options.training.sketcher_rate if sketching else options.training.refiner_rate
    discriminator = optimiser = before = None
    if options.loss.adversarial:
        seed = derive_seed(options.training.seed, "discriminator", index)
        discriminator = build_discriminator(options.network, len(options.data.modalities), seed)
        discriminator = to_device(discriminator, fabric.device)
        set_forgetting(discriminator, options.training.checkpointing)
        optimiser = _adam(discriminator, rate, options, fabric)
        before = Undo(discriminator, optimiser) if fabric.world_size == 1 else None
    loss = options.loss
    return StageNets(
        generator=generator,
        generator_optimiser=_adam(generator, rate, options, fabric),
        discriminator=discriminator,
        discriminator_optimiser=optimiser,
        weight=loss.lambda_sketcher if sketching else loss.lambda_refiner,
        region_weighted=(loss.sketcher_l1 if sketching else loss.refiner_l1) == "region",
        adversarial_form=loss.adversarial_form,
        squared=loss.distance == "l2",
        clip=options.training.clip,
        rate=rate if options.training.schedule == "cosine" else 0.0,
        steps=options.training.epochs * steps,
        done=position.epoch * steps + position.step,
        average=Average(options.training.average) if options.training.average else None,
        before=before,
    )


def _adam(network: nn.Module, rate: float, options: Options, fabric: Fabric) -> Any:
    # fused: one pass over the weights and their moments, not one for each operation (docs/performance.md); but not
    # where a scaler has to undo its scaling before gradients are clipped
    fused = options.runtime.precision != "16-mixed"
    return fabric.setup_optimizers(torch.optim.Adam(network.parameters(), lr=rate, fused=fused))


def check_batch(batch: int, ranks: int) -> None:
    """Raise where a batch cannot be shared equally.

    Raises
    ------
    UsageError
        If ``batch`` is no multiple of the number of ``ranks``.
    """
    if batch % ranks:
        raise UsageError(
            f"a batch of {batch} cannot be shared by {ranks} devices: --batch counts the subjects of one step over "
            f"all devices, choose a multiple of {ranks}"
        )


def epoch_order(keys: list[str], position: Position, options: Options) -> list[list[str]]:
    """Return an epoch's batches of subject keys, in an order that the seed, stage and epoch alone decide.

    The last batch is filled up from the start of the order, so that every batch is whole.
    """
    batch = options.training.batch
    seed = derive_seed(options.training.seed, "order", position.stage, position.epoch)
    order = [keys[index] for index in np.random.default_rng(seed).permutation(len(keys))]
    steps = -(-len(order) // batch)
    order = [order[index % len(order)] for index in range(steps * batch)]
    return [order[first : first + batch] for first in range(0, len(order), batch)]


def make_sample(
    ground: Ground, cascade: Cascade, key: str, position: Position, options: Options, fabric: Fabric
) -> Sample:
    """Return one training sample, with the noise (Sketcher) or the frozen stages' map (Refiner) as condition."""
    subject, training = ground.take(key), options.training
    where: tuple[int | str, ...] = (position.stage, position.epoch, position.step, key)
    mri, seed = subject.mri, derive_seed(training.seed, "dropout", *where)
    # a network that does not look at the noise is not made to wait for it
    noise = draw_noise(mri, training.seed, "noise", *where) if options.network.noise else torch.zeros_like(subject.dvr)
    sample = Sample(mri, subject.dvr, subject.regions, subject.brain, noise, seed)
    # a model that will predict in windows shows a Refiner what the frozen stages make of a cube alone
    cubes_first = training.crop > 0 and (training.window > 0 or position.stage == 0)
    lesion = subject.lesion_voxels() if training.crop else None
    zeros = field_zeros(ground.normalisation, options.data.modalities) if training.field else ()
    if cubes_first:
        sample = cut(sample, training, *where, zeros=zeros, lesion=lesion)
    sample = conditioned(cascade, position.stage, sample, fabric)
    if training.crop and not cubes_first:
        sample = cut(sample, training, *where, zeros=zeros, lesion=lesion)
    more = options.loss.lesion_weight - 1
    return replace(sample, weights=sample.weights * (1 + more * (sample.regions == LESION)))


def conditioned(cascade: Cascade, stage: int, sample: Sample, fabric: Fabric) -> Sample:
    """Return a sample with what a stage sees besides the images, in float32; until then ``condition`` is the noise."""
    before = sample.condition
    if stage > 0:
        # the frozen stages predict as they will for users: without dropout
        with torch.no_grad(), fabric.autocast():
            before = cascade.first(stage)(sample.mri, before)[-1]
        before = before.float()
    return replace(sample, condition=cascade.condition(stage, before))


def stage_state(nets: StageNets) -> dict[str, Any]:
    """Return what a stage needs to go on: discriminator and both optimisers."""
    state: dict[str, Any] = {"generator_optimiser": nets.generator_optimiser.state_dict()}
    if nets.discriminator is not None:
        state["discriminator"] = nets.discriminator.state_dict()
        state["discriminator_optimiser"] = nets.discriminator_optimiser.state_dict()
    if nets.average is not None:
        state["average"] = nets.average.weights
    return state


def load_stage_state(nets: StageNets, state: dict[str, Any]) -> None:
    """Put back what `stage_state` returned."""
    nets.generator_optimiser.load_state_dict(state["generator_optimiser"])
    if nets.discriminator is not None:
        nets.discriminator.load_state_dict(state["discriminator"])
        nets.discriminator_optimiser.load_state_dict(state["discriminator_optimiser"])
    if nets.average is not None:
        # optimisers and networks take their device from what they hold; a saved state is read onto the CPU
        devices = {name: value.device for name, value in nets.generator.state_dict().items()}
        nets.average.weights = {name: value.to(devices[name]) for name, value in state["average"].items()}
