"""Losses are read once in several steps on a GPU: the same events and weights, and nothing in a step waits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from runs import assert_same_weights, weights
from tiny import tiny_accurate, tiny_options
from torch.utils._python_dispatch import TorchDispatchMode

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.normalisation import Normalisation
from napari_myelin.core.events import Epoch, Finished, Step, StopRequest, read_events
from napari_myelin.core.networks.build import build_cascade
from napari_myelin.core.options import Options
from napari_myelin.core.runtime import sent
from napari_myelin.core.training import cubes, fields, shelf, trainer
from napari_myelin.core.training.fit import fit
from napari_myelin.core.training.readings import EVERY, DivergedError, Readings
from napari_myelin.core.training.stage import Position, make_sample, open_stage
from napari_myelin.core.training.step import Sample, train_step

GPU = torch.device("cuda")  # only its name is looked at


@pytest.fixture
def seldom(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Read the losses as seldom as on a GPU."""
    monkeypatch.setattr(trainer, "Readings", lambda stage, device: Readings(stage, GPU))
    return


def losses_of(run: Path) -> list[tuple[Any, ...]]:
    events = read_events(run / "events.jsonl")
    return [(e.stage, e.epoch, e.step, e.losses) for e in events if isinstance(e, Step)]


@pytest.mark.usefixtures("seldom")
def test_a_run_that_reads_seldom_says_and_learns_the_same(small: Cohort, uninterrupted: Path, tmp_path: Path) -> None:
    assert isinstance(list(fit(small, tiny_options(epochs=2), tmp_path / "run"))[-1], Finished)
    assert losses_of(tmp_path / "run") == losses_of(uninterrupted)
    assert_same_weights(weights(tmp_path / "run"), weights(uninterrupted))


