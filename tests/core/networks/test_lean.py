"""Prediction with few large arrays is the same function."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from napari_myelin.core.networks import lean
from napari_myelin.core.networks.convolution import Conv3d
from napari_myelin.core.networks.unet import UNet
from napari_myelin.core.runtime import seeded


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    assert torch.get_num_threads() == request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("thickness", [1, 3, 100])
def test_joined_volumes_are_convolved_slab_by_slab_as_if_they_were_one(
    thickness: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    layer = Conv3d(5, 4, kernel_size=3, padding=1).double()
    first, second = (torch.randn(1, maps, 8, 6, 7, dtype=torch.float64) for maps in (2, 3))
    monkeypatch.setattr(lean, "SLAB", thickness * 4 * 6 * 7 * 8)
    with torch.inference_mode():
        wanted = torch.nn.functional.conv3d(torch.cat([first, second], 1), layer.weight, layer.bias, padding=1)
        torch.testing.assert_close(lean.convolved(layer, [first, second], []), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", ["instance", "none"])
@pytest.mark.parametrize("dropping", [False, True])
def test_a_prediction_in_slabs_is_that_of_the_whole_network(
    norm: str, dropping: bool, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = UNet(3, 4, norm, 0.5).double().train(dropping)
    x = torch.randn(1, 3, 24, 16, 16, dtype=torch.float64)

    def predicted() -> torch.Tensor:
        with seeded(torch.device("cpu"), 5):
            out: torch.Tensor = network(x).detach()
        return out

    assert not lean.pays(x)
    whole = predicted()
    monkeypatch.setattr(lean, "SLAB", 2**14)
    torch.testing.assert_close(predicted(), whole, rtol=0, atol=0)  # gradients are wanted: nothing changes
    for mode in (torch.inference_mode(), torch.no_grad()):
        with mode:
            assert lean.pays(x)
            torch.testing.assert_close(predicted(), whole, rtol=0, atol=1e-10)


def test_a_prediction_leaves_its_input_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean, "SLAB", 2**12)
    network, x = UNet(2, 2).eval(), torch.randn(1, 2, 16, 16, 16)
    before = x.clone()
    with torch.inference_mode():
        network(x)
    assert torch.equal(x, before)


def test_only_a_large_volume_alone_on_a_processor_goes_that_way() -> None:
    large = torch.empty(1, 8, 100, 100, 100)
    assert torch.is_grad_enabled()
    assert not lean.pays(large)
    with torch.no_grad():
        assert lean.pays(large)
        assert not lean.pays(large.expand(2, -1, -1, -1, -1))
        assert not lean.pays(large[:, :, :10])
        assert not lean.pays(large.to("meta"))
        with torch.autocast("cpu", torch.bfloat16):
            assert not lean.pays(large)
