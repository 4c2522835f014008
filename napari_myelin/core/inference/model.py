"""A model: weights and a card that says all that is needed to use them, in one ``.safetensors`` file.

Nothing that can execute is ever loaded: tensors, and JSON in the file's metadata.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

import napari_myelin
from napari_myelin.core.data.grid import Grid
from napari_myelin.core.data.normalisation import Normalisation
from napari_myelin.core.data.samples import MODEL, SAMPLE, sample_model
from napari_myelin.core.data.usable import target_note
from napari_myelin.core.data.volume import write_atomically
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.evaluation.baselines import LinearBaseline
from napari_myelin.core.evaluation.demyelination import Threshold
from napari_myelin.core.networks.build import build_cascade
from napari_myelin.core.networks.cascade import Cascade
from napari_myelin.core.options import Options
from napari_myelin.core.precision import in_precision

FORMAT = 1
METADATA = "napari_myelin"
INTENDED_USE = (
    "Research only. Not a medical device: not for diagnosis, treatment or any decision about a patient. "
    "Predictions hold for scanners, protocols and patients like those of the training cohort."
)
UNITS = {"MTR": "%", "FA": "none", "RD": "10^-3 mm2/s", "AD": "10^-3 mm2/s", "dvr": "none (ratio)"}


class TrainingSummary(BaseModel):
    """What the model was trained on, and how it came out."""

    model_config = ConfigDict(frozen=True)

    subjects: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    digests: dict[str, str] = {}  # of each one's measured DVR: ids repeat from cohort to cohort
    cohort: str = ""  # the dataset's name
    controls: int = 0
    phantom: bool = False
    stages: tuple[str, ...] = ()
    epochs: tuple[int, ...] = ()
    validation_mse: float | None = None
    seconds: float = 0.0
    device: str = ""
    precision: str = ""
    finished: bool = False

    @property
    def place(self) -> str:
        """The device, and the precision where it was not float32."""
        return in_precision(self.device, self.precision)


class ModelCard(BaseModel):
    """What a user must know of a model, and what the engine needs to apply it."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    format: int = FORMAT
    uid: str = ""
    version: str = napari_myelin.__version__
    modalities: tuple[str, ...]
    units: dict[str, str]
    stages: int = Field(ge=1, description="Sketcher and Refiners that the file holds.")
    options: Options
    grid: dict[str, Any]
    normalisation: dict[str, Any]
    threshold: dict[str, Any] | None = None
    linear: dict[str, Any] | None = Field(None, description="Coefficients of the voxelwise linear baseline.")
    training: TrainingSummary = TrainingSummary()
    notes: tuple[str, ...] = ()
    licence: str = "BSD-3-Clause"
    intended_use: str = INTENDED_USE

    @property
    def target_note(self) -> str | None:
        """What is to be said where the model predicts something else than DVR; None where it predicts DVR."""
        return target_note({"the training cohort": self.normalisation["brain_mean"]["dvr"]})


def says_variance(models: Sequence[Options]) -> bool:
    """Return whether every model predicts its own variance, so that a measurement's chances can be told."""
    return all(options.network.variance for options in models)


def decision(models: Sequence[Options]) -> float:
    """Return the probability for `predicted_threshold`: 0.5 unless every model says its own variance."""
    return models[0].demyelination.threshold_probability if says_variance(models) else 0.5


@dataclass(frozen=True, eq=False)
class Model:
    """A cascade of trained networks, with its card and the map of a voxelwise threshold, if it has one."""

    network: Cascade
    card: ModelCard
    threshold_map: np.ndarray | None = None

    @property
    def grid(self) -> Grid:
        """The network's grid."""
        return Grid.from_dict(self.card.grid)

    @property
    def normalisation(self) -> Normalisation:
        """Constants of the training subjects."""
        return Normalisation.from_dict(self.card.normalisation)

    @property
    def threshold(self) -> Threshold | None:
        """Demyelination threshold stored with the model; None where the training had no controls."""
        if self.card.threshold is None:
            return None
        return Threshold.from_dict(self.card.threshold, self.threshold_map)

    @property
    def linear(self) -> LinearBaseline | None:
        """The voxelwise linear baseline, fitted on the same training subjects."""
        return None if self.card.linear is None else LinearBaseline.from_dict(self.card.linear)


