"""One part of a study, from training to its rows: what `run_study` does many times."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

import numpy as np

from napari_myelin.core.data.bids import bids_path
from napari_myelin.core.data.cohort import open_cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume, content_digest, read_volume, write_volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.evaluation.controls import group_threshold
from napari_myelin.core.evaluation.demyelination import Threshold
from napari_myelin.core.evaluation.probability import predicted_threshold
from napari_myelin.core.evaluation.results import Row, write_rows
from napari_myelin.core.evaluation.score import Truth
from napari_myelin.core.events import Event, Failed, Progress, Skipped, Stopped, StopRequest
from napari_myelin.core.inference.attention import saliency
from napari_myelin.core.inference.cohort import predict_cohort
from napari_myelin.core.inference.evaluate import leakage
from napari_myelin.core.inference.model import Model, decision, load_model, says_variance
from napari_myelin.core.inference.outputs import CARDS, Predictions, read_outputs, write_saliency
from napari_myelin.core.options import Options
from napari_myelin.core.prediction_options import PredictionOptions
from napari_myelin.core.runtime import resolve_device
from napari_myelin.core.study.facts import commit, write_about
from napari_myelin.core.study.folds import Fold
from napari_myelin.core.study.measure import attention_rows, calibration_rows, prediction_rows
from napari_myelin.core.study.methods import Method
from napari_myelin.core.study.parts import DONE, FAILED, Part, Plan
from napari_myelin.core.study.simulation import simulation
from napari_myelin.core.study.voxelwise import Predictor, noise_free, train_boosting, train_ceiling, train_linear
from napari_myelin.core.training.fit import fit
from napari_myelin.core.training.names import MODEL, OPTIONS, STOP
from napari_myelin.core.working import result_of

FURTHER = "further"  # inside the ceiling's folder: what was drawn from each further patient


def do_part(plan: Plan, part: Part, stop: StopRequest) -> Iterator[Event]:
    """Train, predict and measure one part; its results are written last, so that their presence says it is done.

    Yields
    ------
    Event
        Those of training and predicting; `Stopped` last where it was asked to stop.

    Raises
    ------
    MyelinError
        If anything of it cannot be done.
    """
    place, source, seconds = plan.place(part), commit(), 0.0
    with contextlib.suppress(OSError):  # a folder that cannot be used is told of when it is written to
        (place / FAILED).unlink()
    rows: list[Row] = []
    if part.kind == "network":
        yield from _train(plan, part, stop)
        for method in part.methods:
            if stop or not (yield from _judge_network(plan, part, method, rows, stop)):
                return  # what was measured is measured again
    else:
        began = time.monotonic()
        predictor = yield from _predictor(plan, part, stop)
        seconds = time.monotonic() - began
        if predictor is None:
            return
        for fold in part.folds:
            yield from _judge_predictor(plan, part, fold, predictor, rows)
    write_about(plan, part, source, seconds)
    write_rows(place / DONE, rows)
    shutil.rmtree(place / FURTHER, ignore_errors=True)


def stop_folder(plan: Plan, part: Part) -> Path:
    """Return the folder where a file asks a part to stop, as another process does."""
    return plan.place(part) / "run" if part.kind == "network" else plan.place(part)


def _train(plan: Plan, part: Part, stop: StopRequest) -> Iterator[Event]:
    run = plan.place(part) / "run"
    stop.file = stop_folder(plan, part) / STOP
    cohort = open_cohort(plan.table(part.folds[0]))
    for event in fit(cohort, part.options, run, stop=stop, resume=(run / OPTIONS).exists()):
        if isinstance(event, Failed):
            raise MyelinError(f"{event.cause}: {event.advice}" if event.advice else event.cause)
        yield event
        if isinstance(event, Stopped):
            stop.request()  # also where the file asked for it


def _judge_network(
    plan: Plan, part: Part, method: Method, rows: list[Row], stop: StopRequest
) -> Generator[Event, None, bool]:
    """Predict and measure who is held out; the generator's value is whether it came to the end."""
    fold, resample = part.folds[0], part.options.data.resample
    model = stages(load_model(plan.place(part) / "run" / MODEL), method.refiners + 1 if part_of_cascade(part) else 0)
    held = plan.cohort.select(fold.held_out)
    out, own = predictions(plan, part, method), plan.study.study
    wanted = PredictionOptions(uncertainty=own.uncertainty, resample=resample, seed=own.seed)
    _refuse_leak(plan, Predictions(out, (model.card,), None, wanted), held.subjects)
    _clear_older(out, model)
    for event in predict_cohort([model], held, out, wanted, part.options.runtime, stop=stop):
        if isinstance(event, Skipped):
            raise MyelinError(f"{event.subject} cannot be predicted: {event.reason}")
        yield event
    if stop:
        return False
    device = str(resolve_device(part.options.runtime.device))
    who, threshold = (method.name, part.inputs, fold.name), fold_threshold(plan, fold)
    for number, subject in enumerate(held.subjects):
        truth = _truth(subject, threshold, resample)
        predicted = read_map(out, subject, "dvr-predicted")
        there = bids_path(out, subject.name, subject.session, "dvr-uncertainty").exists()
        sd = read_map(out, subject, "dvr-uncertainty") if there else None
        below = predicted_below(truth.threshold, sd, model.card.options)
        said = sd if says_variance([model.card.options]) else None
        rows.extend(prediction_rows(truth, predicted, who, below, said))
        if sd is not None and sd.any():  # a network whose draws are all alike has none
            rows.extend(calibration_rows(truth, predicted, sd, who))
        if own.attention:
            rows.extend(attention_rows(model, truth, who, device, resample))
        yield Progress(f"measuring {method.name}", number + 1, len(held.subjects), subject.key)
    if own.attention and (shown := example(held.subjects)) is not None:
        for target in ("loss", "dvr"):
            attention = saliency(model, shown, target, region="brain", device=device, resample=resample)
            write_saliency(read_outputs(out), shown, attention)
    return True


