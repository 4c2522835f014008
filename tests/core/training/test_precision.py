"""In bfloat16 a training learns what it does in float32, and all that is computed in it is: frozen stages, too."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from tiny import tiny_accurate, tiny_options
from torch import Tensor
from torch.nn import functional

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.events import Finished, Started, Step, StopRequest, read_events
from napari_myelin.core.inference.model import read_card
from napari_myelin.core.inference.predict import Prediction
from napari_myelin.core.networks.build import build_cascade
from napari_myelin.core.options import Options, RuntimeOptions
from napari_myelin.core.options_file import options_from
from napari_myelin.core.runtime import launch, to_device
from napari_myelin.core.training import validate as module
from napari_myelin.core.training.fit import fit
from napari_myelin.core.training.memory import training_bytes
from napari_myelin.core.training.stage import Position, conditioned, open_stage
from napari_myelin.core.training.step import Sample, train_step
from napari_myelin.core.training.validate import validate

SHAPE, STEPS = (16, 32, 16), 12
PRECISIONS = [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)]


def fabric_in(precision: str) -> Fabric:
    return launch(RuntimeOptions.model_validate({"device": "cpu", "precision": precision}))


def learnable(number: int) -> Sample:
    stream = torch.Generator().manual_seed(number)
    mri = torch.randn(1, 4, *SHAPE, generator=stream).contiguous(memory_format=torch.channels_last_3d)
    dvr = 3 * functional.avg_pool3d(mri.mean(1, keepdim=True), 3, stride=1, padding=1)
    noise = torch.randn(1, 1, *SHAPE, generator=stream)
    return Sample(mri, dvr, (dvr > 0).to(torch.uint8), torch.ones_like(dvr), noise, seed=number)


def losses_in(precision: str, options: Options) -> list[dict[str, float]]:
    fabric = fabric_in(precision)
    cascade = to_device(build_cascade(options.network, 4, seed=1), fabric.device)
    nets = open_stage(Position(), cascade, options, fabric, steps=STEPS)
    steps = [train_step(nets, [learnable(number % 3)], fabric) for number in range(STEPS)]
    return [{name: float(value) for name, value in losses.items()} for losses in steps]


@pytest.mark.parametrize(("given", "term"), [(tiny_options(), "l1"), (tiny_accurate(), "l2")], ids=["demo", "accurate"])
def test_a_training_in_bfloat16_learns_what_one_in_float32_does(given: Options, term: str) -> None:
    options = options_from({"training": {"epochs": 1, "sketcher_rate": 2e-3}}, given)
    full, half = losses_in("32-true", options), losses_in("bf16-mixed", options)
    assert full != half  # it was another arithmetic
    for one, other in zip(full, half, strict=True):
        for name in (term, "generator"):  # what D says of a few patches differs by a tenth after some steps
            assert other[name] == pytest.approx(one[name], rel=0.03)
    assert half[-3][term] < 0.95 * half[0][term]  # the same sample: something was learnt


@pytest.mark.parametrize(("precision", "kind"), PRECISIONS)
def test_frozen_stages_compute_in_the_precision_and_say_float32(precision: str, kind: torch.dtype) -> None:
    options = tiny_options()
    cascade, sample = build_cascade(options.network, 4, seed=0).eval(), learnable(0)
    with torch.no_grad():
        expected = cascade.first(1)(sample.mri, sample.condition)[-1]
    seen: list[Tensor] = []
    cascade.stages[0].register_forward_hook(lambda _, __, out: seen.append(out))
    condition = conditioned(cascade, 1, sample, fabric_in(precision)).condition
    assert [out.dtype for out in seen] == [kind]
    assert condition.dtype == torch.float32
    torch.testing.assert_close(condition, expected, rtol=0, atol=0.0 if kind == torch.float32 else 0.1)


@pytest.mark.parametrize(("precision", "kind"), PRECISIONS)
def test_held_out_subjects_are_predicted_in_the_precision(
    precision: str, kind: torch.dtype, memory_subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def predict(_: Any, subject: Subject, **more: Any) -> Prediction:
        seen.append((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
        return Prediction(subject.volume("dvr"), subject.volume("dvr"), None, 1.0)

    monkeypatch.setattr(module, "predict", predict)
    model: Any = SimpleNamespace(
        network=torch.nn.Identity(), card=SimpleNamespace(options=SimpleNamespace(data=SimpleNamespace(resample=False)))
    )
    nets: Any = SimpleNamespace(squared=True)
    assert validate(model, [memory_subject], fabric_in(precision), nets) == {"mse": 0.0, "loss": 0.0}
    assert seen == [kind]


@pytest.mark.parametrize(
    ("asked", "native", "had"),
    [("auto", False, "32-true"), ("auto", True, "bf16-mixed"), ("bf16-mixed", False, "bf16-mixed")],
)
def test_a_run_says_and_its_model_remembers_the_precision_that_it_had(
    asked: str, native: bool, had: str, small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native})
    options = options_from({"runtime": {"precision": asked}}, tiny_options())
    events = list(fit(small, options, tmp_path / "run"))
    assert isinstance(events[-1], Finished), events[-1]
    (started,) = (event for event in read_events(tmp_path / "run" / "events.jsonl") if isinstance(event, Started))
    card = read_card(tmp_path / "run" / "model.safetensors")
    assert started.precision == card.training.precision == had
    assert card.training.place == ("cpu" if had == "32-true" else "cpu, bf16-mixed")


def test_memory_is_told_in_the_precision_that_auto_comes_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    told = {}
    for precision in ("auto", "32-true", "bf16-mixed"):
        options = options_from({"runtime": {"device": "cuda", "precision": precision}}, tiny_options())
        told[precision] = training_bytes(options, SHAPE, 4)
    assert told["auto"] == told["bf16-mixed"] < told["32-true"]


@pytest.mark.parametrize("then", ["32-true", "bf16-mixed"])
def test_a_resumed_run_says_where_its_arithmetic_changes(then: str, small: Cohort, tmp_path: Path) -> None:
    run, stop = tmp_path / "run", StopRequest()
    for event in fit(small, tiny_options(epochs=1), run, stop=stop):
        if isinstance(event, Step):
            stop.request()
    options = options_from({"runtime": {"precision": then}}, tiny_options(epochs=1))
    (started,) = (event for event in fit(small, options, run, resume=True) if isinstance(event, Started))
    changed = "the run computed in 32-true until now and goes on in bf16-mixed: --precision 32-true keeps to one"
    assert (changed in started.notes) == (then == "bf16-mixed")
    assert started.resumed
