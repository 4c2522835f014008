"""One optimiser step against the same step written out in plain torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch.nn import functional

from napari_myelin.core.networks.build import build_cascade, build_discriminator
from napari_myelin.core.networks.discriminator import PatchDiscriminator
from napari_myelin.core.networks.parts import set_forgetting
from napari_myelin.core.options import NetworkOptions
from napari_myelin.core.runtime import seeded
from napari_myelin.core.training.pace import Average, cosine
from napari_myelin.core.training.step import Sample, StageNets, train_step

NETWORK = NetworkOptions(maps=2, discriminator_maps=2, patch=16, dropout=0.3, output="linear")
SHAPE = (16, 32, 16)
# biases that a norm takes away again: their gradient is rounding, which ADAM scales up
WITHOUT_EFFECT = {"features.0.bias", "features.4.bias", "features.8.bias"}


@pytest.fixture
def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def sample(number: int) -> Sample:
    stream = torch.Generator().manual_seed(number)
    regions = torch.zeros(1, 1, *SHAPE, dtype=torch.uint8)
    regions[..., 4:12, 4:28, 4:12] = 1
    regions[..., 6:9, 6:9, 6:9] = 2
    mri = torch.randn(1, 4, *SHAPE, generator=stream)
    dvr, condition = (torch.randn(1, 1, *SHAPE, generator=stream) for _ in range(2))
    weights = torch.rand(1, 1, *SHAPE, generator=stream)
    return Sample(mri, dvr, regions, weights, condition, seed=100 + number)


def nets(fabric: Fabric, *, adversarial: bool = True, region: bool = True, form: str = "non_saturating") -> StageNets:
    generator = build_cascade(NETWORK, 4, seed=1).stages[0]
    discriminator = build_discriminator(NETWORK, 4, seed=2) if adversarial else None

    def adam(network: torch.nn.Module) -> Any:
        return fabric.setup_optimizers(torch.optim.Adam(network.parameters(), lr=1e-2))

    optimiser = None if discriminator is None else adam(discriminator)
    return StageNets(generator, adam(generator), discriminator, optimiser, 100.0, region, form)


def bare_steps(batches: list[list[Sample]]) -> tuple[torch.nn.Module, PatchDiscriminator, list[float]]:
    """The paper's step, nothing of the engine but the networks: region-weighted, non-saturating."""
    generator, discriminator = build_cascade(NETWORK, 4, seed=1).stages[0], build_discriminator(NETWORK, 4, seed=2)
    for_g = torch.optim.Adam(generator.parameters(), lr=1e-2)
    for_d = torch.optim.Adam(discriminator.parameters(), lr=1e-2)
    totals = []
    for batch in batches:
        fakes = []
        for each in batch:
            with seeded(torch.device("cpu"), each.seed):
                fakes.append(generator(torch.cat([each.mri, each.condition], 1)))
        patches = SHAPE[1] // 16
        true, false = torch.ones(patches, dtype=torch.long), torch.zeros(patches, dtype=torch.long)
        loss = torch.tensor(0.0)
        for each, fake in zip(batch, fakes, strict=True):
            loss = loss + functional.cross_entropy(discriminator(each.mri, each.dvr), true)
            loss = loss + functional.cross_entropy(discriminator(each.mri, fake.detach()), false)
        for_d.zero_grad()
        (loss / len(batch)).backward()
        for_d.step()
        total = torch.tensor(0.0)
        for each, fake in zip(batch, fakes, strict=True):
            error = (fake - each.dvr).abs()
            l1 = sum(error[each.regions == label].mean() for label in (0, 1, 2)) / 3
            total = total + 100 * l1 + functional.cross_entropy(discriminator(each.mri, fake), true)
        for_g.zero_grad()
        (total / len(batch)).backward()
        for_g.step()
        totals.append(float(total.detach()) / len(batch))
    return generator, discriminator, totals


@pytest.mark.parametrize("size", [1, 2])
def test_steps_end_with_the_weights_of_a_bare_loop(size: int, fabric: Fabric) -> None:
    batches = [[sample(10 * number + member) for member in range(size)] for number in range(3)]
    ours = nets(fabric)
    losses = [train_step(ours, batch, fabric) for batch in batches]
    generator, discriminator, totals = bare_steps(batches)
    for one, other in ((ours.generator, generator), (ours.discriminator, discriminator)):
        assert one is not None
        for (name, value), wanted in zip(one.named_parameters(), other.parameters(), strict=True):
            if name not in WITHOUT_EFFECT:
                torch.testing.assert_close(value, wanted, rtol=1e-4, atol=1e-5, msg=name)
    assert [float(loss["generator"]) for loss in losses] == pytest.approx(totals, rel=1e-4)


