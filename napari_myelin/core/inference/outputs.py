"""What a prediction leaves on disk: maps, masks and tables under their BIDS names, each with where it came from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

import napari_myelin
from napari_myelin.core.data.bids import bids_path, sidecar, write_description, write_json
from napari_myelin.core.data.export import SPATIAL_REFERENCE
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume, read_volume, write_atomically, write_volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.evaluation.demyelination import (
    UNSURE,
    Lesion,
    Threshold,
    certainty,
    classify,
    lesion_table,
)
from napari_myelin.core.evaluation.probability import predicted_threshold
from napari_myelin.core.inference.attention import Randomised, Saliency
from napari_myelin.core.inference.model import INTENDED_USE, ModelCard, decision, says_variance
from napari_myelin.core.inference.predict import Prediction
from napari_myelin.core.prediction_options import PredictionOptions

GENERATOR = "napari-myelin predict"
CARDS, THRESHOLD_MAP = "model.json", "threshold.nii.gz"


@dataclass(frozen=True)
class Predictions:
    """A folder of predictions: the models' cards, the threshold and the options they were made with."""

    folder: Path
    cards: tuple[ModelCard, ...]
    threshold: Threshold | None
    options: PredictionOptions

    def path(self, subject: Subject, what: str) -> Path:
        """Return where an output of a subject is, as `bids_path`."""
        return bids_path(self.folder, subject.name, subject.session, what)

    @property
    def phantom(self) -> bool:
        """Whether a model was trained on simulated subjects."""
        return any(card.training.phantom for card in self.cards)


def open_outputs(
    folder: Path, cards: Sequence[ModelCard], threshold: Threshold | None, options: PredictionOptions
) -> Predictions:
    """Make the folder of predictions and write what holds for all of its subjects.

    Raises
    ------
    MyelinError
        If it holds another dataset or another model's predictions, or cannot be written to.
    """
    if (folder / "dataset_description.json").exists() or (folder / CARDS).exists():
        try:
            before = read_outputs(folder)
        except MyelinError as error:
            raise MyelinError(f"{folder} holds another dataset: choose another folder") from error
        if [card.uid for card in before.cards] != [card.uid for card in cards]:
            raise MyelinError(f"{folder} holds predictions of another model: choose another folder")
    write_description(folder, "napari-myelin predictions", GENERATOR, {"IntendedUse": INTENDED_USE})
    if threshold is not None and threshold.map is not None and threshold.affine is not None:
        write_volume(folder / THRESHOLD_MAP, Volume(threshold.map, threshold.affine), intent="threshold")
    table = {
        "models": [card.model_dump(mode="json") for card in cards],
        "threshold": None if threshold is None else threshold.to_dict(),
        "options": options.model_dump(mode="json"),
    }
    write_json(folder / CARDS, table)
    return Predictions(folder, tuple(cards), threshold, options)


