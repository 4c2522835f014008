"""torch.compile as an option: the same training, or a sentence that says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from runs import assert_same_weights, weights
from tiny import tiny_options

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.events import Event, Finished, Noted, Started, Step, SteppedDown, read_events
from napari_myelin.core.inference.model import Model, read_card
from napari_myelin.core.options import Options
from napari_myelin.core.options_file import options_from
from napari_myelin.core.training import compiling, trainer
from napari_myelin.core.training.compiling import by_compiler
from napari_myelin.core.training.fit import fit
from napari_myelin.core.training.step import StageNets

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's, about code of its own that it looks into


@pytest.fixture(autouse=True)
def _anew() -> None:
    torch._dynamo.reset()  # torch compiles the same code so many times in a process, then leaves it as it is


def compiled(**network: object) -> Options:
    return options_from({"network": network, "runtime": {"compile": True}}, tiny_options(epochs=2))


def told(events: list[Event]) -> list[str]:
    (started,) = (event for event in events if isinstance(event, Started))
    return [note for note in started.notes if "torch.compile" in note]


def test_compiled_networks_learn_what_plain_ones_do(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = 0

    def backend(graph: Any, inputs: Any) -> Any:
        nonlocal passes

        def run(*arguments: Any) -> Any:
            nonlocal passes
            passes += 1
            return graph.forward(*arguments)

        return run

    # inductor takes minutes to compile for a processor: here the networks go through its front end alone
    monkeypatch.setattr(compiling, "BACKEND", backend)
    options = compiled(dropout=0.0)
    plain = options_from({"runtime": {"compile": False}}, options)
    runs = [list(fit(small, each, tmp_path / str(each.runtime.compile))) for each in (options, plain)]
    assert isinstance(runs[0][-1], Finished), runs[0][-1]
    assert told(runs[0]) == []
    steps = [[event for event in run if isinstance(event, Step)] for run in runs]
    assert passes > 2 * len(steps[0])  # generator and discriminator, in every step
    for one, other in zip(*steps, strict=True):
        assert one.losses == pytest.approx(other.losses, rel=1e-3)


def test_where_it_cannot_compile_a_run_says_so_and_is_the_plain_one(
    small: Cohort, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def backend(graph: Any, inputs: Any) -> Any:
        raise OSError("no C++ compiler here")

    monkeypatch.setattr(compiling, "BACKEND", backend)
    events = list(fit(small, compiled(), tmp_path / "run"))
    assert isinstance(events[-1], Finished), events[-1]
    (note,) = told(events)
    assert "torch.compile cannot be used here, trains without it" in note
    assert "no C++ compiler here" in note
    assert_same_weights(weights(tmp_path / "run"), weights(uninterrupted))


def test_a_later_stage_that_cannot_be_compiled_goes_on_without_and_an_event_says_so(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # on a processor the front end gives up on the networks' code after some versions of it, and compiles no more
    problems = iter(["", "OSError: no compiler any more"])
    monkeypatch.setattr(trainer, "compile_networks", lambda *_: next(problems))
    events = list(fit(small, options_from({"training": {"epochs": 1}}, compiled()), tmp_path / "run"))
    assert isinstance(events[-1], Finished), events[-1]
    assert told(events) == []
    (noted,) = (event for event in events if isinstance(event, Noted))
    assert noted.text.startswith("torch.compile cannot be used here, trains without it (")
    assert "no compiler any more" in noted.text
    before = [event.stage for event in events[: events.index(noted)] if isinstance(event, Step)]
    assert set(before) == {"sketcher"}  # it is said when it happens


def error_of_the_compiler() -> Exception:
    def backend(graph: Any, inputs: Any) -> Any:
        raise OSError("no compiler any more")

    with pytest.raises(Exception, match="no compiler any more") as caught:
        torch.compile(lambda x: x.sin() + 1, backend=backend)(torch.ones(1))
    return caught.value


def test_a_validation_that_cannot_be_compiled_is_done_plain_and_an_event_says_so(
    small: Cohort, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error, real, calls, plain = error_of_the_compiler(), trainer.validate, 0, []

    def once(model: Model, *given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise error
        plain.append(all(stage._compiled_call_impl is None for stage in model.network.stages))
        return real(model, *given)

    def pretend(nets: StageNets, *_: Any) -> str:
        nets.generator._compiled_call_impl = nets.generator._call_impl
        return ""

    monkeypatch.setattr(trainer, "validate", once)
    monkeypatch.setattr(trainer, "compile_networks", pretend)
    events = list(fit(small, compiled(), tmp_path / "run"))
    assert isinstance(events[-1], Finished), events[-1]
    (noted,) = (event for event in events if isinstance(event, Noted))
    assert "no compiler any more" in noted.text
    assert noted in read_events(tmp_path / "run" / "events.jsonl")
    assert noted.text in read_card(tmp_path / "run" / "model.safetensors").notes
    assert all(plain)  # in the second stage nothing is compiled any more
    assert_same_weights(weights(tmp_path / "run"), weights(uninterrupted))


def test_only_what_a_compiler_says_is_taken_for_its_failure() -> None:
    assert by_compiler(error_of_the_compiler())
    assert not by_compiler(RuntimeError("size mismatch"))


def test_a_smaller_step_that_cannot_be_compiled_is_done_plain(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, broken, calls = trainer.train_step, False, 0

    def backend(graph: Any, inputs: Any) -> Any:
        if broken:
            raise OSError("no compiler any more")
        return graph.forward

    def once(*given: Any) -> Any:
        nonlocal broken, calls
        calls += 1
        if calls == 2:
            broken = True
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(*given)

    monkeypatch.setattr(compiling, "BACKEND", backend)
    monkeypatch.setattr(trainer, "train_step", once)
    events = list(fit(small, options_from({"training": {"epochs": 1}}, compiled()), tmp_path / "run"))
    assert isinstance(events[-1], Finished), events[-1]
    said = [event.kind for event in events if isinstance(event, SteppedDown | Noted)]
    assert said == ["stepped_down", "noted"]
    steps = [(event.stage, event.step) for event in events if isinstance(event, Step)]
    assert steps == [("sketcher", 1), ("sketcher", 2), ("refiner", 1), ("refiner", 2)]  # none twice, none left out
