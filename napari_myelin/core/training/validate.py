"""Validation on held-out subjects, through the same `predict` that users call."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from napari_myelin.core.data.regions import region_labels
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import write_atomically
from napari_myelin.core.inference.model import Model
from napari_myelin.core.inference.predict import Prediction, predict
from napari_myelin.core.training.step import StageNets


def validate(
    model: Model, subjects: Sequence[Subject], fabric: Fabric, nets: StageNets, preview: Path | None = None
) -> dict[str, float]:
    """Return the mean over subjects of ``mse`` (DVR squared, all voxels) and ``loss``, the stage's reconstruction term.

    The loss is in DVR, or for squared errors in DVR squared over the brain, where every voxel counts the same.

    Parameters
    ----------
    model
        As it stands; left in evaluation mode.
    subjects
        Held-out subjects, shared among the ranks.
    fabric
        Device, precision and ranks; the maps are float32 in any.
    nets
        Of the stage, which say what its reconstruction term is.
    preview
        Where to write the maps of the first subject.
    """
    resample = model.card.options.data.resample
    model.network.eval()
    total = torch.zeros(3, dtype=torch.float64)
    for number in range(fabric.global_rank, len(subjects), fabric.world_size):
        subject = subjects[number]
        with fabric.autocast():
            prediction = predict([model], subject, device=fabric.device, resample=resample)
        error = prediction.dvr.array - subject.volume("dvr", resample).array
        if nets.squared:
            loss = float(np.square(error[subject.brain(resample).array]).mean())
        else:
            loss = _l1(error, region_labels(subject, resample) if nets.region_weighted else None)
        total += torch.tensor([float(np.square(error).mean()), loss, 1.0], dtype=torch.float64)
        if number == 0 and preview is not None:
            write_preview(preview, model, subject, prediction)
    if fabric.world_size > 1:
        total = fabric.all_reduce(total.to(fabric.device), reduce_op="sum").cpu()  # type: ignore[union-attr]
    return {"mse": float(total[0] / total[2]), "loss": float(total[1] / total[2])}


def _l1(error: np.ndarray, regions: np.ndarray | None) -> float:
    if regions is None:
        return float(np.abs(error).mean())
    means = [float(np.abs(error[regions == label]).mean()) for label in (0, 1, 2) if (regions == label).any()]
    return float(np.mean(means))


def write_preview(path: Path, model: Model, subject: Subject, prediction: Prediction) -> None:
    """Write inputs, sketch, refined, true and error of one subject as a ``.npz``, whole or not at all.

    Arrays are (I, J, K) float16 on the subject's own grid, whose ``affine`` is with them.

    Raises
    ------
    MyelinError
        If it cannot be written.
    """
    resample = model.card.options.data.resample
    true = subject.volume("dvr", resample)
    arrays = {f"input_{name}": subject.volume(name, resample).array for name in model.card.modalities}
    arrays |= {"sketch": prediction.sketch.array, "refined": prediction.dvr.array, "true": true.array}
    arrays["error"] = prediction.dvr.array - true.array
    stored: dict[str, Any] = {name: array.astype(np.float16) for name, array in arrays.items()}
    buffer = BytesIO()
    np.savez(buffer, affine=true.affine, **stored)
    write_atomically(path, buffer.getvalue())
