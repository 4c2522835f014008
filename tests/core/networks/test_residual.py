"""The residual U-Net: what it has, where it begins, what it leaves alone."""

from __future__ import annotations

import torch

from napari_myelin.core.networks.build import build_cascade
from napari_myelin.core.networks.residual import ResidualUNet, split_channels
from napari_myelin.core.options import NetworkOptions


def test_parameters_and_shapes_worked_by_hand() -> None:
    network = ResidualUNet(5, 8, variance=True)
    stem, head, linear, spread = 27 * 5 * 8 + 8, 8 + 1, 5 + 1, (8 * 8 + 8) + (8 + 1)
    blocks = sum(copies * 2 * (27 * w * w + w) for w, copies in ((8, 2), (16, 2), (32, 1)))
    downs = (8 * 8 * 16 + 16) + (8 * 16 * 32 + 32)
    ups = (16 * 8 + 8) + (32 * 16 + 16)
    assert sum(p.numel() for p in network.parameters()) == stem + blocks + downs + ups + head + linear + spread
    assert network(torch.zeros(2, 5, 16, 12, 8)).shape == (2, 2, 16, 12, 8)


def test_it_begins_as_a_linear_model_of_each_voxel() -> None:
    torch.manual_seed(0)
    network, x = ResidualUNet(3, 4, variance=True), torch.randn(1, 3, 8, 8, 8)
    out = network(x)
    weights, bias = network.linear.weight[0, :, 0, 0, 0], network.linear.bias
    expected = torch.einsum("c,bcijk->bijk", weights, x) + bias + network.head.bias
    torch.testing.assert_close(out[:, 0], expected)
    torch.testing.assert_close(out[:, 1], network.spread[2].bias.expand(1, 8, 8, 8))


def test_what_says_the_variance_does_not_shape_the_map() -> None:
    torch.manual_seed(0)
    network, x = ResidualUNet(2, 4, variance=True), torch.randn(1, 2, 8, 8, 8)
    torch.nn.init.normal_(network.spread[2].weight)
    network(x)[:, 1].square().sum().backward()
    moved = {name for name, each in network.named_parameters() if each.grad is not None and each.grad.abs().sum() > 0}
    assert moved == {"spread.0.weight", "spread.0.bias", "spread.2.weight", "spread.2.bias"}


def test_a_shift_of_every_map_is_not_normalised_away() -> None:
    torch.manual_seed(0)
    network = ResidualUNet(2, 4)
    torch.nn.init.normal_(network.head.weight)
    x = torch.randn(1, 2, 16, 16, 16)
    assert float((network(x + 1) - network(x)).detach().abs().mean()) > 0.05


def test_without_noise_the_sketcher_is_the_same_whatever_is_drawn() -> None:
    cascade = build_cascade(NetworkOptions(generator="residual", maps=2, refiners=0, noise=False), 2, seed=0)
    mri = torch.randn(1, 2, 8, 8, 8)
    one, other = (cascade(mri, torch.randn(1, 1, 8, 8, 8))[-1] for _ in range(2))
    assert torch.equal(one, other)


def test_regions_are_told_while_training_alone_and_shape_the_features() -> None:
    torch.manual_seed(0)
    network, x = ResidualUNet(2, 4, variance=True, region_head=True), torch.randn(1, 2, 8, 8, 8)
    map_, log_variance, logits = split_channels(network(x))
    assert [part.shape[1] for part in (map_, log_variance, logits)] == [1, 1, 3]
    logits.square().sum().backward()
    slope = network.stem.weight.grad
    assert slope is not None
    assert slope.abs().sum() > 0
    assert torch.equal(network.eval()(x), torch.cat([map_, log_variance], dim=1))


def test_channels_are_split_by_their_number() -> None:
    for count, sizes in ((1, [1, 0, 0]), (2, [1, 1, 0]), (4, [1, 0, 3]), (5, [1, 1, 3])):
        out = torch.arange(count).view(1, count, 1, 1, 1)
        parts = split_channels(out)
        assert [part.shape[1] for part in parts] == sizes
        assert torch.equal(torch.cat(parts, dim=1), out)
