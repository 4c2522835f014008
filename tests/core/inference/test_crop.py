"""A network that does not normalise sees the brain and what it depends on; nothing that is kept changes by that."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_myelin.core.data.grid import Placement
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.inference.crop import Box, in_box, needed
from napari_myelin.core.inference.model import Model
from napari_myelin.core.inference.predict import predict
from napari_myelin.core.inference.windows import whole_or_windows
from napari_myelin.core.networks.build import build_cascade
from napari_myelin.core.networks.cascade import Cascade
from napari_myelin.core.options import NetworkOptions

NETWORKS = {
    "residual": NetworkOptions(generator="residual", maps=2, refiners=0, variance=True),
    "residual cascade": NetworkOptions(generator="residual", maps=2, refiners=1),
    "two_layer cascade": NetworkOptions(generator="two_layer", maps=2, refiners=1),
    "unet without norm": NetworkOptions(maps=2, norm="none", dropout=0.0, output="linear", refiners=0),
}


def cascade_of(options: NetworkOptions, moved: float = 0.1) -> Cascade:
    """A cascade in which every layer counts: new residual blocks add nothing."""
    cascade, stream = build_cascade(options, 4, seed=0).eval(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in cascade.parameters():
            parameter.add_(moved * torch.randn(parameter.shape, generator=stream))
    return cascade


def brain_at(first: int, shape: tuple[int, int, int] = (176, 32, 24)) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Smooth maps inside an ellipsoid that begins at ``first``, z-scored, noise everywhere, and the ellipsoid."""
    random, radii = np.random.default_rng(0), np.array([12.0, 11.0, 9.0])
    centre = np.array([first + 11.5, 15.5, 11.5])
    brain = np.linalg.norm((np.moveaxis(np.indices(shape), 0, -1) - centre) / radii, axis=-1) < 1
    maps = [gaussian_filter(random.normal(0, 3, shape), 1) + 1 for _ in range(4)]
    mri = torch.from_numpy(np.stack([np.where(brain, each, -1.5) for each in maps])[None]).float()
    noise = torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(0))
    return mri.contiguous(memory_format=torch.channels_last_3d), noise, brain


def box_of(brain: np.ndarray) -> Box:
    i, j, k = (slice(int(used.min()), int(used.max()) + 1) for used in np.nonzero(brain))
    return i, j, k


def shapes_seen(cascade: Cascade) -> list[tuple[int, ...]]:
    """Return a list that the shape of each volume that the first stage sees is put into."""
    seen: list[tuple[int, ...]] = []
    cascade.stages[0].register_forward_hook(lambda _, given, __: seen.append(tuple(given[0].shape[2:])))
    return seen


@pytest.mark.parametrize("first", [0, 61, 152], ids=["at the first border", "inside", "at the last border"])
@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_in_the_brain_a_cropped_prediction_is_that_of_the_whole_grid(name: str, first: int) -> None:
    cascade, (mri, noise, brain) = cascade_of(NETWORKS[name]), brain_at(first)
    seen = shapes_seen(cascade)
    whole, cropped = cascade(mri, noise), in_box(cascade, mri, noise, box_of(brain))
    assert seen[0] == (176, 32, 24)
    assert seen[1][0] < 176
    for one, other in zip(whole, cropped, strict=True):
        assert one.shape == other.shape
        assert float(one[0, 0, brain].std()) > 0.1  # something is said
        torch.testing.assert_close(other[:, :, brain], one[:, :, brain], rtol=1e-5, atol=1e-5)
        outside = torch.ones(one.shape[2:], dtype=torch.bool)
        outside[box_of(brain)] = False
        assert not other[:, :, outside].any()


