"""A prediction of many goes on where it was: what is done is kept, what changed is done again, failures are told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from napari_myelin.core.data.bids import sidecar
from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.events import Event, Kept, Progress, Skipped, Stopped, StopRequest
from napari_myelin.core.inference import cohort as module
from napari_myelin.core.inference.cohort import predict_cohort
from napari_myelin.core.inference.done import is_done
from napari_myelin.core.inference.model import Model
from napari_myelin.core.inference.outputs import read_outputs
from napari_myelin.core.options import RuntimeOptions
from napari_myelin.core.prediction_options import PredictionOptions

CPU = RuntimeOptions(device="cpu")


def run(model: Model, cohort: Cohort, out: Path, again: bool = False, **options: object) -> list[Event]:
    return list(predict_cohort([model], cohort, out, PredictionOptions(**options), CPU, again=again))  # type: ignore[arg-type]


def kept(events: list[Event]) -> list[str]:
    return [key for event in events if isinstance(event, Kept) for key in event.subjects]


def predicted(events: list[Event]) -> list[str]:
    return [event.detail for event in events if isinstance(event, Progress)]


def test_what_is_done_is_kept_and_the_rest_goes_on(model: Model, phantom_cohort: Cohort, tmp_path: Path) -> None:
    out, stop = tmp_path / "p", StopRequest()
    events = []
    for event in predict_cohort([model], phantom_cohort, out, None, CPU, stop=stop):
        events.append(event)
        if isinstance(event, Progress) and event.done == 2:
            stop.request()
    assert events[-1] == Stopped("prediction", 0, 2)
    made = read_outputs(out)
    times = {key: sidecar(made.path(phantom_cohort.select([key]).subjects[0], "dvr-predicted")) for key in ("01", "02")}
    before = {key: path.stat().st_mtime_ns for key, path in times.items()}
    events = run(model, phantom_cohort, out)
    assert kept(events) == ["sub-01", "sub-02"]
    assert predicted(events) == ["sub-03", "sub-04", "sub-05"]
    assert [event.done for event in events if isinstance(event, Progress)] == [3, 4, 5]
    assert {key: path.stat().st_mtime_ns for key, path in times.items()} == before
    assert kept(run(model, phantom_cohort, out)) == [subject.key for subject in phantom_cohort.subjects]


def test_another_way_to_predict_and_the_wish_to_are_not_kept(
    model: Model, phantom_cohort: Cohort, tmp_path: Path
) -> None:
    cohort, out = phantom_cohort.select(["04"]), tmp_path / "p"
    assert predicted(run(model, cohort, out)) == ["sub-04"]
    for options in ({"seed": 1}, {"window": 16}, {"uncertainty": 2}, {"threshold_value": 0.9}, {"saliency": True}):
        assert predicted(run(model, cohort, out, **options)) == ["sub-04"], options
    assert predicted(run(model, cohort, out, saliency=True)) == []
    assert predicted(run(model, cohort, out, again=True, saliency=True)) == ["sub-04"]


def test_a_file_that_changed_and_a_map_that_is_gone_are_done_again(
    model: Model, phantom_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(phantom_folder, tmp_path / "cohort")
    cohort, out = open_cohort(tmp_path / "cohort").select(["01", "02"]), tmp_path / "p"
    run(model, cohort, out)
    one, two = cohort.subjects
    lesion = one.files["lesion"]
    assert isinstance(lesion, Path)
    os.utime(lesion, ns=(0, 123456789))
    assert predicted(run(model, cohort, out)) == ["sub-01"]
    read_outputs(out).path(two, "dvr-sketch").unlink()
    assert predicted(run(model, cohort, out)) == ["sub-02"]
    held = Cohort(cohort.root, (replace(one, files={**one.files, "MTR": one.raw("MTR")}), two))
    assert predicted(run(model, held, out)) == ["sub-01"]  # what is in memory cannot be told from what was


def test_a_subject_that_was_half_written_is_done_again(
    model: Model, phantom_cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    cohort, out = phantom_cohort.select(["01", "04"]), tmp_path / "p"
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_saliency", killed)
        with pytest.raises(Killed):
            run(model, cohort, out, saliency=True)
    made = read_outputs(out)
    assert made.path(cohort.subjects[0], "dvr-predicted").exists()
    assert not is_done(made, cohort.subjects[0], "32-true")
    assert predicted(run(model, cohort, out, saliency=True)) == ["sub-01", "sub-04"]


def test_what_failed_is_told_each_time_and_tried_again(model: Model, phantom_cohort: Cohort, tmp_path: Path) -> None:
    one, two = phantom_cohort.subjects[:2]
    no_fa = replace(one, files={role: file for role, file in one.files.items() if role != "FA"})
    for _ in range(2):
        events = run(model, Cohort(phantom_cohort.root, (no_fa, two)), tmp_path / "p")
        assert [event.subject for event in events if isinstance(event, Skipped)] == ["sub-01"]
    assert kept(events) == ["sub-02"]
    assert predicted(run(model, Cohort(phantom_cohort.root, (one, two)), tmp_path / "p")) == ["sub-01"]


def command(model: Path, cohort: Path, out: Path, *more: str) -> list[str]:
    words = ["predict", str(model), str(cohort), "--out", str(out), "--device", "cpu", "--threads", "1", *more]
    return [sys.executable, "-m", "training_cli.main", *words]


@pytest.mark.slow
def test_a_killed_prediction_goes_on_with_the_same_command_on_any_number_of_devices(
    phantom_folder: Path, trained_run: Path, tmp_path: Path
) -> None:
    words = command(trained_run / "model.safetensors", phantom_folder, tmp_path / "p")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)
    while not list((tmp_path / "p").glob("sub-02/pet/*predicted*.json")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
    process.wait()
    more = ["--devices", "2"] if sys.platform != "win32" else []
    done = subprocess.run([*words, *more, "--json"], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    before = [key for event in events if event["kind"] == "kept" for key in event["subjects"]]
    assert before in (["sub-01"], ["sub-01", "sub-02"])
    assert len(list((tmp_path / "p").rglob("*desc-predicted*.nii.gz"))) == 5
    made = read_outputs(tmp_path / "p")
    assert all(is_done(made, subject, "32-true") for subject in open_cohort(phantom_folder).subjects)