@pytest.mark.usefixtures("seldom")
def test_a_stop_between_two_readings_loses_no_step(
    small: Cohort, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, stop, real = tmp_path / "run", StopRequest(), trainer.train_step

    def stopping(*arguments: Any) -> Any:
        stop.request()
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train_step", stopping)
        list(fit(small, tiny_options(epochs=2), run, stop=stop))
    assert len(losses_of(run)) == 1
    assert isinstance(list(fit(small, tiny_options(epochs=2), run, resume=True))[-1], Finished)
    assert losses_of(run) == losses_of(uninterrupted)
    means = [e.losses for e in read_events(run / "events.jsonl") if isinstance(e, Epoch)]
    assert means == [e.losses for e in read_events(uninterrupted / "events.jsonl") if isinstance(e, Epoch)]


def test_a_gpu_is_read_once_in_several_steps_and_a_processor_after_each() -> None:
    on_gpu, on_cpu = Readings("sketcher", GPU), Readings("sketcher", torch.device("cpu"))
    for step in range(1, EVERY):
        on_gpu.add(1, step, {"l1": torch.tensor(float(step))})
        assert not on_gpu.due
    on_gpu.add(1, EVERY, {"l1": torch.tensor(float(EVERY))})
    on_cpu.add(1, 1, {"l1": torch.tensor(1.0)})
    assert on_gpu.due
    assert on_cpu.due
    assert [(step.step, step.losses["l1"]) for step in on_gpu.read()] == [(n, float(n)) for n in range(1, EVERY + 1)]
    assert len(on_gpu) == 0
    assert list(on_gpu.read()) == []


def test_the_step_whose_loss_is_no_number_is_named_after_those_before_it() -> None:
    readings = Readings("refiner", GPU)
    for step, value in enumerate((0.5, math.nan, 1.0), start=1):
        readings.add(3, step, {"l1": torch.tensor(1.0), "adversarial": torch.tensor(value)})
    steps = readings.read()
    assert next(steps).losses == {"l1": 1.0, "adversarial": 0.5}
    with pytest.raises(DivergedError, match='"adversarial" became nan in stage refiner, epoch 3, step 2'):
        next(steps)


class Waits(TorchDispatchMode):
    """Notes each operation whose answer a GPU would have to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func)
        counts = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "unique", "equal")
        by_mask = "aten.index" in name and any(
            isinstance(i, torch.Tensor) and i.dtype == torch.bool for i in (args[1] if len(args) > 1 else ()) or ()
        )
        if by_mask or any(f"aten.{count}." in name for count in counts) or self._between_devices(name, args, kwargs):
            self.found.append(name)
        return func(*args, **(kwargs or {}))

    def _between_devices(self, name: str, args: Any, kwargs: Any) -> bool:
        if "aten._to_copy" in name:
            return (kwargs or {}).get("device") not in (None, args[0].device)
        return "aten.copy_" in name and args[0].device != args[1].device


@pytest.mark.parametrize("options", [tiny_options(), tiny_accurate()], ids=["demo", "accurate"])
def test_nothing_inside_a_step_waits_for_the_device(options: Options) -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    shape, modalities = (16, 32, 16), len(options.data.modalities)
    cascade = build_cascade(options.network, modalities, seed=0)
    nets = open_stage(Position(), cascade, options, fabric, steps=4)
    volume = torch.randn(1, 1, *shape)
    sample = Sample(
        torch.randn(1, modalities, *shape), volume, (volume > 0).to(torch.uint8), volume.abs(), volume, seed=1
    )
    train_step(nets, [sample], fabric)  # ADAM makes its moments
    with Waits() as waits:
        losses = train_step(nets, [sample], fabric)
        assert waits.found == []
        float(losses["generator"])
    assert waits.found == ["aten._local_scalar_dense.default"]


class Scored:
    """A subject of random maps, as the cohort's cache has it."""

    def __init__(self) -> None:
        random, shape = np.random.default_rng(0), (32, 32, 32)
        self.mri, self.dvr = random.random((4, *shape), np.float32), random.random(shape, np.float32)
        self.regions, self.brain = random.integers(0, 3, shape).astype(np.uint8), np.ones(shape, bool)

    def load(self, key: str) -> Scored:
        return self


@pytest.mark.parametrize("seen", [True, False], ids=["as it is", "by a copy that is waited for"])
def test_a_sample_is_made_without_waiting_for_the_device(seen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    meta, options = torch.device("meta"), tiny_accurate()  # it stands for a GPU
    for module in (cubes, fields, shelf):  # without an operation, as if it were done behind the others
        monkeypatch.setattr(module, "sent", lambda tensor, device: torch.empty_like(tensor, device=device))
    if not seen:
        for module in (cubes, fields):
            monkeypatch.setattr(module, "sent", torch.Tensor.to)
    cascade, fabric = build_cascade(options.network, 4, seed=0), Fabric(accelerator="cpu", devices=1)
    names = options.data.modalities
    constants = Normalisation(dict.fromkeys(names, 1.0), dict.fromkeys(names, 2.0), {}, {}, {}, {})
    ground: Any = SimpleNamespace(take=shelf.Shelf(Scored(), meta).take, normalisation=constants)  # type: ignore[arg-type]
    with Waits() as waits:
        sample = make_sample(ground, cascade, "sub-01", Position(), options, fabric)
    assert (sample.mri.shape, sample.mri.device) == ((2, 4, 16, 16, 16), meta)
    assert waits.found == ([] if seen else ["aten._to_copy.default"] * 4)  # two of the jitter, two of the field


def test_what_is_sent_to_a_gpu_goes_from_page_locked_memory_and_by_itself() -> None:
    class Noting(torch.Tensor):
        said: ClassVar[list[Any]] = []

        def pin_memory(self, device: Any = None) -> Any:
            self.said.append("pinned")
            return self

        def to(self, *given: Any, **more: Any) -> Any:
            self.said.append((*given, more))
            return self

    for device in (GPU, torch.device("cpu")):
        sent(torch.zeros(3).as_subclass(Noting), device)
    assert Noting.said == ["pinned", (GPU, {"non_blocking": True}), (torch.device("cpu"), {})]
