"""What tests of runs compare."""

from __future__ import annotations

from pathlib import Path

import torch

from napari_myelin.core.events import (
    Event,
)
from napari_myelin.core.inference.model import load_model


def weights(run: Path, name: str = "model.safetensors") -> dict[str, torch.Tensor]:
    return load_model(run / name).network.state_dict()


def assert_same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events]