def test_the_terms_add_up_to_eq_6(fabric: Fabric) -> None:
    losses = train_step(nets(fabric), [sample(0)], fabric)
    assert set(losses) == {"discriminator", "balance", "l1", "adversarial", "generator"}
    wanted = float(losses["adversarial"]) + 100 * float(losses["l1"])
    assert float(losses["generator"]) == pytest.approx(wanted, rel=1e-6)
    assert 0 <= float(losses["balance"]) <= 1


def test_without_an_adversary_the_l1_term_stands_alone(fabric: Fabric) -> None:
    ours = nets(fabric, adversarial=False, region=False)
    losses = train_step(ours, [sample(0)], fabric)
    assert set(losses) == {"l1", "generator"}
    assert float(losses["generator"]) == pytest.approx(100 * float(losses["l1"]), rel=1e-6)


def test_the_generators_update_leaves_no_gradient_in_the_discriminator(fabric: Fabric) -> None:
    ours = nets(fabric)
    assert ours.discriminator is not None
    train_step(ours, [sample(0)], fabric)
    only_d = [parameter.grad.clone() for parameter in ours.discriminator.parameters() if parameter.grad is not None]
    fresh = nets(fabric, adversarial=True)
    assert fresh.discriminator is not None
    each = sample(0)
    with seeded(torch.device("cpu"), each.seed):
        fake = fresh.generator(torch.cat([each.mri, each.condition], 1)).detach()
    true, false = torch.ones(2, dtype=torch.long), torch.zeros(2, dtype=torch.long)
    loss = functional.cross_entropy(fresh.discriminator(each.mri, each.dvr), true)
    (loss + functional.cross_entropy(fresh.discriminator(each.mri, fake), false)).backward()
    for mine, parameter in zip(only_d, fresh.discriminator.parameters(), strict=True):
        torch.testing.assert_close(mine, parameter.grad)
    assert all(parameter.requires_grad for parameter in ours.discriminator.parameters())


def test_checkpointing_trains_to_the_same_weights(fabric: Fabric) -> None:
    # dropout and an adversary are in it; only rounding may differ
    plain, forgetting = nets(fabric), nets(fabric)
    for network in (forgetting.generator, forgetting.discriminator):
        assert network is not None
        set_forgetting(network, True)
    for number in range(3):
        one, other = (train_step(each, [sample(number)], fabric) for each in (plain, forgetting))
        assert one.keys() == other.keys()
        for name in one:
            torch.testing.assert_close(one[name], other[name], rtol=1e-5, atol=1e-6, msg=name)
    for one, other in zip(plain.generator.parameters(), forgetting.generator.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_squared_errors_with_a_clip_and_a_cosine_are_the_same_step_written_out(fabric: Fabric) -> None:
    options = NetworkOptions(generator="residual", maps=2, variance=True, region_head=True)
    ours, theirs = (build_cascade(options, 4, seed=1).stages[0] for _ in range(2))
    optimiser = fabric.setup_optimizers(torch.optim.Adam(ours.parameters(), lr=1.0))
    stage = StageNets(ours, optimiser, None, None, 3.0, False, "", squared=True, clip=0.5, rate=1e-2, steps=100)
    stage.average = Average(0.5)
    plain = torch.optim.Adam(theirs.parameters(), lr=1e-2)
    for number in range(3):
        losses = train_step(stage, [sample(number)], fabric)
        one, rate = sample(number), 1e-2 * cosine(number, 100)
        out = theirs(torch.cat([one.mri, one.condition], 1))
        squares = (out[:, :1] - one.dvr) ** 2
        fit = (one.weights * squares).sum() / one.weights.sum()
        spread = one.weights * (out[:, 1:2] + squares.detach() / out[:, 1:2].exp())
        told = out[:, 2:].log_softmax(1).gather(1, one.regions.long())
        beside = spread.sum() - (one.weights * told).sum()
        total = 3 * (fit + 0.1 * beside / one.weights.sum())
        plain.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        plain.param_groups[0]["lr"] = rate
        plain.step()
        assert float(losses["generator"]) == pytest.approx(float(total.detach()), rel=1e-5)
        assert float(losses["l2"]) == pytest.approx(float(fit.detach()), rel=1e-5)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)
    assert not torch.equal(stage.average.weights["stem.weight"], ours.state_dict()["stem.weight"])
