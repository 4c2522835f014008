"""Prediction of a cohort: subject after subject, each on its own grid, the next one whatever befell the last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.usable import refuse_unusable
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.evaluation.demyelination import Threshold
from napari_myelin.core.events import Event, Kept, Noted, Progress, Saved, Skipped, Stopped, StopRequest
from napari_myelin.core.guard import connection_lost, lost_process
from napari_myelin.core.inference.ahead import read_ahead
from napari_myelin.core.inference.attention import randomisation_check, saliency
from napari_myelin.core.inference.done import is_done, mark_done
from napari_myelin.core.inference.model import Model
from napari_myelin.core.inference.outputs import (
    Predictions,
    open_outputs,
    write_prediction,
    write_randomisation,
    write_saliency,
)
from napari_myelin.core.inference.predict import check_usable, predict
from napari_myelin.core.inference.suitability import likeness, memory_advice, window_problem
from napari_myelin.core.options import RuntimeOptions
from napari_myelin.core.prediction_options import PredictionOptions
from napari_myelin.core.runtime import Processes, is_first_rank, launch_prediction, out_of_memory, precision_of


def predict_cohort(
    models: Sequence[Model],
    cohort: Cohort,
    out: Path,
    options: PredictionOptions | None = None,
    runtime: RuntimeOptions | None = None,
    *,
    stop: StopRequest | None = None,
    again: bool = False,
) -> Iterator[Event]:
    """Predict every subject of a cohort and write the maps as BIDS derivatives.

    What is there already, of the same models, options and files, is kept: a prediction that was stopped or killed goes
    on where it was.

    Parameters
    ----------
    models
        One, or several to average.
    cohort
        A subject that cannot be predicted (a map is missing, damaged or in another unit) is named in a `Skipped`
        event and the others go on.
    out
        Folder to write; predictions of the same models may be there already.
    options, runtime
        What, and where. With several devices each rank takes its share of the subjects.
    stop
        Read between subjects.
    again
        Predict what is there already once more.

    Yields
    ------
    Event
        On the first rank: `Kept`, `Progress`, `Noted`, `Skipped` and `Saved`.

    Raises
    ------
    MyelinError
        If the folder cannot be written to, or holds something else; if another process of several is gone.
    """
    options, runtime = options or PredictionOptions(), runtime or RuntimeOptions()
    fabric = launch_prediction(runtime)
    precision = precision_of(fabric)
    threshold = models[0].threshold if options.threshold_value is None else Threshold.fixed(options.threshold_value)
    outputs = Predictions(out, tuple(model.card for model in models), threshold, options)
    advice = memory_advice([model.card for model in models], "use --device cpu")
    problems = dict.fromkeys(window_problem(model.card, options.window) for model in models)
    yield from _on_first_rank([Noted("--window", problem) for problem in problems if problem])
    kept: list[str] = []
    if fabric.is_global_zero:
        outputs = open_outputs(out, outputs.cards, threshold, options)
        kept = [each.key for each in cohort.subjects if not again and is_done(outputs, each, precision)]
    kept = _as_first_rank(kept, fabric)
    if kept:
        yield from _on_first_rank([Kept(kept)])
    done_before = set(kept)
    left = [subject for subject in cohort.subjects if subject.key not in done_before]
    mine = left[fabric.global_rank :: fabric.world_size]
    skipped = []
    for number, (subject, read) in enumerate(read_ahead(mine, partial(_read, models))):
        if stop:
            yield from _on_first_rank([Stopped("prediction", 0, len(kept) + number)])
            break
        try:
            with fabric.autocast():
                events = _predict_one(models, subject, read.result(), outputs, fabric.device)
            mark_done(outputs, subject, precision)
        except MyelinError as error:
            skipped.append(Skipped(subject.key, str(error)))
            events = [skipped[-1]] if fabric.is_global_zero else []
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            skipped.append(Skipped(subject.key, f"out of memory: {advice}"))
            events = [skipped[-1]] if fabric.is_global_zero else []
        done = len(kept) + min((number + 1) * fabric.world_size, len(left))
        yield from _on_first_rank([*events, Progress("predicting", done, len(cohort.subjects), subject.key)])
    yield from _on_first_rank(_of_other_ranks(skipped, fabric))


def _on_first_rank(events: Sequence[Event]) -> Iterator[Event]:
    if is_first_rank():
        yield from events


def _as_first_rank(keys: list[str], fabric: Processes) -> list[str]:
    """Return what the first rank found, once it has: others may be writing by the time that one looks."""
    if fabric.world_size == 1:
        return keys
    found = [keys]
    with _together():
        torch.distributed.broadcast_object_list(found, src=0)
    return found[0]


@contextmanager
def _together() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not connection_lost(error):
            raise
        lost = lost_process() or "another process of this prediction cannot be reached"
        raise MyelinError(f"{lost}: the same command goes on with the subjects that are left") from error


def _of_other_ranks(skipped: list[Skipped], fabric: Processes) -> list[Event]:
    if fabric.world_size == 1:
        return []
    everything: list[list[Skipped]] = [[] for _ in range(fabric.world_size)]
    with _together():
        torch.distributed.all_gather_object(everything, skipped)
    return [event for rank, events in enumerate(everything) if rank != 0 for event in events]


def _read(models: Sequence[Model], subject: Subject) -> Subject:
    """Return a subject with what the models and the notes look at in memory: each file is unpacked once."""
    for model in models:
        check_usable(model, subject)
    needed = [name for model in models for name in model.card.modalities]
    return subject.held(dict.fromkeys((*needed, "dvr", "brain", "lesion")))


def _predict_one(
    models: Sequence[Model], subject: Subject, held: Subject, out: Predictions, device: torch.device
) -> list[Event]:
    """Predict a subject from its maps in memory, ``held``, and write what comes out beside the names of its files."""
    options = out.options
    for model in models:
        refuse_unusable(held, model.card.modalities, target=False, resample=options.resample)
    if out.threshold is not None and subject.has("lesion"):
        out.threshold.refuse_without_transform(subject)
    notes = _notes(models, held, options.resample)
    resample, seed = options.resample, options.seed
    prediction = predict(
        models,
        held,
        draws=options.uncertainty,
        seed=seed,
        device=device,
        resample=resample,
        window=options.window,
    )
    write_prediction(out, subject, prediction)
    # what several models attend to is not averaged: the first one is asked
    if options.saliency:
        target = None if options.saliency_target == "auto" else options.saliency_target
        write_saliency(out, subject, saliency(models[0], held, target, seed=seed, device=device, resample=resample))
    if not options.saliency_check:
        return notes
    rows = list(randomisation_check(models[0], held, seed=seed, device=device, resample=resample))
    path = write_randomisation(out, subject, rows)
    left = rows[-1].similarity
    what = f"saliency check of {subject.key} (similarity {left:.2f} once every layer is random)"
    return [*notes, Saved(what, str(path))]


def _notes(models: Sequence[Model], subject: Subject, resample: bool) -> list[Event]:
    """Return what of the subject is unlike the models' training subjects, each sentence once."""
    findings = (finding for model in models for finding in likeness(model.card, subject, resample))
    texts = dict.fromkeys(finding.text for finding in findings if finding.level == "warning")
    return [Noted(subject.key, text) for text in texts]
