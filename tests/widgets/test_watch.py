"""A run that another process writes is followed line by line, stopped by its folder, and missed when it is silent."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mouse import press
from qtpy.QtWidgets import QFileDialog
from tiny import tiny_options
from trainings import run_of, until

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Failed, Finished, Started, Step, Stopped, StopRequest, read_events
from napari_myelin.core.options_file import to_toml
from napari_myelin.widgets.session import session_of
from napari_myelin.widgets.train import watch
from napari_myelin.widgets.train.course import Course
from napari_myelin.widgets.train.panel import TrainPanel
from napari_myelin.widgets.train.preview import TITLE
from napari_myelin.widgets.train.running import Run
from napari_myelin.widgets.train.watch import (
    PATIENCE,
    PORTION,
    Heard,
    Silent,
    Tail,
    ask_to_stop,
    follow,
    in_portions,
    patience,
    refuse_two,
)

STARTED = Started(["sketcher", "refiner"], 3, 2, ["sub-01", "sub-02"], ["sub-03"], "cpu")


def step(epoch: int, number: int, l1: float = 0.5) -> Step:
    return Step("sketcher", epoch, number, {"l1": l1}, 0.25)


def write(run: Path, *events: Any) -> None:
    with (run / "events.jsonl").open("a") as file:
        file.writelines(event.to_json() + "\n" for event in events)


def test_only_new_lines_are_read_and_half_a_line_waits(tmp_path: Path) -> None:
    write(tmp_path, STARTED, step(1, 1))
    tail = Tail(tmp_path)
    assert tail.look() == Heard([STARTED, step(1, 1)])
    assert tail.look() == Heard([])
    line = step(1, 2).to_json()
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write(line[:20])
    assert tail.look() == Heard([])
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write(line[20:] + "\nnot an event\n")
    assert tail.look() == Heard([step(1, 2)])


def test_a_file_that_resume_cut_back_is_read_again_even_where_it_grew_beyond(tmp_path: Path) -> None:
    write(tmp_path, STARTED, step(1, 1))
    kept = (tmp_path / "events.jsonl").stat().st_size
    write(tmp_path, step(1, 2, 0.3))
    tail = Tail(tmp_path)
    tail.look()
    os.truncate(tmp_path / "events.jsonl", kept)
    assert tail.look() == Heard([STARTED, step(1, 1)], again=True)
    write(tmp_path, step(1, 2, 0.4), step(2, 1))
    assert tail.look() == Heard([step(1, 2, 0.4), step(2, 1)])
    os.truncate(tmp_path / "events.jsonl", kept)
    write(tmp_path, *(step(1, 2, 0.123456) for _ in range(9)))  # longer than before, and another
    heard = tail.look()
    assert heard.again
    assert heard.events[1:] == [step(1, 1), *(step(1, 2, 0.123456) for _ in range(9))]


def test_steps_that_are_done_again_are_on_the_curve_once() -> None:
    course = Course()
    for event in (STARTED, step(1, 1, 4), step(1, 2, 3), step(2, 1, 9), STARTED, step(1, 2, 2)):
        course.take(event)
    assert course.curves["l1"].steps == [(0.5, 4), (1.0, 2)]
    assert course.done == pytest.approx(1 / 6)
    assert course.place() == "sketcher: epoch 1 of 3, step 2 of 2"
    assert course.seconds_left == pytest.approx(0.25 * 10)


def test_much_at_once_comes_in_portions() -> None:
    events = [step(1, number) for number in range(2 * PORTION + 1)]
    portions = list(in_portions(Heard(events, again=True)))
    assert [len(each.events) for each in portions] == [PORTION, PORTION, 1]
    assert [each.again for each in portions] == [True, False, False]
    assert [each.more for each in portions] == [True, True, False]
    assert list(in_portions(Heard([], again=True))) == [Heard([], again=True)]


def test_a_folder_without_a_run_and_one_that_goes_away_are_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(MyelinError, match="holds no run"):
        next(follow(tmp_path, StopRequest()))
    write(tmp_path, STARTED)
    heard = follow(tmp_path, StopRequest(), interval=0)
    assert next(heard) == Heard([STARTED])
    assert isinstance(next(heard), Silent)
    (tmp_path / "events.jsonl").unlink()
    with pytest.raises(MyelinError, match="it was moved or deleted"):
        next(heard)
    with pytest.raises(MyelinError, match="cannot ask the run in"):
        ask_to_stop(tmp_path / "gone")


def test_silence_counts_from_the_last_line_that_was_written(tmp_path: Path) -> None:
    write(tmp_path, STARTED)
    hour_ago = time.time() - 3600
    os.utime(tmp_path / "events.jsonl", (hour_ago, hour_ago))
    heard = follow(tmp_path, StopRequest(), interval=0)
    next(heard)
    silent = next(heard)
    assert isinstance(silent, Silent)
    assert silent.seconds == pytest.approx(3600, abs=60)


def test_a_run_that_was_written_to_a_short_while_ago_is_not_gone_on_with(tmp_path: Path) -> None:
    refuse_two(tmp_path, [])  # nothing was done yet
    write(tmp_path, STARTED, step(1, 1))
    events = [STARTED, step(1, 1)]
    with pytest.raises(MyelinError, match="another process may be training it; watch it and ask it to stop, or wait 1"):
        refuse_two(tmp_path, events)
    refuse_two(tmp_path, [*events, Stopped("sketcher", 1, 1)])
    minutes_ago = time.time() - PATIENCE - 1
    os.utime(tmp_path / "events.jsonl", (minutes_ago, minutes_ago))
    refuse_two(tmp_path, events)  # its process is gone
    assert patience(Course()) == 60


def test_a_run_of_another_process_is_shown_stopped_and_missed(
    viewer: Any,
    qtbot: Any,
    phantom_cohort: Cohort,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, options = tmp_path / "run", tmp_path / "options.toml"
    options.write_text(to_toml(tiny_options(epochs=200)))
    words = ["fit", str(phantom_cohort.root), "--options", str(options), "--out", str(run), "--quiet"]
    process = subprocess.Popen([sys.executable, "-m", "training_cli.main", *words])
    try:
        until(qtbot, lambda: (run / "events.jsonl").exists())
        panel = TrainPanel(viewer)
        qtbot.addWidget(panel)
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(run))
        press(qtbot, panel.watch)
        shown = run_of(panel)
        until(qtbot, lambda: shown.course.preview is not None and shown.phantom)
        until(qtbot, lambda: TITLE + "error" in viewer.layers)
        assert panel.watch.text() == "Stop watching"
        with np.load(run / "preview.npz") as file:
            assert viewer.layers[TITLE + "true"].data.max() == np.float32(file["true"].max())

        # what runs elsewhere cannot be gone on with here: the two would write over each other
        session_of(viewer).set_cohort(phantom_cohort)
        until(qtbot, lambda: "another process is training it" in panel.start.toolTip())
        assert not panel.start.isEnabled()
        press(qtbot, panel.stop)  # now "Ask it to stop"
        assert shown.sentence() == "Stopping after this step, saving..."
        until(qtbot, lambda: isinstance(shown.course.end, Stopped))
        assert process.wait(60) == 130
        assert shown.sentence().startswith("Stopped and saved: sketcher, epoch ")
        steps = [event for event in read_events(run / "events.jsonl") if isinstance(event, Step)]
        assert len(shown.course.curves["l1"].steps) == len(steps)
        until(qtbot, lambda: "Not now: its run has ended" in panel.stop.toolTip())

        # it goes on elsewhere, is seen to, and is killed
        process = subprocess.Popen([sys.executable, "-m", "training_cli.main", *words, "--resume"])
        until(qtbot, lambda: shown.course.end is None and len(shown.course.curves["l1"].steps) > len(steps))
        process.kill()
        process.wait()
        monkeypatch.setattr(watch, "PATIENCE", 0.2)
        monkeypatch.setattr(watch, "STEPS", 0.1)
        until(qtbot, lambda: "Nothing came for" in panel.view.sentence.text())
        assert "its process may be gone" in shown.sentence()
        press(qtbot, panel.watch)
        until(qtbot, lambda: not shown.running)
        assert panel.setup.run_folder == run  # where Resume would go on
    finally:
        process.kill()
        process.wait()


def test_a_failure_of_a_watched_run_is_said_once_and_not_again_once_it_was_resumed(
    viewer: Any, qtbot: Any, tmp_path: Path, notified: list[str]
) -> None:
    write(tmp_path, STARTED, step(1, 1), Failed("out of memory", "--maps 4 would fit"), STARTED, step(1, 2))
    run = Run(session_of(viewer), tmp_path)
    run.watch()
    until(qtbot, lambda: run.course.step == 2)
    assert notified == []  # it was resumed since
    write(tmp_path, Failed("out of memory", "--maps 2 would fit"))
    until(qtbot, lambda: bool(notified))
    assert notified == ["out of memory: maps 2 would fit"]
    assert run.sentence() == notified[0]
    write(tmp_path, STARTED, step(1, 2), Finished(str(tmp_path / "model.safetensors"), 61.0))
    until(qtbot, lambda: isinstance(run.course.end, Finished))
    assert run.sentence() == "Finished in 1 min 01 s."
    run.leave()
    until(qtbot, lambda: not run.running)


def test_a_watched_run_that_cannot_be_asked_to_stop_is_a_sentence(
    viewer: Any, qtbot: Any, tmp_path: Path, notified: list[str]
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    write(folder, STARTED, step(1, 1))
    run = Run(session_of(viewer), folder)
    run.watch()
    until(qtbot, lambda: run.course.step == 1)
    run.folder = tmp_path / "away"  # as a network drive that went away between two looks
    run.stop()
    assert notified == [run.sentence()]
    assert run.sentence().startswith(f"cannot ask the run in {tmp_path / 'away'} to stop: ")
    assert run.sentence().endswith("; stop its process itself")
    assert not run.stopping
    run.leave()
    until(qtbot, lambda: not run.running)