def _clear_older(out: Path, model: Model) -> None:
    """Delete the maps of a run that was trained anew since; nothing but this study writes there."""
    if (out / CARDS).exists() and read_outputs(out).cards[0].uid != model.card.uid:
        shutil.rmtree(out)


def part_of_cascade(part: Part) -> bool:
    """Return whether the run trains stages that several methods are read from."""
    return part.methods[0].family == "cascade"


def stages(model: Model, count: int) -> Model:
    """Return the model of the first ``count`` stages of a cascade, sharing its weights; 0 for all of them."""
    if count in (0, model.card.stages):
        return model
    uid = f"{model.card.uid}-{count}"
    card = model.card.model_copy(update={"stages": count, "uid": uid})
    return Model(model.network.first(count), card, model.threshold_map)


def _refuse_leak(plan: Plan, made: Predictions, held: tuple[Subject, ...]) -> None:
    digests = {subject.key: content_digest(subject.raw("dvr").array) for subject in held}
    if found := leakage(made, plan.cohort.name, digests):
        raise MyelinError(f"{found[0]}: delete the run folder, the study trains it again")


def _predictor(plan: Plan, part: Part, stop: StopRequest) -> Generator[Event, None, Predictor | None]:
    if part.kind == "noise":
        return noise_free
    if part.kind == "ceiling":
        phantom, place = simulation(plan.cohort), plan.place(part)
        if phantom is None:
            raise MyelinError(
                f"{plan.cohort.root} does not say any more how it was simulated: bring back its description"
            )
        stop.file = stop_folder(plan, part) / STOP
        with contextlib.suppress(OSError):
            stop.file.unlink()
        return (yield from train_ceiling(phantom, part.inputs, plan.study, place / FURTHER, stop))
    train = train_linear if part.kind == "linear" else train_boosting
    return train(plan.training(part.folds[0]), part.inputs, plan.study)


def _judge_predictor(plan: Plan, part: Part, fold: Fold, predictor: Predictor, rows: list[Row]) -> Iterator[Event]:
    method, resample = part.methods[0], plan.study.options.data.resample
    held, threshold = plan.cohort.select(fold.held_out).subjects, fold_threshold(plan, fold)
    for number, subject in enumerate(held):
        truth = _truth(subject, threshold, resample)
        predicted = predictor(subject)
        path = bids_path(predictions(plan, part, method), subject.name, subject.session, "dvr-predicted")
        write_volume(path, Volume(predicted, subject.volume("dvr").affine), intent=method.name)
        rows.extend(prediction_rows(truth, predicted, (method.name, part.inputs, fold.name)))
        yield Progress(f"measuring {method.name}", number + 1, len(held), subject.key)


def predictions(plan: Plan, part: Part, method: Method) -> Path:
    """Return the folder of a method's predicted maps."""
    return plan.place(part) / method.name


def read_map(folder: Path, subject: Subject, what: str) -> np.ndarray:
    """Return a predicted map (I, J, K) of a subject, as `bids_path` names it."""
    return read_volume(bids_path(folder, subject.name, subject.session, what)).array


def predicted_below(
    threshold: float | np.ndarray | None, sd: np.ndarray | None, options: Options
) -> float | np.ndarray | None:
    """Return `predicted_threshold` of a model; None where there is no threshold."""
    return None if threshold is None else predicted_threshold(threshold, sd, decision([options]))


def fold_threshold(plan: Plan, fold: Fold) -> Threshold | None:
    """Return the demyelination threshold of a fold, from all its training controls: the same for every method."""
    options = plan.study.options
    controls = [subject for subject in plan.training(fold) if subject.group == "HC"]
    return result_of(group_threshold(controls, options.demyelination, options.data.resample))


def _truth(subject: Subject, threshold: Threshold | None, resample: bool) -> Truth:
    on_grid = None if threshold is None else threshold.on(subject, subject.volume("dvr", resample))
    return Truth.of(subject, on_grid, resample)


def example(subjects: tuple[Subject, ...]) -> Subject | None:
    """Return the subject whose lesions fill the most voxels, the one to show; None where nobody has lesions."""
    load: Mapping[str, int] = {
        subject.key: int(subject.raw("lesion").array.sum()) for subject in subjects if subject.has("lesion")
    }
    key = max(load, key=lambda each: load[each], default="")
    return next((subject for subject in subjects if subject.key == key and load[key]), None)
