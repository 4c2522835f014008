"""Activation checkpointing: the same gradients, less held."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from napari_myelin.core.networks.build import build_cascade, build_discriminator
from napari_myelin.core.networks.parts import set_forgetting
from napari_myelin.core.options import NetworkOptions

SMALL: dict[str, dict[str, Any]] = {
    "unet": {"maps": 4, "dropout": 0.3},
    "residual": {"maps": 4, "variance": True, "region_head": True},
    "two_layer": {"maps": 2},
}


def generator(name: str) -> nn.Module:
    network = build_cascade(NetworkOptions(generator=name, **SMALL[name]), 4, seed=0).stages[0]  # type: ignore[arg-type]
    with torch.no_grad():  # the residual network begins with zeros, which would hide most of it
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return network.train()


def discriminator() -> Callable[[Tensor], Tensor]:
    network = build_discriminator(NetworkOptions(patch=16, discriminator_maps=4), 4, seed=0)
    return Judge(network)


class Judge(nn.Module):
    """A discriminator of one argument."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inside(x[:, :4], x[:, 4:])
        return out


NETWORKS: dict[str, Callable[[], Any]] = {name: (lambda name=name: generator(name)) for name in SMALL}
NETWORKS["discriminator"] = discriminator


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_that_forgets_has_the_same_gradients(name: str) -> None:
    holds = NETWORKS[name]()
    forgets = copy.deepcopy(holds)
    set_forgetting(forgets, True)
    given = torch.randn(2, 5, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    outs, slopes = [], []
    for network in (holds, forgets):
        torch.manual_seed(5)  # of dropout: drawn again as it was
        x = given.clone().requires_grad_(True)
        out = network(x)
        out.square().mean().backward()
        outs.append(out)
        slopes.append({"x": x.grad, **{name: p.grad for name, p in network.named_parameters()}})
    torch.testing.assert_close(outs[0], outs[1], rtol=0, atol=0)
    for key, one in slopes[0].items():
        torch.testing.assert_close(slopes[1][key], one, rtol=1e-5, atol=1e-7, msg=key)


def test_without_gradients_nothing_is_computed_twice() -> None:
    network, calls = generator("unet"), []
    set_forgetting(network, True)
    network.bottom.register_forward_pre_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        network(torch.randn(1, 5, 16, 16, 16))
    assert len(calls) == 1
    network(torch.randn(1, 5, 16, 16, 16)).sum().backward()
    assert len(calls) == 3  # there, and again on the way back
