"""Overlapping windows: weights that sum to one, borders that count least, the same answer where no border is near."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import read_volume
from napari_myelin.core.inference.cohort import predict_cohort
from napari_myelin.core.inference.model import Model
from napari_myelin.core.inference.outputs import read_outputs
from napari_myelin.core.inference.predict import predict
from napari_myelin.core.inference.windows import axis_windows, in_windows, whole_or_windows
from napari_myelin.core.networks.build import build_cascade
from napari_myelin.core.options import NetworkOptions, RuntimeOptions
from napari_myelin.core.prediction_options import PredictionOptions

SIZES = [(16, 16), (32, 16), (40, 16), (128, 32), (160, 64), (160, 96), (128, 96), (48, 24), (32, 64)]


@pytest.mark.parametrize(("size", "edge"), SIZES)
def test_the_weights_of_all_windows_sum_to_one_at_every_voxel(size: int, edge: int) -> None:
    total = np.zeros(size)
    for start, weights in axis_windows(size, edge):
        assert start % 8 == 0
        assert (weights > 0).all()
        total[start : start + len(weights)] += weights
    np.testing.assert_allclose(total, 1, atol=1e-12)


@pytest.mark.parametrize(("size", "edge"), SIZES)
def test_windows_overlap_by_a_third_of_their_edge_or_more(size: int, edge: int) -> None:
    starts = [start for start, _ in axis_windows(size, edge)]
    assert starts[0] == 0
    assert starts[-1] + min(edge, size) == size
    assert all(later - earlier <= 2 * edge / 3 for earlier, later in pairwise(starts))


def constant(value: float) -> nn.Module:
    class Constant(nn.Module):
        def forward(self, mri: Tensor, noise: Tensor) -> list[Tensor]:
            return [torch.full_like(noise, value), torch.full_like(mri[:, :2], -value)]

    return Constant()


@pytest.mark.parametrize("edge", [16, 24, 40])
@pytest.mark.parametrize("value", [1.0, 1.37])
def test_a_constant_comes_back_constant(edge: int, value: float) -> None:
    # divided by counts, or by weights that are kept from being small, a Hann window returns as little as .3
    mri, noise = torch.zeros(1, 4, 48, 64, 40), torch.zeros(1, 1, 48, 64, 40)
    one, two = in_windows(constant(value), mri, noise, edge)
    assert one.shape == noise.shape
    assert two.shape == (1, 2, 48, 64, 40)
    torch.testing.assert_close(one, torch.full_like(one, value), rtol=0, atol=1e-6)
    torch.testing.assert_close(two, torch.full_like(two, -value), rtol=0, atol=1e-6)


def test_what_sees_one_voxel_alone_is_the_same_in_windows() -> None:
    stream = torch.Generator().manual_seed(0)
    mri, noise = (torch.randn(1, channels, 32, 40, 24, generator=stream) for channels in (4, 1))
    out = in_windows(lambda images, z: [images.sum(1, keepdim=True) + 2 * z], mri, noise, 16)
    torch.testing.assert_close(out[0], mri.sum(1, keepdim=True) + 2 * noise, rtol=0, atol=1e-5)


def test_only_voxels_next_to_a_windows_border_change_and_little() -> None:
    stream = torch.Generator().manual_seed(0)
    mri, noise = torch.rand(1, 1, 48, 32, 32, generator=stream), torch.zeros(1, 1, 48, 32, 32)
    mean = nn.AvgPool3d(3, stride=1, padding=1)  # sees one voxel to each side
    (out,) = in_windows(lambda images, z: [mean(images)], mri, noise, 32)
    error = (out - mean(mri)).abs()[0, 0]
    borders = [place for start, _ in axis_windows(48, 32) for place in (start - 1, start, start + 31, start + 32)]
    near = torch.zeros(48, dtype=torch.bool)
    near[[place for place in borders if 0 < place < 47]] = True
    assert float(error[~near].max()) < 1e-6
    assert 0 < float(error[near].max()) < 0.005  # a window's last voxel counts sin^2(pi / 64), 0.24 %


def test_a_network_without_norm_says_the_same_in_windows_but_for_their_borders() -> None:
    # three resolutions: sees 22 voxels to each side, and in a window of 64 half of them count next to nothing
    options = NetworkOptions(generator="residual", maps=2, refiners=0)
    cascade = build_cascade(options, 4, seed=0).eval()
    with torch.no_grad():
        for parameter in cascade.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
        stream = torch.Generator().manual_seed(0)
        mri, noise = (torch.randn(1, channels, 96, 32, 32, generator=stream) for channels in (4, 1))
        whole, parts = cascade(mri, noise)[0], in_windows(cascade, mri, noise, 64)[0]
    error = (parts - whole).abs()[0, 0].amax(dim=(1, 2))
    # windows begin at 0 and 32: what lies in one of them alone and far from its other end is untouched
    assert float(error[:8].max()) < 1e-5
    assert float(error[-8:].max()) < 1e-5
    assert float(error.max()) < 0.05 * float(whole.std())


def test_one_window_that_holds_the_volume_is_the_volume() -> None:
    calls = []

    def network(mri: Tensor, noise: Tensor) -> list[Tensor]:
        calls.append(tuple(mri.shape))
        return [noise]

    mri, noise = torch.zeros(1, 4, 32, 40, 24), torch.rand(1, 1, 32, 40, 24)
    assert whole_or_windows(network, mri, noise, 40)[0] is noise
    assert whole_or_windows(network, mri, noise, 0)[0] is noise
    assert torch.allclose(whole_or_windows(network, mri, noise, 32)[0], noise, atol=1e-6)
    assert calls == [(1, 4, 32, 40, 24), (1, 4, 32, 40, 24), *[(1, 4, 32, 32, 24)] * 2]


def test_a_model_predicts_in_the_windows_it_is_told_or_in_its_own(model: Model, memory_subject: Subject) -> None:
    seen: list[tuple[int, ...]] = []
    model.network.stages[0].register_forward_hook(lambda _, given, __: seen.append(tuple(given[0].shape[2:])))
    whole = predict([model], memory_subject)
    assert seen == [model.grid.shape]
    seen.clear()
    told = predict([model], memory_subject, window=16)
    assert set(seen) == {(16, 16, 16)}
    assert told.dvr.shape == whole.dvr.shape
    training = model.card.options.training.model_copy(update={"window": 16})
    options = model.card.options.model_copy(update={"training": training})
    own = Model(model.network, model.card.model_copy(update={"options": options}))
    np.testing.assert_array_equal(predict([own], memory_subject).dvr.array, told.dvr.array)
    np.testing.assert_array_equal(predict([own], memory_subject, window=0).dvr.array, whole.dvr.array)


def test_a_cohort_is_predicted_in_windows(model: Model, phantom_cohort: Cohort, tmp_path: Path) -> None:
    cohort, wanted = phantom_cohort.select(["04"]), PredictionOptions(window=16)
    list(predict_cohort([model], cohort, tmp_path / "p", wanted, RuntimeOptions(device="cpu")))
    made = read_outputs(tmp_path / "p")
    assert made.options.window == 16
    written = read_volume(made.path(cohort.subjects[0], "dvr-predicted")).array
    np.testing.assert_array_equal(written, predict([model], cohort.subjects[0], window=16).dvr.array)
