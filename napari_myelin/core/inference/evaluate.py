"""`evaluate_cohort`: predictions on disk against the measured DVR, with the baselines beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume, content_digest, read_volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.evaluation.baselines import LinearBaseline
from napari_myelin.core.evaluation.demyelination import Threshold
from napari_myelin.core.evaluation.probability import predicted_threshold
from napari_myelin.core.evaluation.score import Score, Truth, score
from napari_myelin.core.evaluation.table import Evaluation, summarise, write_evaluation
from napari_myelin.core.events import Event, Progress, Saved, Skipped
from napari_myelin.core.inference.model import decision, says_variance
from napari_myelin.core.inference.outputs import Predictions, read_outputs


def evaluate_cohort(
    predictions: Path,
    cohort: Cohort,
    out: Path,
    *,
    threshold_value: float | None = None,
    resample: bool = False,
) -> Iterator[Event]:
    """Compare every predicted map with the subject's measured DVR and write the tables.

    Beside the prediction stand the sketch, the voxelwise linear baseline of the model's own training subjects, and,
    for a phantom, the noise-free truth: what a perfect prediction scores against a noisy measurement.

    Parameters
    ----------
    predictions
        What `predict` wrote.
    cohort
        With measured DVR maps; subjects that were not predicted are passed over.
    out
        Folder for the tables.
    threshold_value
        DVR below which a lesion voxel is demyelinated; by default the threshold of the predictions.
    resample
        As for `Subject.volume`.

    Yields
    ------
    Event
        `Progress`, `Skipped`, `Saved`.

    Raises
    ------
    MyelinError
        If there are no predictions, or none of a subject with a measured DVR.
    """
    made = read_outputs(predictions)
    threshold = made.threshold if threshold_value is None else Threshold.fixed(threshold_value)
    resample = resample or made.options.resample
    subjects = [subject for subject in cohort.subjects if made.path(subject, "dvr-predicted").exists()]
    if not subjects:
        raise MyelinError(f"{predictions} holds no prediction of a subject of {cohort.root}: predict this cohort first")
    scores: list[Score] = []
    digests: dict[str, str] = {}
    for number, subject in enumerate(subjects):
        try:
            truth = _truth(subject, threshold, resample)
            scores.extend(_scores(made, truth, resample))
            digests[subject.key] = content_digest(truth.dvr)
        except MyelinError as error:
            yield Skipped(subject.key, str(error))
        yield Progress("evaluating", number + 1, len(subjects), subject.key)
    if not scores:
        raise MyelinError(f"no predicted subject of {cohort.root} has a measured DVR to compare with")
    evaluation = Evaluation(
        scores=scores,
        summary=summarise(scores),
        models=[card.uid for card in made.cards],
        threshold=None if threshold is None else threshold.to_dict(),
        phantom=cohort.phantom,
        warnings=[*leakage(made, cohort.name, digests), *_other_targets(made)],
    )
    for path in write_evaluation(evaluation, out):
        yield Saved("table", str(path))


def leakage(made: Predictions, cohort: str, digests: Mapping[str, str]) -> list[str]:
    """Return a sentence if a model was trained on subjects that it is evaluated on, or chosen by them.

    A subject is known by its measured map, whatever it is called now; by its id where the dataset is the same, or
    nothing says which it is. Two datasets may well share ``sub-01``.

    Parameters
    ----------
    made
        Predictions, with the cards of their models.
    cohort
        Name of the evaluated dataset, or empty.
    digests
        `content_digest` of the measured DVR of each evaluated subject.
    """
    trained, chosen = set[str](), set[str]()
    for summary in (card.training for card in made.cards):
        other = bool(cohort and summary.cohort and cohort != summary.cohort)
        for known, keys in ((trained, summary.subjects), (chosen, summary.validation)):
            seen = {summary.digests.get(key) for key in keys}
            known |= {key for key, digest in digests.items() if digest in seen or (key in keys and not other)}
    return [
        f"the model {what} {', '.join(sorted(known))}: their scores say little about new subjects"
        for what, known in (("was trained on", trained), ("was chosen by its error on", chosen))
        if known
    ]


def _other_targets(made: Predictions) -> list[str]:
    return list(dict.fromkeys(card.target_note for card in made.cards if card.target_note))


def _truth(subject: Subject, threshold: Threshold | None, resample: bool) -> Truth:
    if not subject.has("dvr"):
        raise MyelinError(f"{subject.key} has no measured DVR")
    on_grid = None if threshold is None else threshold.on(subject, subject.volume("dvr", resample))
    return Truth.of(subject, on_grid, resample)


def _scores(made: Predictions, truth: Truth, resample: bool) -> Iterator[Score]:
    subject = truth.subject
    reference = subject.volume("dvr", resample)
    below, models, sd = truth.threshold, [card.options for card in made.cards], None
    if says_variance(models) and made.path(subject, "dvr-uncertainty").exists():
        sd = _read(made, subject, "dvr-uncertainty", reference)
        below = None if below is None else predicted_threshold(below, sd, decision(models))
    yield score(truth, _read(made, subject, "dvr-predicted", reference), "predicted", below, sd)
    if any(card.stages > 1 for card in made.cards) and made.path(subject, "dvr-sketch").exists():
        yield score(truth, _read(made, subject, "dvr-sketch", reference), "sketch")
    baseline = LinearBaseline.from_dict(made.cards[0].linear) if made.cards[0].linear else None
    if baseline is not None and not subject.missing(baseline.modalities):
        yield score(truth, _linear(baseline, subject, resample), "linear")
    if subject.has("noisefree"):
        yield score(truth, subject.volume("noisefree", resample).array, "noise-free")


def _read(made: Predictions, subject: Subject, what: str, reference: Volume) -> np.ndarray:
    path = made.path(subject, what)
    volume = read_volume(path)
    if not volume.same_grid(reference):
        raise MyelinError(f"{path.name} lies on another grid than the measured DVR of {subject.key}: predict it again")
    return volume.array


def _linear(baseline: LinearBaseline, subject: Subject, resample: bool) -> np.ndarray:
    maps: Mapping[str, np.ndarray] = {name: subject.volume(name, resample).array for name in baseline.modalities}
    return baseline.predict(maps, np.any([array != 0 for array in maps.values()], axis=0))