def read_outputs(folder: Path) -> Predictions:
    """Read what `open_outputs` wrote.

    Raises
    ------
    MyelinError
        If the folder holds no predictions.
    """
    try:
        table: dict[str, Any] = json.loads((folder / CARDS).read_text(encoding="utf-8"))
        cards = tuple(ModelCard.model_validate(card) for card in table["models"])
        options = PredictionOptions.model_validate(table["options"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MyelinError(f"{folder} holds no predictions: give the --out folder of predict") from error
    threshold = None
    if table.get("threshold") is not None:
        path = folder / THRESHOLD_MAP
        map_ = read_volume(path).array if table["threshold"]["kind"] == "template" else None
        threshold = Threshold.from_dict(table["threshold"], map_)
    return Predictions(folder, cards, threshold, options)


def write_prediction(out: Predictions, subject: Subject, prediction: Prediction) -> list[Lesion]:
    """Write a subject's maps, and where it has a lesion mask, its lesion table and demyelination mask.

    With an uncertainty map, the lesion voxels whose DVR is nearer to the threshold than that are a mask of their own.

    Returns
    -------
    list of Lesion
        The rows of the table.

    Raises
    ------
    MyelinError
        If a file cannot be written, or the lesion mask cannot be read.
    """
    maps = {"dvr-predicted": prediction.dvr, "dvr-sketch": prediction.sketch}
    if prediction.uncertainty is not None:
        maps["dvr-uncertainty"] = prediction.uncertainty
    unit = "arbitrary" if any(card.target_note for card in out.cards) else "1"
    extra: dict[str, Any] = {"Units": unit, "BrainCovered": round(prediction.covered, 4)}
    with ThreadPoolExecutor(len(maps)) as writers:  # packing a map takes as long as predicting it on a GPU
        list(writers.map(lambda what: _write(out, subject, what, maps[what], extra), maps))
    if not subject.has("lesion"):
        return []
    lesion = subject.volume("lesion", out.options.resample).array
    threshold = None if out.threshold is None else out.threshold.on(subject, prediction.dvr)
    models = [card.options for card in out.cards]
    sd = None if prediction.uncertainty is None else prediction.uncertainty.array
    if threshold is not None and out.threshold is not None:
        probability = decision(models)
        mask = classify(prediction.dvr.array, lesion, predicted_threshold(threshold, sd, probability))
        extra = {"Threshold": out.threshold.to_dict(), "Probability": probability}
        _write(out, subject, "demyelinated", Volume(mask, prediction.dvr.affine), extra)
        if sd is not None:
            doubt = certainty(prediction.dvr.array, lesion, threshold, sd) == UNSURE
            _write(out, subject, "unsure", Volume(doubt, prediction.dvr.affine), extra)
    rows = lesion_table(prediction.dvr, lesion, threshold, sd if says_variance(models) else None)
    write_lesion_table(out.path(subject, "lesion-table"), rows)
    return rows


def write_saliency(out: Predictions, subject: Subject, saliency: Saliency) -> None:
    """Write the saliency of each modality and their maximum; the target is in the name."""
    for name, volume in saliency.maps.items():
        extra = {"Target": saliency.target, "Region": saliency.region, "Equation": "Eq. 7, Wei et al. 2019"}
        _write(out, subject, f"saliency-{saliency.target}-{name}", volume, extra)


def write_randomisation(out: Predictions, subject: Subject, rows: Sequence[Randomised]) -> Path:
    """Write how much of the saliency is left after each layer was randomised, and return the file."""
    path = out.path(subject, "saliency-check")
    lines = ["layer\tsimilarity", *(f"{row.layer}\t{row.similarity:.4f}" for row in rows)]
    write_atomically(path, ("\n".join(lines) + "\n").encode())
    similarity = {"Description": "Spearman correlation with the trained network's saliency inside the brain"}
    write_json(path.with_suffix(".json"), {"similarity": similarity})
    return path


def _write(out: Predictions, subject: Subject, what: str, volume: Volume, extra: dict[str, Any]) -> None:
    path = out.path(subject, what)
    write_volume(path, volume, intent=what, description=f"{GENERATOR} {napari_myelin.__version__}, research only")
    modalities = [name for card in out.cards for name in card.modalities]
    sources = [subject.files[name] for name in dict.fromkeys(modalities)]
    table = {
        "SpatialReference": SPATIAL_REFERENCE,
        "Sources": [source.name for source in sources if isinstance(source, Path)],
        "Models": [card.uid for card in out.cards],
        "Software": f"napari-myelin {napari_myelin.__version__}",
        "Seed": out.options.seed,
        "IntendedUse": INTENDED_USE,
        **extra,
    }
    write_json(sidecar(path), table)


def write_lesion_table(path: Path, rows: Sequence[Lesion]) -> None:
    """Write lesions as a tab-separated table, a row a lesion, with a JSON file that explains the columns.

    Raises
    ------
    MyelinError
        If it cannot be written.
    """
    names = [field.name for field in fields(Lesion)]
    lines = ["\t".join(names)]
    for row in rows:
        lines.append("\t".join(_cell(getattr(row, name)) for name in names))
    write_atomically(path, ("\n".join(lines) + "\n").encode())
    columns = {
        "volume": {"Units": "mm3"},
        "mean_dvr": {"Description": "mean predicted DVR of the lesion's voxels"},
        "demyelinated": {"Description": "share of the lesion's voxels below the threshold, expected of a measurement"},
        "x": {"Description": "centre, RAS+ (y and z alike)", "Units": "mm"},
    }
    write_json(path.with_suffix(".json"), columns)


def _cell(value: float | int | None) -> str:
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "n/a"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
