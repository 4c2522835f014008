"""torch.compile as an option: the same training, or a sentence that says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from runs import assert_same_weights, weights
from tiny import tiny_options

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.events import Event, Finished, Started, Step
from napari_myelin.core.options import Options
from napari_myelin.core.options_file import options_from
from napari_myelin.core.training import compiling
from napari_myelin.core.training.fit import fit

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's, about code of its own that it looks into


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
