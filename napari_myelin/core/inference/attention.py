"""Saliency: where the prediction looks (Eq. 7), per modality, and a check that it means something."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.inference.model import Model
from napari_myelin.core.inference.predict import Inputs, network_inputs
from napari_myelin.core.losses.reconstruction import plain_l1, region_l1, weighted_l2
from napari_myelin.core.networks.cascade import Cascade
from napari_myelin.core.runtime import fill_noise, generator

Target = Literal["loss", "dvr"]


@dataclass(frozen=True)
class Saliency:
    """Absolute gradient of a target with respect to each z-scored MR map, on the subject's own grid.

    ``maps`` holds one float32 volume a modality and ``Max``, their maximum, all >= 0; ``target`` is ``loss``
    (against the true DVR) or ``dvr`` (mean predicted DVR in ``region``); ``region`` is ``lesion``, ``brain``,
    or, for the loss, ``regions`` (Eq. 5), ``image`` (Eq. 4) or ``brain`` (squared errors).
    """

    maps: dict[str, Volume]
    target: Target
    region: str


def saliency(
    model: Model,
    subject: Subject,
    target: Target | None = None,
    *,
    region: Literal["lesion", "brain"] = "lesion",
    seed: int = 0,
    device: torch.device | str = "cpu",
    resample: bool = False,
) -> Saliency:
    """Return ``|d target / d I_M|`` of the whole cascade (Eq. 7, doi:10.1016/j.media.2019.101546).

    Parameters
    ----------
    model, subject
        As for `predict`.
    target
        ``"loss"``: the reconstruction term that the last stage was trained with, against the measured DVR (z-scored);
        ``"dvr"``: the mean predicted DVR inside ``region``. By default the loss where a DVR was measured.
    region
        Where ``dvr`` averages; the brain takes the place of the lesions where there are none.
    seed
        Of the noise z.
    device, resample
        As for `predict`.

    Raises
    ------
    MyelinError
        If the loss is asked for and the subject has no measured DVR; and as `predict`.
    """
    device = torch.device(device)
    if target is None:
        target = "loss" if subject.has("dvr") else "dvr"
    if target == "loss" and not subject.has("dvr"):
        raise MyelinError(f'{subject.key} has no measured DVR: saliency against the loss needs one, use "dvr"')
    inputs = network_inputs(model, subject, device, resample)
    objective, name = _objective(model, subject, inputs, target, region, resample)
    gradient = gradient_map(model.network.to(device), inputs.mri, objective, seed)
    back = inputs.placement.to_subject
    maps = {name: back(part) for name, part in zip(model.card.modalities, gradient, strict=True)}
    maps["Max"] = back(gradient.max(axis=0))
    return Saliency(maps, target, name)


class _LossObjective:
    """The reconstruction term of the last stage, as a function of the predicted map (1, 1, I, J, K), z-scored.

    Squared errors where there are ``weights``, the L1 over regions where there are regions, else the plain L1.
    """

    def __init__(self, dvr: Tensor, regions: Tensor | None, weights: Tensor | None = None) -> None:
        self.dvr, self.regions, self.weights = dvr, regions, weights

    def __call__(self, predicted: Tensor) -> Tensor:
        if self.weights is not None:
            return weighted_l2(predicted, self.dvr, self.weights)
        if self.regions is None:
            return plain_l1(predicted, self.dvr)
        return region_l1(predicted, self.dvr, self.regions)


class _MeanObjective:
    """Mean predicted DVR inside a mask (1, 1, I, J, K), in DVR units."""

    def __init__(self, mask: Tensor, sd: float) -> None:
        self.mask, self.sd = mask, sd

    def __call__(self, predicted: Tensor) -> Tensor:
        return (predicted * self.mask).sum() / self.mask.sum() * self.sd


Objective = _LossObjective | _MeanObjective


def gradient_map(network: Cascade, mri: Tensor, objective: Objective, seed: int = 0) -> np.ndarray:
    """Return ``|d objective(last map) / d mri|``, (M, I, J, K), float32, by back-propagation.

    Parameters
    ----------
    network
        In evaluation mode (no dropout).
    mri
        (1, M, I, J, K), z-scored.
    objective
        A scalar of the last stage's map.
    seed
        Of the noise z.
    """
    mri = mri.detach().clone().requires_grad_(True)
    wanted = [parameter.requires_grad for parameter in network.parameters()]
    network.requires_grad_(False)  # gradients of the weights are not needed, and are large
    try:
        with torch.enable_grad():
            value = objective(network(mri, fill_noise(mri, seed, "prediction"))[-1][:, :1])
            (gradient,) = torch.autograd.grad(value, mri)
    finally:
        for parameter, flag in zip(network.parameters(), wanted, strict=True):
            parameter.requires_grad_(flag)
    return np.asarray(gradient[0].abs().float().cpu().numpy())


def _objective(
    model: Model, subject: Subject, inputs: Inputs, target: Target, region: str, resample: bool
) -> tuple[Objective, str]:
    def on_grid(role: str, *, nearest: bool = False) -> np.ndarray:
        return inputs.placement.to_network(subject.volume(role, resample), order=0 if nearest else 1)

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array))[None, None].to(inputs.mri.device)

    lesion = on_grid("lesion", nearest=True).astype(bool) if subject.has("lesion") else None
    if target == "loss":
        dvr = tensor(model.normalisation.z("dvr", on_grid("dvr")).astype(np.float32))
        loss = model.card.options.loss
        if loss.distance == "l2":
            brain = inputs.placement.to_network(subject.brain(resample), order=0)
            weights = brain * (1 + (loss.lesion_weight - 1) * (0 if lesion is None else lesion))
            return _LossObjective(dvr, None, tensor(weights.astype(np.float32))), "brain"
        kind = loss.sketcher_l1 if model.card.stages == 1 else loss.refiner_l1
        if kind == "plain":
            return _LossObjective(dvr, None), "image"
        regions = np.zeros(inputs.placement.grid.shape, dtype=np.uint8)
        if subject.has("wm"):
            regions[on_grid("wm", nearest=True).astype(bool)] = 1
        if lesion is not None:
            regions[lesion] = 2
        return _LossObjective(dvr, tensor(regions)), "regions"
    mask = lesion
    if region == "brain" or mask is None or not mask.any():
        region, mask = "brain", inputs.placement.to_network(subject.brain(resample), order=0).astype(bool)
    return _MeanObjective(tensor(mask.astype(np.float32)), model.normalisation.sd["dvr"]), region


@dataclass(frozen=True)
class Randomised:
    """How alike the saliency still is (Spearman's rho in [-1, 1]) once ``layer`` and all after it are random."""

    layer: str
    similarity: float


def randomisation_check(
    model: Model, subject: Subject, *, seed: int = 0, device: torch.device | str = "cpu", resample: bool = False
) -> Iterator[Randomised]:
    """Randomise the weights from the last layer to the first and compare the saliency (Adebayo et al. 2018).

    A saliency that explains the trained network must change: rho falls towards 0. One that stays alike shows
    edges of the input, whatever was learnt. The model is left as it was.

    Parameters
    ----------
    model, subject, seed, device, resample
        As for `saliency`, whose default target is used.
    """
    from scipy.stats import spearmanr  # takes half as long to import as torch, and only this check needs it

    device = torch.device(device)
    inputs = network_inputs(model, subject, device, resample)
    target: Target = "loss" if subject.has("dvr") else "dvr"
    objective, _ = _objective(model, subject, inputs, target, "lesion", resample)
    brain = inputs.placement.to_network(subject.brain(resample), order=0).astype(bool)
    network = model.network.to(device)
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    before = gradient_map(network, inputs.mri, objective, seed).max(axis=0)[brain]
    random = generator("cpu", seed, "randomisation")
    try:
        for name, layer in reversed(list(_weighted(network))):
            for parameter in layer.parameters(recurse=False):
                scale = float(parameter.detach().std()) if parameter.numel() > 1 else 1.0
                drawn = torch.randn(parameter.shape, generator=random) * (scale or 1.0)
                parameter.data.copy_(drawn)
            after = gradient_map(network, inputs.mri, objective, seed).max(axis=0)[brain]
            rho = float(spearmanr(before, after).statistic)
            yield Randomised(name, 0.0 if np.isnan(rho) else rho)
    finally:
        network.load_state_dict(kept)


def _weighted(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d | nn.Linear):
            yield name, layer
