"""A forecast says what the run then does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import tiny_options

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.events import Started
from napari_myelin.core.inference.model import load_model
from napari_myelin.core.options_file import options_from
from napari_myelin.core.runtime import resolve_device
from napari_myelin.core.training import forecast as module
from napari_myelin.core.training.forecast import forecast
from napari_myelin.core.training.memory import parameters_of, training_bytes


def test_a_forecast_names_the_subjects_and_the_grid_that_the_run_had(phantom_cohort: Cohort, trained_run: Path) -> None:
    from napari_myelin.core.events import read_events

    (started,) = (event for event in read_events(trained_run / "events.jsonl") if isinstance(event, Started))
    seen = forecast(phantom_cohort, tiny_options())
    assert (seen.training, seen.validation) == (len(started.training), len(started.validation)) == (4, 1)
    assert seen.controls == load_model(trained_run / "model.safetensors").card.training.controls
    assert list(seen.grid.shape) == load_model(trained_run / "model.safetensors").card.grid["shape"]
    assert seen.need == training_bytes(tiny_options(), seen.grid.shape, 4)
    assert (seen.generator, seen.discriminator) == parameters_of(tiny_options(), 4)
    assert seen.steps == started.steps
    assert seen.device == str(resolve_device("cpu"))
    assert seen.advice == ""
    half = options_from({"runtime": {"precision": "bf16-mixed"}}, tiny_options())
    assert (seen.precision, forecast(phantom_cohort, half).precision) == ("32-true", "bf16-mixed")


def test_who_is_left_out_is_named(phantom_cohort: Cohort) -> None:
    first, *others = phantom_cohort.subjects
    without = replace(first, files={name: file for name, file in first.files.items() if name != "dvr"})
    seen = forecast(replace(phantom_cohort, subjects=(without, *others)), tiny_options())
    assert seen.training + seen.validation == 4
    (note,) = seen.notes
    assert note.startswith("sub-01 is left out: ")


def test_what_does_not_fit_comes_with_what_would(phantom_cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    options = options_from({"network": {"maps": 16}, "data": {"shape": [32, 48, 32], "spacing": 4.0}}, tiny_options())
    monkeypatch.setattr(module, "free_memory", lambda device: 60 * 2**20)
    seen = forecast(phantom_cohort, options)
    assert seen.need > seen.free == 60 * 2**20
    assert seen.advice.startswith("--crop 16 --window 16 --checkpointing --maps 8 --batch 1 would fit (about")


def test_on_a_gpu_the_subjects_that_stay_there_are_told_too_where_they_fit(
    phantom_cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "resolve_device", lambda name: torch.device("cuda", 0))
    options = options_from({"runtime": {"device": "cuda"}}, tiny_options())
    monkeypatch.setattr(module, "free_memory", lambda device: 2**30)
    seen = forecast(phantom_cohort, options)
    i, j, k = seen.grid.shape
    step = training_bytes(options, seen.grid.shape, 4)
    assert seen.resident == 4 * i * j * k * (4 * 5 + 2)  # four train: four maps and a target, float32, and two of bytes
    assert seen.need == step + seen.resident
    # as `fit`: it is kept where a step and a tenth of the memory are left
    monkeypatch.setattr(module, "free_memory", lambda device: int((step + seen.resident) / 0.9) - 2)
    short = forecast(phantom_cohort, options)
    assert (short.resident, short.need, short.advice) == (0, step, "")
