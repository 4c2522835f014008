"""The work behind Run: load the model, predict, explain, and make layers of it, all off the main thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Failed, Noted, Progress, Skipped, Stopped, StopRequest
from napari_myelin.core.prediction_options import PredictionOptions
from napari_myelin.widgets.layers import Frame
from napari_myelin.widgets.maps import ShownMap, shown_map
from napari_myelin.widgets.settings import threads


@dataclass(frozen=True)
class Request:
    """What is to be predicted: with which model file, for whom, how, on which device (torch's name)."""

    path: Path
    subject: Subject
    frame: Frame
    options: PredictionOptions
    device: str


@dataclass(frozen=True, eq=False)
class Result:
    """What came out.

    ``prediction`` is the engine's; ``threshold`` the model's own and ``on_grid`` its value or map on the subject's
    grid (both None where it has none, or cannot be used: ``no_threshold`` says why); ``saliency`` the engine's or
    None; ``true`` the measured DVR or None; ``shown`` every map as its layer shows it, by role.
    """

    request: Request
    card: Any
    prediction: Any
    threshold: Any
    on_grid: float | np.ndarray | None
    no_threshold: str
    saliency: Any
    true: Volume | None
    shown: dict[str, ShownMap] = field(default_factory=dict)


def predicting(request: Request, stop: StopRequest) -> Iterator[Progress | Result | Stopped | Failed | Skipped | Noted]:
    """Predict a subject in steps, reading the wish to stop between them; memory is given back, whatever happens.

    Yields
    ------
    Progress, Result, Stopped, Failed, Skipped or Noted
        The `Result` once, unless it was stopped or failed; `Skipped` where the saliency alone cannot be had; `Noted`
        what is to be known of the maps.
    """
    import torch

    # what follows the lesions on the main thread needs it at once then
    import napari_myelin.core.evaluation.metrics  # noqa: F401
    from napari_myelin.core.runtime import out_of_memory, release_memory

    torch.set_num_threads(threads())
    failed = None
    try:
        yield from _steps(request, stop)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        from napari_myelin.core.inference.model import read_card
        from napari_myelin.core.inference.suitability import memory_advice

        advice = memory_advice([read_card(request.path)], "choose another device")
        failed = Failed(f"out of memory on {request.device}", advice)
    # only now nothing holds the network any more
    release_memory()
    if failed is not None:
        yield failed


def _steps(request: Request, stop: StopRequest) -> Iterator[Progress | Result | Stopped | Skipped | Noted]:
    from napari_myelin.core.data.usable import refuse_unusable
    from napari_myelin.core.inference.model import load_model
    from napari_myelin.core.inference.predict import predict_in_steps
    from napari_myelin.core.inference.suitability import window_problem

    subject, options = request.subject, request.options
    model = load_model(request.path)
    if not subject.missing(model.card.modalities):  # where some are, predict names every one
        maps_only = Subject(subject.name, subject.session, files=_without_lesions(subject))
        refuse_unusable(maps_only, model.card.modalities, target=False, resample=options.resample)
    steps = predict_in_steps(
        [model],
        subject,
        draws=options.uncertainty,
        seed=options.seed,
        device=request.device,
        resample=options.resample,
        window=options.window,
    )
    if problem := window_problem(model.card, options.window):
        yield Noted(subject.key, problem)
    prediction: Any = None
    extra = int(options.saliency)
    done = 0
    for each in steps:
        if not isinstance(each, Progress):
            prediction = each
            continue
        done, total = each.done, each.total + extra
        yield Progress(each.task, done, total, each.detail)
        if stop:
            yield Stopped("prediction", 0, done)
            return
    explained = None
    if options.saliency:
        yield Progress("predicting", done, done + 1, "saliency")
        try:
            explained = _explain(model, request)
        except MyelinError as error:  # the maps are there all the same
            yield Skipped(subject.key, str(error))
    if stop:
        yield Stopped("prediction", 0, done)
        return
    yield _result(request, model, prediction, explained)


def _without_lesions(subject: Subject) -> dict[str, Path | Volume]:
    # a mask under work may lie anywhere for now; the network does not see it
    return {role: source for role, source in subject.files.items() if role != "lesion"}


def _explain(model: Any, request: Request) -> Any:
    from napari_myelin.core.inference.attention import saliency

    options = request.options
    target = None if options.saliency_target == "auto" else options.saliency_target
    given = {"seed": options.seed, "device": request.device, "resample": options.resample}
    return saliency(model, request.subject, target, **given)


def _result(request: Request, model: Any, prediction: Any, explained: Any) -> Result:
    subject, frame = request.subject, request.frame
    threshold, on_grid, no_threshold = model.threshold, None, "the model has no threshold: type one"
    if threshold is not None:
        try:
            on_grid, no_threshold = threshold.on(subject, prediction.dvr), ""
        except MyelinError as error:
            no_threshold = str(error)
    true = None
    if subject.has("dvr"):
        try:
            true = subject.volume("dvr", request.options.resample)
        except MyelinError:  # it is not looked at for the prediction, and the Subject panel says what is wrong with it
            true = None
    # a model of one stage has no other sketch than its prediction
    volumes = {"dvr-sketch": prediction.sketch} if model.card.stages > 1 else {}
    volumes["dvr-predicted"] = prediction.dvr
    if prediction.uncertainty is not None:
        volumes["dvr-uncertainty"] = prediction.uncertainty
    if explained is not None:
        volumes |= {f"saliency-{explained.target}-{name}": each for name, each in explained.maps.items()}
    if true is not None:
        volumes["error"] = Volume(prediction.dvr.array - true.array, prediction.dvr.affine)
    nothing = Volume(np.zeros(prediction.dvr.shape, dtype=np.uint8), prediction.dvr.affine)
    volumes["demyelinated"] = nothing
    if true is not None:
        volumes["agreement"] = nothing
    shown = {role: shown_map(frame, role, volume) for role, volume in volumes.items()}
    given = (model.card, prediction, threshold, on_grid, no_threshold, explained, true)
    return Result(request, *given, shown)
