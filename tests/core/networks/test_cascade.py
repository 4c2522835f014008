"""The two-layer network, the cascade, and what builds them from options."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from napari_myelin.core.networks.build import build_cascade, build_discriminator
from napari_myelin.core.networks.cascade import Cascade
from napari_myelin.core.networks.two_layer import TwoLayer
from napari_myelin.core.options import NetworkOptions


class Adds(nn.Module):
    """A generator whose map is the sum of its channels plus a number of its own."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.tensor(number))

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(1, keepdim=True) + self.number


def test_two_layer_network_has_the_parameters_and_the_field_of_view_worked_by_hand() -> None:
    network = TwoLayer(5, 64)
    worked = (343 * 5 * 64 + 64) + (343 * 64 * 64 + 64) + (64 + 1)
    assert worked == 1_514_881
    assert sum(parameter.numel() for parameter in network.parameters()) == worked
    small = TwoLayer(1, 2)
    x = torch.zeros(1, 1, 21, 21, 21, requires_grad=True)
    out = small(x)
    assert out.shape == x.shape
    out[0, 0, 10, 10, 10].backward()
    assert x.grad is not None
    reached = x.grad[0, 0].nonzero()
    assert reached.min(0).values.tolist() == [4, 4, 4]  # two kernels of 7: 6 voxels each way
    assert reached.max(0).values.tolist() == [16, 16, 16]


def test_the_sketcher_sees_the_noise_and_each_refiner_the_map_before_it() -> None:
    numbers = iter((1.0, 10.0, 100.0))
    cascade = Cascade(lambda inputs: Adds(next(numbers)), modalities=2, refiners=2)
    mri, noise = torch.full((1, 2, 2, 2, 2), 3.0), torch.full((1, 1, 2, 2, 2), 0.5)
    # sketch: 3 + 3 + 0.5 + 1; refined: 6 + 7.5 + 10; again: 6 + 23.5 + 100
    assert [float(map_.detach().mean()) for map_ in cascade(mri, noise)] == [7.5, 23.5, 129.5]


def test_the_first_stages_share_their_weights_with_the_whole() -> None:
    cascade = build_cascade(NetworkOptions(maps=2, refiners=2), modalities=3, seed=0)
    first = cascade.first(2)
    assert len(first.stages) == 2
    assert len(cascade.stages) == 3
    assert all(one is other for one, other in zip(first.parameters(), cascade.parameters(), strict=False))


@pytest.mark.parametrize("refiners", [0, 1, 2, 3])
def test_a_cascade_is_a_sketcher_and_n_refiners_of_one_kind(refiners: int) -> None:
    cascade = build_cascade(NetworkOptions(maps=1, refiners=refiners), modalities=4, seed=0)
    sizes = [sum(parameter.numel() for parameter in stage.parameters()) for stage in cascade.stages]
    assert len(sizes) == refiners + 1
    assert len(set(sizes)) == 1


def test_weights_depend_on_the_seed_alone_and_leave_torchs_own_stream_untouched() -> None:
    options = NetworkOptions(maps=1)
    torch.manual_seed(5)
    untouched = torch.rand(3)
    torch.manual_seed(5)
    one = build_cascade(options, 4, seed=1)
    build_discriminator(options, 4, seed=1)
    torch.testing.assert_close(torch.rand(3), untouched)
    same, other = build_cascade(options, 4, seed=1), build_cascade(options, 4, seed=2)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_the_two_layer_option_builds_it() -> None:
    cascade = build_cascade(NetworkOptions(generator="two_layer", maps=2, refiners=0), modalities=4, seed=0)
    assert isinstance(cascade.stages[0], TwoLayer)