def save_model(model: Model, path: Path) -> Model:
    """Write ``model`` as one ``.safetensors`` file, whole or not at all, and return it with its ``uid``.

    The ``uid`` is the first 12 digits of the SHA-256 of the weights.

    Raises
    ------
    MyelinError
        If the folder cannot be written to, or is full.
    """
    tensors = {f"network.{name}": value.contiguous().cpu() for name, value in model.network.state_dict().items()}
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].numpy().tobytes())
    card = model.card.model_copy(update={"uid": digest.hexdigest()[:12]})
    if model.threshold_map is not None:
        tensors["threshold.map"] = torch.from_numpy(np.ascontiguousarray(model.threshold_map, dtype=np.float32))
    write_atomically(path, to_bytes(tensors, {METADATA: card.model_dump_json()}))
    return Model(model.network, card, model.threshold_map)


def read_card(path: Path) -> ModelCard:
    """Return a model file's card without reading its weights.

    Raises
    ------
    MyelinError
        If the file is missing, truncated, pickled, no model of ours, or of another format.
    """
    return _parse_card(path, _open(path)[0])


def load_model(path: Path) -> Model:
    """Return the model in ``path``, on the CPU, ready for prediction.

    Raises
    ------
    MyelinError
        As `read_card`, and where the weights do not fit the networks that the card describes.
    """
    metadata, tensors = _open(path, weights=True)
    card = _parse_card(path, metadata)
    network = build_cascade(card.options.network, len(card.modalities), seed=0).first(card.stages)
    weights = {name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise MyelinError(f"{path}: the weights do not fit the networks of its card; the file is damaged") from error
    threshold_map = tensors["threshold.map"].numpy() if "threshold.map" in tensors else None
    return Model(network.eval(), card, threshold_map)


def _open(path: Path, weights: bool = False) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    if path == Path(SAMPLE) / MODEL and not path.exists():  # found wherever the package is, as the sample cohort is
        path = sample_model()
    if path.is_dir():
        inside = path / "model.safetensors"
        hint = f": give {inside}" if inside.exists() else ": give the .safetensors file"
        raise MyelinError(f"{path} is a folder, not a model file{hint}")
    try:
        with path.open("rb") as file:
            head = file.read(9)
        # a .safetensors file starts with the length of its JSON header, whose low byte may be anything
        if head[8:] != b"{" and (head[:1] == b"\x80" or head[:2] == b"PK"):
            raise MyelinError(f"{path} is a pickled file, which could run code when opened: give a .safetensors model")
        with safe_open(path, framework="pt") as archive:
            tensors = {name: archive.get_tensor(name) for name in archive.keys()} if weights else {}  # noqa: SIM118
            return dict(archive.metadata() or {}), tensors
    except OSError as error:
        raise MyelinError(f"cannot read the model {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise MyelinError(f"{path} is not a whole .safetensors file (truncated?): copy or train it again") from error


def _parse_card(path: Path, metadata: dict[str, str]) -> ModelCard:
    if METADATA not in metadata:
        raise MyelinError(f"{path} is a .safetensors file, but no napari-myelin model: it has no model card")
    try:
        table = json.loads(metadata[METADATA])
        written = table.get("format")
        if written != FORMAT:
            raise MyelinError(
                f"{path} has model format {written} (napari-myelin {table.get('version')}), this version "
                f"({napari_myelin.__version__}) reads format {FORMAT}: install the version that wrote it"
            )
        return ModelCard.model_validate(table)
    except (json.JSONDecodeError, AttributeError, ValidationError) as error:
        raise MyelinError(f"{path}: its model card cannot be read; it is damaged or of another version") from error
