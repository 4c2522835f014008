"""Saliency is the gradient: against finite differences, and against weights made random."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_myelin.core.data.subject import Subject
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.inference.attention import (
    _LossObjective,
    _MeanObjective,
    gradient_map,
    randomisation_check,
    saliency,
)
from napari_myelin.core.inference.model import Model
from napari_myelin.core.inference.predict import predict
from napari_myelin.core.networks.build import build_cascade
from napari_myelin.core.networks.cascade import Cascade
from napari_myelin.core.options import NetworkOptions
from napari_myelin.core.runtime import fill_noise


@pytest.fixture
def network() -> Cascade:
    options = NetworkOptions(maps=2, dropout=0.0, patch=8, output="linear")
    # LeakyReLU has a kink, and float32 no digits to spare: float64 for finite differences
    return build_cascade(options, 2, seed=1).double().eval()


def objectives(mri: torch.Tensor) -> dict[str, object]:
    drawn = torch.Generator().manual_seed(5)
    dvr = torch.randn((1, 1, *mri.shape[2:]), generator=drawn, dtype=torch.float64) * 5
    regions = torch.zeros(dvr.shape, dtype=torch.uint8)
    regions[..., 4:9, 4:9, 4:9], regions[..., 10:13, 10:13, 10:13] = 1, 2
    mask = (regions == 2).double()
    return {
        "plain": _LossObjective(dvr, None),
        "region": _LossObjective(dvr, regions),
        "mean": _MeanObjective(mask, sd=0.4),
    }


@pytest.mark.parametrize("name", ["plain", "region", "mean"])
def test_gradient_equals_finite_differences(network: Cascade, name: str) -> None:
    mri = torch.randn((1, 2, 16, 16, 16), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    objective = objectives(mri)[name]
    gradient = gradient_map(network, mri, objective)  # type: ignore[arg-type]
    noise = fill_noise(mri, 0, "prediction")
    step = 1e-6
    for index in [(0, 3, 4, 5), (1, 11, 11, 11), (0, 0, 0, 0), (1, 2, 13, 15)]:
        values = []
        for sign in (1, -1):
            moved = mri.clone()
            moved[(0, *index)] += sign * step
            with torch.no_grad():
                values.append(float(objective(network(moved, noise)[-1])))  # type: ignore[operator]
        expected = abs(values[0] - values[1]) / (2 * step)
        assert gradient[index] == pytest.approx(expected, rel=1e-3, abs=1e-8)


def test_gradient_leaves_weights_and_flags_alone(network: Cascade) -> None:
    mri = torch.randn((1, 2, 16, 16, 16), dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    gradient_map(network, mri, objectives(mri)["plain"])  # type: ignore[arg-type]
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())


def test_maximum_is_the_maximum_over_modalities_and_all_lie_on_the_subjects_grid(
    model: Model, memory_subject: Subject
) -> None:
    result = saliency(model, memory_subject)
    assert list(result.maps) == ["MTR", "FA", "RD", "AD", "Max"]
    assert (result.target, result.region) == ("loss", "regions")
    stacked = np.stack([result.maps[name].array for name in ("MTR", "FA", "RD", "AD")])
    # interpolated back after the maximum was taken: equal up to that
    assert (result.maps["Max"].array >= stacked.max(axis=0) - 1e-6).all()
    assert stacked.min() >= 0
    assert stacked.max() > 0
    assert result.maps["MTR"].same_grid(memory_subject.volume("MTR"))


def test_without_a_measured_dvr_the_target_is_the_lesions_mean_dvr(model: Model, memory_subject: Subject) -> None:
    files = {role: file for role, file in memory_subject.files.items() if role != "dvr"}
    subject = Subject("x1", None, "MS", files=files)
    assert saliency(model, subject).target == "dvr"
    assert saliency(model, subject).region == "lesion"
    no_lesion = Subject("x1", files={role: file for role, file in files.items() if role != "lesion"})
    assert saliency(model, no_lesion).region == "brain"
    with pytest.raises(MyelinError, match="no measured DVR"):
        saliency(model, subject, "loss")


def test_saliency_of_the_mean_dvr_does_not_depend_on_the_measured_map(model: Model, memory_subject: Subject) -> None:
    volume = memory_subject.volume("dvr")
    other = memory_subject.with_files(dvr=type(volume)(volume.array * 0.5, volume.affine))
    one, two = (saliency(model, subject, "dvr").maps["Max"].array for subject in (memory_subject, other))
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-8)
    one, two = (saliency(model, subject, "loss").maps["Max"].array for subject in (memory_subject, other))
    assert not np.allclose(one, two, rtol=1e-4, atol=1e-8)


def test_randomised_weights_change_the_saliency_and_are_put_back(model: Model, memory_subject: Subject) -> None:
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    rows = list(randomisation_check(model, memory_subject))
    convolutions = [name for name, layer in model.network.named_modules() if hasattr(layer, "kernel_size")]
    convolutions = [name for name in convolutions if "Pool" not in type(model.network.get_submodule(name)).__name__]
    assert [row.layer for row in rows] == list(reversed(convolutions))  # from the last layer to the first
    assert all(-1 <= row.similarity <= 1 for row in rows)
    assert abs(rows[-1].similarity) < 0.9
    for name, value in model.network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_a_model_that_a_prediction_has_moved_can_be_asked_for_its_saliency(
    model: Model, memory_subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = saliency(model, memory_subject).maps["Max"].array

    def moved(network: Cascade, device: torch.device) -> Cascade:
        return network._apply(torch.clone)  # to a GPU every weight becomes another tensor, too

    monkeypatch.setattr(Cascade, "to", moved)
    predict([model], memory_subject)
    assert not any(parameter.is_inference() for parameter in model.network.parameters())
    np.testing.assert_array_equal(saliency(model, memory_subject).maps["Max"].array, expected)
