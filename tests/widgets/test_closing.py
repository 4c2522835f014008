"""The window asks before it closes upon running work, stops and saves, says so, and then closes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mouse import answer, press
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QMessageBox
from trainings import opened, options_for, run_of, until

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.events import Step, Stopped, StopRequest, read_events
from napari_myelin.widgets.closing import Stopping
from napari_myelin.widgets.jobs import Job, running_jobs
from napari_myelin.widgets.settings import autosave_folder
from napari_myelin.widgets.subject.panel import SubjectPanel


def sentences(box: QMessageBox) -> str:
    return f"{box.text()} {box.informativeText()}"


def test_closing_while_it_trains_asks_then_stops_and_saves(
    make_napari_viewer_proxy: Callable[..., Any], qtbot: Any, phantom_cohort: Cohort, tmp_path: Path
) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    panel = opened(viewer, qtbot, phantom_cohort, tmp_path / "run", options_for(epochs=200))
    viewer.window.add_dock_widget(panel, name="Train")
    qtbot.waitUntil(panel.isVisible, timeout=5000)
    window = panel.window()
    window.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)  # the fixture closes it once more
    press(qtbot, panel.start)
    run = run_of(panel)
    until(qtbot, lambda: run.course.step >= 1)

    said: list[str] = []
    answer("Go on training", said, sentences)
    assert not window.close()
    assert said == ["Training is running. Stop and save, then close? It can be resumed from its run folder."]
    assert window.isVisible()
    assert run.running
    assert not run.stopping

    shown: list[str] = []
    stopping = QTimer()
    stopping.setInterval(5)
    stopping.timeout.connect(lambda: shown.extend(w.label.text() for w in window.findChildren(Stopping)))
    stopping.start()
    answer("Stop and close", said, sentences)
    pressed = time.monotonic()
    assert window.close()
    took = time.monotonic() - pressed
    stopping.stop()
    assert not window.isVisible()
    assert shown[0] == "Stopping training after the step under way, saving... 0 s"
    assert not run.running
    events = read_events(tmp_path / "run" / "events.jsonl")
    assert isinstance(events[-1], Stopped)
    step = max(event.seconds for event in events if isinstance(event, Step))
    sys.stdout.write(f"closing took {took:.2f} s, the longest training step {step:.2f} s\n")
    assert took < max(10.0, 5 * step)  # a step, a validation perhaps, and the saving
    assert list((tmp_path / "run" / "state").glob("*.pt"))

    # nothing runs any more: nothing is asked
    window.show()
    assert window.close()
    assert len(said) == 2


def test_closing_one_of_two_windows_stops_only_what_belongs_to_it_and_quitting_asks_for_both(
    make_napari_viewer_proxy: Callable[..., Any], qtbot: Any, phantom_cohort: Cohort, tmp_path: Path
) -> None:
    training, other = make_napari_viewer_proxy(show=True), make_napari_viewer_proxy(show=True)
    panel = opened(training, qtbot, phantom_cohort, tmp_path / "run", options_for(epochs=200))
    training.window.add_dock_widget(panel, name="Train")
    beside = SubjectPanel(other)
    other.window.add_dock_widget(beside, name="Subject")
    qtbot.waitUntil(lambda: panel.isVisible() and beside.isVisible(), timeout=5000)
    first, second = panel.window(), beside.window()
    assert first is not second
    for window in (first, second):
        window.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)  # the fixture closes it once more
    press(qtbot, panel.start)
    run = run_of(panel)
    until(qtbot, lambda: run.course.step >= 1)

    def until_stopped(stop: StopRequest) -> Iterator[int]:
        while not stop:
            time.sleep(0.005)
        yield 1

    reading = Job("reading", until_stopped, beside.session).start()
    assert running_jobs(beside.session) == [reading]
    assert [job.name for job in running_jobs(panel.session)] == ["training"]

    # quitting from the window that trains nothing asks about the training, and is called off
    said: list[str] = []
    answer("Go on training", said, sentences)
    second.close(quit_app=True)
    assert said == ["Training is running. Stop and save, then close? It can be resumed from its run folder."]
    assert first.isVisible()
    assert second.isVisible()
    assert reading.running
    assert not run.stopping

    # closing it asks nothing, since nothing of it is waited for, and stops its own work alone
    steps = len(run.course.curves["l1"].steps)
    second.close()
    assert not second.isVisible()
    assert len(said) == 1
    assert not reading.running
    assert first.isVisible()
    until(qtbot, lambda: len(run.course.curves["l1"].steps) > steps + 2)
    assert run.running
    assert not run.stopping
    assert not any(isinstance(event, Stopped) for event in read_events(tmp_path / "run" / "events.jsonl"))

    # closing the one that trains asks, stops and saves; strokes that are not saved are spoken of
    mask = Volume(np.ones((4, 4, 4), dtype=bool), np.diag([2.0, 2.0, 2.0, 1.0]))
    panel.session.show(Subject("07", files={"MTR": Volume(mask.array.astype(np.float32), mask.affine)}))
    until(qtbot, lambda: "reading" not in [job.name for job in running_jobs()])
    panel.session.mask_work.put(mask)
    assert panel.session.mask_work.wait()
    answer("Stop and close", said, sentences)
    assert first.close()
    assert (
        said[1] == f"{said[0]} Strokes of the lesion mask that are not saved are kept, and offered at the next start."
    )
    assert isinstance(read_events(tmp_path / "run" / "events.jsonl")[-1], Stopped)
    assert len(list(autosave_folder().iterdir())) == 1
