"""Saves what was predicted, with the lesion mask as it is drawn: the engine writes, off the main thread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari_myelin.core.data.bids import bids_path
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.evaluation.demyelination import Threshold, lesion_table
from napari_myelin.core.events import Progress, Saved
from napari_myelin.widgets.predict.prediction import ShownPrediction

OUTPUTS = ("dvr-predicted", "dvr-sketch", "dvr-uncertainty", "demyelinated", "unsure", "lesion-table")


def existing_outputs(folder: Path, subject: Subject, prediction: ShownPrediction) -> list[Path]:
    """Return the files in a folder that saving would write over."""
    names = list(OUTPUTS)
    if prediction.result.saliency is not None:
        saliency = prediction.result.saliency
        names += [f"saliency-{saliency.target}-{name}" for name in saliency.maps]
    paths = [bids_path(folder, subject.name, subject.session, name) for name in names]
    return [path for path in paths if path.exists()]


def save_all(folder: Path, subject: Subject, prediction: ShownPrediction) -> Iterator[Progress | Saved]:
    """Write every map, the masks and the table of lesions under their BIDS names.

    Parameters
    ----------
    folder
        Root of the predictions; those of other subjects with the same model may be there.
    subject
        With its lesion mask as drawn.
    prediction
        What is on show.

    Raises
    ------
    MyelinError
        If the folder holds something else, cannot be written to, or is full.
    """
    from napari_myelin.core.inference.outputs import open_outputs, write_prediction, write_saliency

    result = prediction.result
    own = prediction.own_threshold
    options = result.request.options.model_copy(update={"threshold_value": own})
    threshold = result.threshold if own is None else Threshold.fixed(own)
    if result.no_threshold and own is None:
        threshold = None
    yield Progress("saving", 0, 2, "maps")
    outputs = open_outputs(folder, [prediction.card], threshold, options)
    write_prediction(outputs, subject, result.prediction)
    yield Progress("saving", 1, 2, "saliency")
    if result.saliency is not None:
        write_saliency(outputs, subject, result.saliency)
    yield Saved("prediction", str(folder / bids_path(Path(), subject.name, subject.session, "lesion").parts[0]))


def export_table(path: Path, subject: Subject, prediction: ShownPrediction) -> Iterator[Saved]:
    """Write the table of lesions as drawn, a row a lesion, tab-separated.

    Raises
    ------
    MyelinError
        If the file cannot be written, or there is no lesion mask.
    """
    from napari_myelin.core.inference.outputs import write_lesion_table

    lesion = subject.volume("lesion", prediction.result.request.options.resample).array
    write_lesion_table(path, lesion_table(prediction.dvr, lesion, prediction.threshold_on_grid, prediction.sd_on_grid))
    yield Saved("table of lesions", str(path))