@torch.inference_mode()
def test_a_brain_within_a_cube_is_cropped_along_every_axis() -> None:
    cascade = cascade_of(NETWORKS["residual"])
    mri, noise, brain = brain_at(4, (96, 104, 112))
    seen = shapes_seen(cascade)
    whole, cropped = cascade(mri, noise)[0], in_box(cascade, mri, noise, box_of(brain))[0]
    # from the brain's first and last voxel 27 further, to the next multiple of 4, inside the grid
    assert box_of(brain) == (slice(4, 28), slice(5, 27), slice(3, 21))
    assert seen == [(96, 104, 112), (56, 52, 48)]
    torch.testing.assert_close(cropped[:, :, brain], whole[:, :, brain], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_one_stride_less_than_what_is_needed_would_change_the_brain(name: str) -> None:
    # in float64: what comes from as far as a residual network sees is small
    cascade, shape = cascade_of(NETWORKS[name], 0.3).double(), (248, 16, 16)
    stream = torch.Generator().manual_seed(0)
    mri, noise = (100 * torch.randn(1, channels, *shape, generator=stream).double() for channels in (4, 1))
    box = (slice(120, 128), slice(0, 16), slice(0, 16))
    part = needed(cascade, box, shape)[0]
    step = {"two_layer cascade": 1, "unet without norm": 8}.get(name, 4)
    assert part.start > 0
    assert part.stop < 248
    whole = cascade(mri, noise)[-1]

    def error(start: int, stop: int) -> float:
        cropped = cascade(mri[:, :, start:stop], noise[:, :, start:stop])[-1]
        difference = cropped[:, :, 120 - start : 128 - start] - whole[:, :, 120:128]
        return float(difference.abs().max() / whole.abs().max())

    assert error(part.start, part.stop) < 1e-12
    assert error(part.start + step, part.stop) > 1e-8
    assert error(part.start, part.stop - step) > 1e-8


@torch.inference_mode()
def test_a_network_that_normalises_sees_the_whole_grid() -> None:
    cascade = cascade_of(NetworkOptions(maps=2, dropout=0.0, refiners=0))
    mri, noise, brain = brain_at(61)
    seen = shapes_seen(cascade)
    whole, asked = cascade(mri, noise)[0], in_box(cascade, mri, noise, box_of(brain))[0]
    assert seen == [(176, 32, 24)] * 2
    assert torch.equal(whole, asked)
    # and it must: a crop that leaves all that a network without norm would need changes what it says of the brain
    part = slice(0, 144)
    cropped = cascade(mri[:, :, part], noise[:, :, part])[0]
    assert float((cropped - whole[:, :, part])[:, :, brain[part]].abs().mean()) > 0.02 * float(whole[:, :, brain].std())


@torch.inference_mode()
def test_windows_lie_where_they_did() -> None:
    cascade, (mri, noise, brain) = cascade_of(NETWORKS["residual"]), brain_at(61)
    one, other = (whole_or_windows(cascade, mri, noise, 32, box)[0] for box in (None, box_of(brain)))
    assert torch.equal(one, other)


def residual_model(model: Model, subject: Subject, spacing: float, brain_only: bool) -> Model:
    """A residual network on a grid far longer than the subject, with the constants of another model."""
    options = model.card.options
    data = options.data.model_copy(update={"brain_only": brain_only})
    options = options.model_copy(update={"data": data, "network": NETWORKS["residual"]})
    size = subject.volume("MTR").spacing
    grid = {"shape": [144, 24, 24], "spacing": [spacing * edge for edge in size]}
    cascade = cascade_of(NETWORKS["residual"])
    return Model(cascade, model.card.model_copy(update={"options": options, "grid": grid, "stages": 1}))


@pytest.mark.parametrize("brain_only", [True, False])
@pytest.mark.parametrize("spacing", [1.0, 0.8])
def test_a_subjects_maps_are_the_same_in_and_outside_its_brain(
    model: Model, memory_subject: Subject, monkeypatch: pytest.MonkeyPatch, spacing: float, brain_only: bool
) -> None:
    made = residual_model(model, memory_subject, spacing, brain_only)
    seen = shapes_seen(made.network)
    cropped = predict([made], memory_subject)
    monkeypatch.setattr(Placement, "box", lambda *_: tuple(slice(0, edge) for edge in (144, 24, 24)))
    whole = predict([made], memory_subject)
    assert seen[0][0] <= 88
    assert seen[1] == (144, 24, 24)
    np.testing.assert_allclose(cropped.dvr.array, whole.dvr.array, rtol=1e-5, atol=1e-5)
    assert cropped.uncertainty is not None
    assert whole.uncertainty is not None
    np.testing.assert_allclose(cropped.uncertainty.array, whole.uncertainty.array, rtol=1e-5, atol=1e-5)
    assert cropped.dvr.array[memory_subject.brain().array].std() > 0.01
    outside = cropped.dvr.array[~memory_subject.brain().array]
    assert bool(outside.any()) is not brain_only
