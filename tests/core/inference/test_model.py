"""A model is one file that holds all that is needed, and nothing that can execute."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_myelin.core.errors import MyelinError
from napari_myelin.core.inference.model import METADATA, Model, load_model, read_card, save_model


def test_saved_model_is_the_same_model(model: Model, tmp_path: Path) -> None:
    saved = save_model(
        Model(model.network, model.card, np.full((2, 3, 4), 0.9, np.float32)), tmp_path / "m.safetensors"
    )
    again = load_model(tmp_path / "m.safetensors")
    for name, value in model.network.state_dict().items():
        torch.testing.assert_close(again.network.state_dict()[name], value, rtol=0, atol=0)
    assert again.card == saved.card
    assert again.threshold_map is not None
    np.testing.assert_array_equal(again.threshold_map, np.full((2, 3, 4), 0.9, np.float32))
    assert not again.network.training


def test_card_says_what_a_user_must_know(trained_run: Path) -> None:
    card = read_card(trained_run / "model.safetensors")
    assert card.modalities == ("MTR", "FA", "RD", "AD")
    assert card.units["MTR"] == "%"
    assert card.training.finished
    assert card.training.phantom
    assert card.training.stages == ("sketcher", "refiner")
    assert card.training.epochs == (1, 1)
    assert len(card.training.subjects) + len(card.training.validation) == 5
    assert card.training.validation_mse is not None
    assert card.threshold is not None
    assert card.threshold["kind"] == "global"
    assert "Not a medical device" in card.intended_use
    assert len(card.uid) == 12


def test_uid_follows_the_weights(model: Model, tmp_path: Path) -> None:
    first = save_model(model, tmp_path / "a.safetensors").card.uid
    assert save_model(model, tmp_path / "b.safetensors").card.uid == first
    with torch.no_grad():
        next(model.network.parameters()).add_(1)
    assert save_model(model, tmp_path / "c.safetensors").card.uid != first


def damaged(kind: str, good: Path, tmp_path: Path) -> Path:
    path = tmp_path / "bad.safetensors"
    if kind == "missing":
        return path
    if kind == "folder":
        return good.parent
    if kind == "truncated":
        path.write_bytes(good.read_bytes()[:-100])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "pickled":
        path.write_bytes(pickle.dumps({"weights": 1}))
    elif kind == "torch":
        torch.save({"weights": torch.ones(1)}, path)
    elif kind == "foreign":
        save_file({"a": torch.ones(1)}, path)
    elif kind == "version":
        save_file({"a": torch.ones(1)}, path, {METADATA: json.dumps({"format": 99, "version": "7.0"})})
    elif kind == "card":
        save_file({"a": torch.ones(1)}, path, {METADATA: json.dumps({"format": 1})})
    elif kind == "weights":
        save_file({"network.a": torch.ones(1)}, path, {METADATA: read_card(good).model_dump_json()})
    return path


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("missing", "cannot read the model"),
        ("folder", r"is a folder, not a model file: give .*model.safetensors"),
        ("truncated", "truncated"),
        ("empty", "truncated"),
        ("pickled", "pickled file, which could run code"),
        ("torch", "pickled file, which could run code"),
        ("foreign", "no napari-myelin model"),
        ("version", r"model format 99 \(napari-myelin 7.0\), this version .* reads format 1"),
        ("card", "card cannot be read"),
        ("weights", "do not fit the networks of its card"),
    ],
)
def test_a_bad_model_file_is_one_sentence(kind: str, sentence: str, trained_run: Path, tmp_path: Path) -> None:
    path = damaged(kind, trained_run / "model.safetensors", tmp_path)
    with pytest.raises(MyelinError, match=sentence) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def test_a_model_that_cannot_be_written_leaves_nothing(model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MyelinError, match=r"cannot write .*m\.safetensors"):
        save_model(model, tmp_path / "file" / "m.safetensors")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
