"""Prediction: a subject's MR maps in, DVR, sketch and uncertainty out, on the subject's own grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from napari_myelin.core.data.grid import Grid, Placement
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Progress
from napari_myelin.core.inference.model import Model, ModelCard
from napari_myelin.core.inference.spread import Spread, uncertainty
from napari_myelin.core.inference.windows import whole_or_windows
from napari_myelin.core.runtime import fill_noise, seeded


@dataclass(frozen=True)
class Prediction:
    """What the models say about one subject, as float32 volumes on its own grid, in DVR units.

    ``sketch`` is the Sketcher's map and ``dvr`` the last Refiner's (the same where there is none), each the mean
    over the models; ``uncertainty`` the standard deviation over draws and models, with the variance that a model
    predicts itself added, None where there is neither;
    ``covered`` the share of the brain inside the network's grid, in [0, 1] (the rest is 0 in every map).
    """

    dvr: Volume
    sketch: Volume
    uncertainty: Volume | None
    covered: float


@dataclass(frozen=True)
class Inputs:
    """A subject on a model's grid: ``mri`` (1, M, I, J, K), z-scored, and the way back.

    ``brain`` is bool on the subject's own grid where the model predicts 0 outside it, else None.
    """

    mri: torch.Tensor
    placement: Placement
    brain: np.ndarray | None = None


def check_usable(model: Model, subject: Subject) -> None:
    """Raise where the model cannot be applied to the subject, naming every map that is missing.

    Raises
    ------
    MyelinError
        If a modality of the model is missing.
    """
    missing = subject.missing(model.card.modalities)
    if missing:
        needs = ", ".join(model.card.modalities)
        raise MyelinError(f"{subject.key} has {' and '.join(missing)}; the model needs {needs}")


def place(card: ModelCard, subject: Subject, resample: bool = False) -> Placement:
    """Return where a model's grid lies in a subject.

    Raises
    ------
    MyelinError
        If the subject has no map that can be read.
    """
    return Grid.from_dict(card.grid).place(subject.reference(card.modalities), subject.brain(resample))


def network_inputs(model: Model, subject: Subject, device: torch.device, resample: bool = False) -> Inputs:
    """Return the subject's MR maps on the model's grid, z-scored with the model's own constants.

    Raises
    ------
    MyelinError
        If a modality is missing, or lies on another grid than the subject's first map.
    """
    check_usable(model, subject)
    placement = place(model.card, subject, resample)
    normalisation, data = model.normalisation, model.card.options.data
    channels = [
        normalisation.z(name, placement.to_network(subject.volume(name, resample)), data.harmonise)
        for name in model.card.modalities
    ]
    mri = torch.from_numpy(np.stack(channels)[None]).float().to(device)
    brain = subject.brain(resample).array if data.brain_only else None
    return Inputs(mri.contiguous(memory_format=torch.channels_last_3d), placement, brain)


def predict(
    models: Sequence[Model],
    subject: Subject,
    *,
    draws: int = 0,
    seed: int = 0,
    device: torch.device | str = "cpu",
    resample: bool = False,
    window: int | None = None,
) -> Prediction:
    """Predict a subject's DVR map from its MR maps.

    Parameters
    ----------
    models
        One model or several, whose predictions are averaged. They may differ in grid and modalities.
    subject
        Needs every modality of the models; a measured DVR is not looked at.
    draws
        Number of draws of the noise z, and of dropout where the network has it, per model, for the
        uncertainty. With 0 the uncertainty is the spread over the models, if there are several. A model that predicts
        its own variance and has no noise is not drawn from: every draw would be the same.
    seed
        Of the noise: the same seed gives the same maps.
    device
        Where to compute. The models are moved there and stay there.
    resample
        Resample maps that lie on another grid than the subject's, instead of refusing them.
    window
        Edge in voxels of overlapping windows to predict in; 0 the whole volume at once, None as each model was
        trained to.

    Raises
    ------
    MyelinError
        If a modality is missing, a map cannot be read, the maps do not share a grid, or a model predicts NaN.
    """
    *_, last = predict_in_steps(
        models, subject, draws=draws, seed=seed, device=device, resample=resample, window=window
    )
    assert isinstance(last, Prediction)
    return last


@torch.inference_mode()
def predict_in_steps(
    models: Sequence[Model],
    subject: Subject,
    *,
    draws: int = 0,
    seed: int = 0,
    device: torch.device | str = "cpu",
    resample: bool = False,
    window: int | None = None,
) -> Iterator[Progress | Prediction]:
    """Predict as `predict` does, one pass through a network after the other, so that whoever waits can give up.

    Parameters
    ----------
    models, subject, draws, seed, device, resample, window
        As for `predict`.

    Yields
    ------
    Progress or Prediction
        A `Progress` before the first pass and after each one; the `Prediction` last.

    Raises
    ------
    MyelinError
        As `predict`.
    """
    device = torch.device(device)
    sketches, finals, variances, spread, covered = [], [], [], Spread(), 1.0
    draws_of = [0 if _says_its_variance(model) else draws for model in models]
    done, total = 0, len(models) + sum(draws_of)
    yield Progress("predicting", done, total, subject.key)
    for number, model in enumerate(models):
        with torch.inference_mode(False):  # a weight that moves in this mode can never again carry a gradient
            network = model.network.to(device)
        inputs = network_inputs(model, subject, device, resample)
        covered = min(covered, inputs.placement.covered)
        edge = model.card.options.training.window if window is None else window
        sketch, final, variance = _run(network, inputs, model, edge, derive=(seed, "prediction"))
        if not np.isfinite(final.array).all():
            raise MyelinError(f"model {model.card.uid} predicts NaN for {subject.key}: train it again, or use another")
        sketches.append(sketch)
        finals.append(final)
        variances += [] if variance is None else [variance]
        done += 1
        yield Progress("predicting", done, total, subject.key)
        for draw in range(draws_of[number]):
            with dropping(network), seeded(device, seed, "dropout", number, draw):
                spread.add(_run(network, inputs, model, edge, derive=(seed, "draw", number, draw))[1].array)
            done += 1
            yield Progress("predicting", done, total, f"draw {draw + 1} of {draws}")
        if not draws_of[number]:
            spread.add(final.array)
    dvr = _mean(finals)
    sd = uncertainty(spread, [variance.array for variance in variances])
    spread_out = None if sd is None else Volume(sd, dvr.affine)
    yield Prediction(dvr, _mean(sketches), spread_out, covered)


def _says_its_variance(model: Model) -> bool:
    network = model.card.options.network
    return network.variance and not network.noise


def _run(
    network: nn.Module, inputs: Inputs, model: Model, window: int, derive: tuple[int | str, ...]
) -> tuple[Volume, Volume, Volume | None]:
    """Return the sketch, the last map, and the variance of the measured DVR where the model predicts it."""
    # the noise depends on the seed and the grid alone, so a prediction can be made again
    noise = fill_noise(inputs.mri, int(derive[0]), *derive[1:])
    maps = whole_or_windows(network, inputs.mri, noise, window, inputs.placement.box(inputs.brain))
    scores, sd = model.normalisation, model.normalisation.sd["dvr"]
    first, last = (_to_subject(inputs, scores.back("dvr", _array(maps[index][0, 0]))) for index in (0, -1))
    if maps[-1].shape[1] == 1:
        return first, last, None
    return first, last, _to_subject(inputs, np.exp(_array(maps[-1][0, 1])) * np.float32(sd) ** 2)


def _array(tensor: torch.Tensor) -> np.ndarray:
    return np.asarray(tensor.float().cpu().numpy())


def _to_subject(inputs: Inputs, array: np.ndarray) -> Volume:
    volume = inputs.placement.to_subject(array)
    return volume if inputs.brain is None else Volume(np.where(inputs.brain, volume.array, 0), volume.affine)


def _mean(volumes: Sequence[Volume]) -> Volume:
    if len(volumes) == 1:
        return volumes[0]
    total = sum(volume.array.astype(np.float64) for volume in volumes)
    return Volume(np.asarray(total / len(volumes), dtype=np.float32), volumes[0].affine)


@contextmanager
def dropping(network: nn.Module) -> Iterator[None]:
    """Turn dropout on inside the block, and nothing else."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Dropout)]
    for layer in layers:
        layer.train()
    try:
        yield
    finally:
        for layer in layers:
            layer.eval()
