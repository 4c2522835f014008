"""The convolution that is fast on one small volume is torch's own, to the last bit that rounding leaves."""

from __future__ import annotations

import pytest
import torch

from napari_myelin.core.networks.convolution import SMALL, Conv3d


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(16, 12, 10), (10, 8, 9), (7, 6, 5), (2, 2, 2)])
def test_output_and_gradients_are_those_of_torch(kernel: int, stride: int, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    ours = Conv3d(3, 4, kernel, stride=stride, padding=kernel // 2).double()
    theirs = torch.nn.Conv3d(3, 4, kernel, stride=stride, padding=kernel // 2).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(1, 3, *shape, dtype=torch.float64, requires_grad=True)
    out, expected = ours(x), theirs(x)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    weights = torch.randn_like(out)
    ours_gradients = torch.autograd.grad((out * weights).sum(), [x, *ours.parameters()])
    their_gradients = torch.autograd.grad((expected * weights).sum(), [x, *theirs.parameters()])
    for gradient, one_of_theirs in zip(ours_gradients, their_gradients, strict=True):
        torch.testing.assert_close(gradient, one_of_theirs, rtol=0, atol=1e-10)


def test_only_a_lone_small_volume_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    convolve = torch.nn.functional.conv3d

    def counted(x: torch.Tensor, *rest: object) -> torch.Tensor:
        batches.append(x.shape[0])
        out: torch.Tensor = convolve(x, *rest)  # type: ignore[call-overload]
        return out

    monkeypatch.setattr(torch.nn.functional, "conv3d", counted)
    layer = Conv3d(1, 1, 3, padding=1)
    side = 2 * int(SMALL**0.5 / 2)  # even, so that it can be cut
    with torch.no_grad():
        layer(torch.zeros(1, 1, side, side, 1))
        layer(torch.zeros(1, 1, side + 2, side + 2, 1))
        layer(torch.zeros(3, 1, 4, 4, 4))
    assert batches == [2, 1, 3]


@pytest.mark.parametrize("shape", [(2, 2, 2), (2, 4, 2), (3, 4, 3)])
def test_a_thin_volume_has_its_kernels_gradient_in_bfloat16_too(shape: tuple[int, int, int]) -> None:
    # what lay in memory before must not be in it
    torch.manual_seed(0)
    layer, x = Conv3d(16, 16, kernel_size=3, padding=1), torch.randn(1, 16, *shape)
    gradients = []
    for half in (False, True):
        for _ in range(4):
            spoilt = [
                torch.full((size,), torch.nan) for size in (2**8, 2**10, 2**12, 2**13, 2**14, 2**16) for _ in "12"
            ]
            del spoilt
            layer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                out = layer(x)
            out.float().square().sum().backward()
            assert layer.weight.grad is not None
            gradients.append(layer.weight.grad.clone())
    assert out.dtype == (torch.float32 if min(shape) < 3 else torch.bfloat16)
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0], rtol=0, atol=0.05 * float(gradients[0].abs().max()))
