"""The generator: maps, shapes and parameters worked by hand, and single layers against scipy and numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate
from torch import nn

from napari_myelin.core.networks.reach import seen
from napari_myelin.core.networks.unet import ConvBlock, UNet, Upsample


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_paper_generator_has_the_parameters_worked_by_hand() -> None:
    def conv(inputs: int, outputs: int) -> int:
        return 27 * inputs * outputs + outputs  # kernel 3 x 3 x 3 and a bias

    def block(inputs: int, outputs: int) -> int:
        return conv(inputs, outputs) + 2 * outputs  # the norm's scale and shift

    down = block(5, 32) + 2 * block(32, 32) + block(32, 64) + 2 * block(64, 64) + block(64, 128) + 2 * block(128, 128)
    bottom = block(128, 256) + block(256, 256)
    up = block(256, 128) + block(128, 64) + block(64, 32)
    after_skip = block(256, 128) + block(128, 128) + block(128, 64) + block(64, 64) + block(64, 32) + block(32, 32)
    assert down + bottom + up + after_skip + conv(32, 1) == 7_005_697
    assert count(UNet(5, 32)) == 7_005_697
    assert count(UNet(5, 32, norm="none")) == 7_005_697 - 3_712  # 1856 maps are normalised


def test_every_layer_of_the_generator_has_the_papers_maps_and_shape() -> None:
    network = UNet(5, 4).eval()
    seen: list[tuple[int, ...]] = []
    for module in network.modules():
        if isinstance(module, ConvBlock | Upsample):
            module.register_forward_hook(lambda _module, _inputs, output: seen.append(tuple(output.shape[1:])))
    out = network(torch.zeros(1, 5, 32, 40, 24))
    levels = {4: (32, 40, 24), 8: (16, 20, 12), 16: (8, 10, 6), 32: (4, 5, 3)}
    half = {maps: levels[2 * maps] for maps in (4, 8, 16)}
    expected = []
    for maps in (4, 8, 16):
        expected += [(maps, *levels[maps])] * 2 + [(maps, *half[maps])]
    expected += [(32, 4, 5, 3)] * 2
    for maps in (16, 8, 4):
        expected += [(maps, *levels[maps])] * 3
    assert seen == expected
    assert out.shape == (1, 1, 32, 40, 24)


def test_a_convolution_block_is_correlation_then_leaky_relu_then_each_samples_own_statistics() -> None:
    torch.manual_seed(0)
    block = ConvBlock(2, 3, "instance", dropout=0.5).eval()
    x = torch.randn(2, 2, 6, 7, 5)
    weight, bias = (value.detach().numpy().astype(np.float64) for value in block[0].parameters())
    out = block(x).detach().numpy()
    for sample in range(2):
        for map_ in range(3):
            images = x[sample].numpy().astype(np.float64)
            summed = bias[map_] + sum(
                correlate(image, kernel, mode="constant") for image, kernel in zip(images, weight[map_], strict=True)
            )
            active = np.where(summed > 0, summed, 0.2 * summed)
            expected = (active - active.mean()) / np.sqrt(active.var() + 1e-5)
            np.testing.assert_allclose(out[sample, map_], expected, atol=1e-5)


def test_a_stride_of_two_keeps_every_second_value_of_the_correlation() -> None:
    torch.manual_seed(0)
    whole, strided = ConvBlock(2, 3, "none", 0.0), ConvBlock(2, 3, "none", 0.0, stride=2)
    strided.load_state_dict(whole.state_dict())
    x = torch.randn(1, 2, 8, 8, 8)
    torch.testing.assert_close(strided(x), whole(x)[..., ::2, ::2, ::2])


def test_upsampling_is_the_transpose_of_the_strided_convolution() -> None:
    # <conv(x), y> = <x, transposed(y)> for the same kernel and no bias
    torch.manual_seed(0)
    up = Upsample(3, 2, "none", 0.0)[0]
    x, y = torch.randn(1, 2, 8, 8, 8), torch.randn(1, 3, 4, 4, 4)
    with torch.no_grad():
        down = nn.functional.conv3d(x, up.weight, stride=2, padding=1)
        transposed = up(y) - up.bias.view(1, -1, 1, 1, 1)
    assert transposed.shape == x.shape
    assert float((down * y).sum()) == pytest.approx(float((x * transposed).sum()), rel=1e-4)


def test_dropout_is_off_at_prediction_and_the_norm_is_the_same() -> None:
    torch.manual_seed(0)
    network = UNet(2, 2, dropout=0.5)
    without = UNet(2, 2, dropout=0.0)
    # the norm of a block without dropout has the same place, so the weights fit
    without.load_state_dict(network.state_dict())
    x = torch.randn(1, 2, 16, 16, 16)
    torch.testing.assert_close(network.eval()(x), without.train()(x))
    assert not torch.allclose(network.train()(x), network.eval()(x))


def test_the_last_layer_is_a_leaky_relu_or_nothing() -> None:
    torch.manual_seed(0)
    paper, linear = UNet(2, 2, dropout=0.0), UNet(2, 2, dropout=0.0, output="linear")
    linear.load_state_dict(paper.state_dict())
    x = torch.randn(1, 2, 16, 16, 16)
    raw = linear(x)
    assert (raw < 0).any()
    torch.testing.assert_close(paper(x), torch.where(raw > 0, raw, 0.2 * raw))


@pytest.mark.parametrize("norm", ["instance", "none"])
def test_gradients_in_channels_last_memory_are_those_of_the_usual_one(norm: str) -> None:
    # guards against torch's InstanceNorm3d, which is silently wrong there on the CPU (2.13)
    torch.manual_seed(0)
    usual, last = UNet(3, 4, norm, 0.0), UNet(3, 4, norm, 0.0)
    last.load_state_dict(usual.state_dict())
    last = last.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    x = torch.randn(1, 3, 16, 24, 16)
    usual(x).square().mean().backward()
    last(x.contiguous(memory_format=torch.channels_last_3d)).square().mean().backward()
    for (name, one), other in zip(usual.named_parameters(), last.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-3, atol=1e-6, msg=name)


def test_gradients_agree_with_finite_differences() -> None:
    torch.manual_seed(0)
    network = UNet(1, 1, dropout=0.0).double()
    x = torch.randn(1, 1, 16, 16, 16, dtype=torch.float64)
    network(x).square().mean().backward()
    for name, parameter in network.named_parameters():
        if not name.endswith("0.weight") or parameter.grad is None:
            continue
        index = (0,) * parameter.ndim
        with torch.no_grad():
            parameter[index] += 1e-6
            above = network(x).square().mean()
            parameter[index] -= 2e-6
            below = network(x).square().mean()
            parameter[index] += 1e-6
        assert float(parameter.grad[index]) == pytest.approx(float((above - below) / 2e-6), rel=1e-3, abs=1e-8), name


def test_a_volume_cropped_to_a_multiple_of_the_stride_says_the_same_beyond_the_receptive_field_of_the_cut() -> None:
    torch.manual_seed(0)
    network = UNet(2, 2, norm="none", dropout=0.0, output="linear").double()
    for parameter in network.parameters():  # so that every level counts
        torch.nn.init.normal_(parameter, std=0.3)
    x = torch.randn(1, 2, 192, 16, 16, dtype=torch.float64, requires_grad=True)
    network(x)[0, 0, 96, 8, 8].backward()
    assert x.grad is not None
    looked_at = x.grad.abs().amax(dim=(0, 1, 3, 4)).nonzero().flatten()
    assert (int(looked_at[0]), int(looked_at[-1])) == seen(network, (96, 96)) == (96 - 53, 96 + 53)
    start = 40
    with torch.no_grad():
        whole, cropped = network(x), network(x[:, :, start:])
        shifted = network(x[:, :, start - 4 : -4])[:, :, 4:]  # no multiple of the stride
    beyond = 59  # as far as any voxel sees; the first of a block of 8 sees 53
    torch.testing.assert_close(cropped[:, :, beyond:], whole[:, :, start + beyond :])
    assert float((cropped - whole[:, :, start:])[:, :, :8].abs().max()) > 1e-4
    assert float((shifted - whole[:, :, start:-4])[:, :, beyond:-beyond].abs().max()) > 1e-4
