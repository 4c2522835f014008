"""Norm and dropout of the generator against torch's own in the memory format where those are right."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from napari_myelin.core.networks.layers import Dropout, InstanceNorm, Sums

LAST = torch.channels_last_3d


def normed(x: torch.Tensor, norm: InstanceNorm) -> torch.Tensor:
    weight, bias = norm.weight.detach().double(), norm.bias.detach().double()
    return functional.group_norm(x.double().contiguous(), norm.num_groups, weight, bias, norm.eps)


def some_norm(maps: int) -> InstanceNorm:
    torch.manual_seed(1)
    norm = InstanceNorm(maps)
    torch.nn.init.uniform_(norm.weight, 0.5, 2)
    torch.nn.init.normal_(norm.bias)
    return norm


def test_a_norm_over_many_voxels_is_right_in_channels_last_memory_where_torch_is_not() -> None:
    norm = some_norm(2)
    x = (3 * torch.randn(1, 2, 64, 80, 64) + 1).contiguous(memory_format=LAST)
    wanted = normed(x, norm)
    ours = norm(x).detach()
    assert float((ours - wanted).abs().max()) < 1e-5
    assert ours.is_contiguous(memory_format=LAST)
    scale, shift, *_ = norm.constants(Sums.of(part) for part in x[0].detach().split(7, dim=1))
    assert float((x[0] * scale + shift - wanted[0]).detach().abs().max()) < 1e-5


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("memory", [torch.contiguous_format, LAST])
def test_gradients_of_the_norm_agree_with_finite_differences(batch: int, memory: torch.memory_format) -> None:
    norm = some_norm(2).double()
    x = torch.randn(batch, 2, 3, 4, 2, dtype=torch.float64).contiguous(memory_format=memory).requires_grad_()

    def function(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = torch.func.functional_call(norm, {"weight": weight, "bias": bias}, (x,))
        return out

    assert torch.autograd.gradcheck(function, (x, norm.weight, norm.bias))


def test_gradients_in_pieces_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    norm, g = some_norm(3), torch.randn(2, 3, 8, 6, 4)
    x = torch.randn(2, 3, 8, 6, 4).contiguous(memory_format=LAST).requires_grad_()
    inputs = [x, *norm.parameters()]
    whole = torch.autograd.grad((norm(x) * g).sum(), inputs)
    monkeypatch.setattr("napari_myelin.core.networks.layers.BLOCK", 3 * 6 * 4 * 3)  # three voxels of the first axis
    for one, other in zip(torch.autograd.grad((norm(x) * g).sum(), inputs), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_batch_norm_of_one_sample_is_the_same_function() -> None:
    # what stands in for it on a GPU
    norm, x = some_norm(3), torch.randn(1, 3, 6, 5, 4)
    out = functional.batch_norm(x, None, None, norm.weight, norm.bias, training=True, eps=norm.eps)
    torch.testing.assert_close(out, norm(x))


def test_half_precision_and_channels_last_memory_stay_what_they_are() -> None:
    x = torch.randn(1, 4, 4, 4, 4).bfloat16().contiguous(memory_format=LAST)
    norm = some_norm(4)
    for device in ("cpu", "meta"):
        out = norm.to(device)(x.to(device))
        assert out.dtype == torch.bfloat16
        assert out.is_contiguous(memory_format=LAST)
    norm = some_norm(4)
    torch.testing.assert_close(norm(x).double(), normed(x, norm), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.75])
def test_dropout_drops_its_rate_in_every_map_and_keeps_the_mean(rate: float) -> None:
    torch.manual_seed(0)
    ones = torch.ones(1, 8, 32, 32, 32).contiguous(memory_format=LAST)
    out = Dropout(rate).train()(ones.clone())
    assert out.unique().tolist() == pytest.approx([0, 1 / (1 - rate)])
    dropped = (out == 0).float()
    spread = (rate * (1 - rate) / 32**3) ** 0.5
    assert (dropped.mean((0, 2, 3, 4)) - rate).abs().max() < 4 * spread
    # neighbours in memory come from one drawn number, and are independent all the same
    flat = dropped.permute(0, 2, 3, 4, 1).flatten() - rate
    for distance in (1, 2, 3, 4):
        assert abs(float((flat[distance:] * flat[:-distance]).mean())) < 4 * rate * (1 - rate) / 32**3**0.5


def test_dropout_passes_the_gradient_where_it_keeps_and_depends_on_the_seed_alone() -> None:
    layer = Dropout(0.5).train()
    x = torch.randn(2, 3, 4, 5, 6, requires_grad=True)
    torch.manual_seed(3)
    out = layer(x * 1.0)
    (gradient,) = torch.autograd.grad((out * 3).sum(), x)
    torch.testing.assert_close(gradient, torch.where(out == 0, 0.0, 6.0))
    torch.testing.assert_close(out, torch.where(out == 0, 0.0, 2 * x))
    torch.manual_seed(3)
    torch.testing.assert_close(layer(x * 1.0), out, rtol=0, atol=0)
    assert layer.eval()(x) is x


def test_the_mask_that_is_kept_for_the_way_back_has_a_byte_a_number() -> None:
    kept: list[torch.Tensor] = []
    for device in ("cpu", "meta"):
        x = torch.zeros(1, 2, 4, 4, 4, device=device, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t), t)[1], lambda t: t):
            Dropout(0.5).train()(x * 1.0)
    assert [tensor.dtype for tensor in kept] == [torch.bool, torch.bool]
