"""The window asks before it closes upon running work, stops and saves, says so, and then closes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mouse import answer, press
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QMessageBox
from trainings import opened, options_for, run_of, until

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.events import Step, Stopped, read_events
from napari_myelin.widgets.closing import Stopping


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
