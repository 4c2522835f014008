"""A study that is asked to stop saves what runs, here and in processes of its own, and goes on later."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.events import Event, Stopped, StopRequest, read_events
from napari_myelin.core.study.options import Study, read_study
from napari_myelin.core.study.parts import open_plan
from napari_myelin.core.study.run import run_study

PART = "cascade_MTR+FA+RD+AD_fold1"


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_stop_saves_the_run_and_ends_the_study(
    jobs: int, phantom_cohort: Cohort, study_toml: Path, tmp_path: Path
) -> None:
    given = read_study(study_toml)
    # long enough that it cannot end on its own
    training = given.options.training.model_copy(update={"epochs": 2000})
    study = Study(given.options.model_copy(update={"training": training}), given.study)
    plan = open_plan(phantom_cohort, study, tmp_path / "out")
    run, stop = tmp_path / "out" / "parts" / PART / "run", StopRequest()

    def ask() -> None:
        while not list(run.glob("state/*.pt")):
            time.sleep(0.05)
        stop.request()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    events: list[Event] = list(run_study(plan, jobs=jobs, subset=[PART], stop=stop))
    assert isinstance(events[-1], Stopped)
    assert isinstance(read_events(run / "events.jsonl")[-1], Stopped)
    assert not any(plan.done(part) for part in plan.parts)
    assert not (tmp_path / "out" / "results.tsv").exists()
