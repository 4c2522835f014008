"""How far each network sees: worked by hand, and to the voxel by what a change of one voxel changes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_myelin.core.networks.build import build_cascade
from napari_myelin.core.networks.cascade import Cascade
from napari_myelin.core.networks.reach import reach, seen, stride
from napari_myelin.core.networks.residual import ResidualUNet
from napari_myelin.core.networks.two_layer import TwoLayer
from napari_myelin.core.networks.unet import UNet
from napari_myelin.core.options import NetworkOptions

NETWORKS = {
    # two kernels of 7
    "two_layer": (lambda: TwoLayer(1, 3), 6),
    # voxel 0 back to the first one that it sees: -2, halved -2, -4, halved -3, -5, doubled -10, -12, -24, -26, -27
    "residual": (lambda: ResidualUNet(1, 2), 27),
    # voxel 2 back to the last one that it sees: 3, 5, halved 3, 5, 3, 5, 3, 5, doubled 11, 13, 27, 29, 59, 61
    "unet": (lambda: UNet(1, 2, norm="none", dropout=0.0), 59),
}


def random(network: nn.Module) -> nn.Module:
    """Return a network in which every layer counts; a new residual block adds nothing."""
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=stream))
    return network.eval()


def changed(network: nn.Module, voxel: int, size: int) -> tuple[int, int]:
    """Return the first and last plane of the output that a change of one voxel of the input changes."""
    x = torch.randn(1, 1, size, 8, 8, generator=torch.Generator().manual_seed(0))
    other = x.clone()
    other[0, 0, voxel, 4, 4] += 1000.0
    with torch.no_grad():
        planes = (network(other) != network(x))[0].any(0).flatten(1).any(1).nonzero().flatten()
    return int(planes[0]), int(planes[-1])


@pytest.mark.parametrize("name", NETWORKS)
def test_reach_worked_by_hand(name: str) -> None:
    make, expected = NETWORKS[name]
    assert reach(make()) == expected


@pytest.mark.parametrize("name", NETWORKS)
def test_a_voxel_changes_what_sees_it_as_far_as_the_reach_and_nothing_beyond(name: str) -> None:
    make, expected = NETWORKS[name]
    network, size = random(make()), 144
    spans = {voxel: seen(network, (voxel, voxel)) for voxel in range(size)}
    farthest = 0
    for voxel in range(64, 72):  # every phase of the strides
        first, last = changed(network, voxel, size)
        sees = [place for place, (low, high) in spans.items() if low <= voxel <= high]
        assert (first, last) == (sees[0], sees[-1])
        farthest = max(farthest, voxel - first, last - voxel)
    assert farthest == expected


def test_a_cascade_sees_as_far_as_its_stages_one_after_the_other() -> None:
    def cascade(generator: str, refiners: int) -> Cascade:
        options = NetworkOptions(generator=generator, maps=2, refiners=refiners)  # type: ignore[arg-type]
        return build_cascade(options, 2, seed=0)

    assert reach(cascade("residual", 0)) == 27
    assert reach(cascade("residual", 1)) == 51  # 27 to voxel 1 of a block of 4, which sees 24
    assert [reach(cascade("two_layer", refiners)) for refiners in (0, 1, 3)] == [6, 12, 24]
    assert [stride(cascade(name, 1)) for name in ("two_layer", "residual", "unet")] == [1, 4, 8]


def test_a_network_that_normalises_and_one_that_is_not_known_see_the_whole_volume() -> None:
    assert reach(UNet(1, 2, norm="instance")) is None
    assert reach(build_cascade(NetworkOptions(maps=2), 4, seed=0)) is None
    assert reach(nn.Sequential(nn.Conv3d(1, 1, 3, padding=1), nn.BatchNorm3d(1))) is None
    assert reach(nn.Sequential(nn.Conv3d(1, 1, 3, padding=1), nn.Softmax(1))) is None
