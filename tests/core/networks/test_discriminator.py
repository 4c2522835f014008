"""The patch discriminator: cutting, maps, shapes and parameters worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from napari_myelin.core.networks.discriminator import PatchDiscriminator, patches


def test_patches_are_the_blocks_that_slicing_gives() -> None:
    volume = torch.arange(2 * 3 * 8 * 12 * 4, dtype=torch.float32).reshape(2, 3, 8, 12, 4)
    cut = patches(volume, 4)
    assert cut.shape == (2 * 2 * 3 * 1, 3, 4, 4, 4)
    number = 0
    for sample in range(2):
        for i in (0, 4):
            for j in (0, 4, 8):
                torch.testing.assert_close(cut[number], volume[sample, :, i : i + 4, j : j + 4, 0:4])
                number += 1


def test_the_papers_volume_has_80_patches() -> None:
    assert patches(torch.empty(1, 1, 128, 160, 128, device="meta"), 32).shape[0] == 80


def test_a_patch_that_does_not_divide_the_volume_is_refused() -> None:
    with pytest.raises(ValueError, match=r"16 does not divide .*\(32, 40, 32\)"):
        patches(torch.zeros(1, 1, 32, 40, 32), 16)


def test_discriminator_has_the_parameters_worked_by_hand() -> None:
    convolutions = (27 * 5 * 32 + 32) + (27 * 32 * 64 + 64) + (27 * 64 * 128 + 128)
    norms = 2 * (32 + 64 + 128)
    decision = 128 * 4**3 * 2 + 2  # three times halved, 32 becomes 4
    assert convolutions + norms + decision == 297_858
    assert sum(parameter.numel() for parameter in PatchDiscriminator(5).parameters()) == 297_858


def test_every_block_halves_the_patch_and_doubles_the_maps() -> None:
    network = PatchDiscriminator(3, patch=16, maps=4, blocks=3)
    seen = []
    for layer in network.features:
        if isinstance(layer, nn.Conv3d | nn.MaxPool3d):
            layer.register_forward_hook(lambda _layer, _inputs, output: seen.append(tuple(output.shape)))
    logits = network(torch.randn(1, 2, 32, 16, 16), torch.randn(1, 1, 32, 16, 16))
    assert seen == [
        *((2, 4, 16, 16, 16), (2, 4, 8, 8, 8)),
        *((2, 8, 8, 8, 8), (2, 8, 4, 4, 4)),
        *((2, 16, 4, 4, 4), (2, 16, 2, 2, 2)),
    ]
    assert logits.shape == (2, 2)


def test_one_block_is_convolution_norm_over_the_patches_leaky_relu_and_maximum() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(2, patch=8, maps=3, blocks=1)
    mri, dvr = torch.randn(1, 1, 16, 8, 8), torch.randn(1, 1, 16, 8, 8)
    convolution = network.features[0]
    maps = convolution(patches(torch.cat([mri, dvr], dim=1), 8)).detach().numpy().astype(np.float64)
    mean, variance = maps.mean(axis=(0, 2, 3, 4), keepdims=True), maps.var(axis=(0, 2, 3, 4), keepdims=True)
    active = (maps - mean) / np.sqrt(variance + 1e-5)
    active = np.where(active > 0, active, 0.2 * active)
    pooled = active.reshape(2, 3, 4, 2, 4, 2, 4, 2).max(axis=(3, 5, 7))
    weight, bias = (value.detach().numpy().astype(np.float64) for value in network.decide.parameters())
    expected = pooled.reshape(2, -1) @ weight.T + bias
    for mode in (True, False):  # the statistics are the patches' own, in training and after
        np.testing.assert_allclose(network.train(mode)(mri, dvr).detach().numpy(), expected, atol=1e-4)


def test_a_patch_sees_its_own_mr_images() -> None:
    # the second patch's condition changes only statistics that both share; without the norm it changes nothing
    torch.manual_seed(0)
    network = PatchDiscriminator(2, patch=8, maps=2, blocks=1)
    network.features[1] = nn.Identity()
    mri, dvr = torch.randn(1, 1, 16, 8, 8), torch.randn(1, 1, 16, 8, 8)
    before = network(mri, dvr)
    mri[:, :, 8:] += 1
    after = network(mri, dvr)
    torch.testing.assert_close(after[0], before[0])
    assert not torch.allclose(after[1], before[1])


def test_patches_of_8_have_their_gradients_in_bfloat16_too() -> None:
    # halved twice, their last convolution sees two voxels an axis, where torch's own returns what lay in memory before
    torch.manual_seed(0)
    network = PatchDiscriminator(2, 8, 16, 3)
    mri, dvr = torch.randn(1, 1, 16, 16, 16), torch.randn(1, 1, 16, 16, 16)
    gradients = []
    for half in (False, True, True, True):
        network.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            logits = network(mri, dvr)
        logits.float().square().sum().backward()
        gradients.append(torch.cat([each.grad.flatten() for each in network.parameters() if each.grad is not None]))
    for gradient in gradients[1:]:
        assert bool(gradient.isfinite().all())
        assert float((gradient - gradients[0]).norm() / gradients[0].norm()) < 0.1
