"""A Train panel on the phantom cohort, with a training that takes seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny import tiny_options

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.options import Options
from napari_myelin.core.options_file import options_from
from napari_myelin.widgets.session import session_of
from napari_myelin.widgets.train.panel import TrainPanel
from napari_myelin.widgets.train.running import Run

SECONDS = 90_000


def options_for(**training: object) -> Options:
    """Return options of a tiny training in one thread, so that a resumed one ends bit-identical."""
    return options_from({"runtime": {"threads": 1}}, tiny_options(**training))


def opened(viewer: Any, qtbot: Any, cohort: Cohort, folder: Path, options: Options) -> TrainPanel:
    """Open the panel, put options and folder in, and wait until the engine has said what that takes."""
    session_of(viewer).set_cohort(cohort)
    panel = TrainPanel(viewer)
    qtbot.addWidget(panel)
    panel.setup.put(options)
    panel.setup.folder.setText(str(folder))
    assert panel.setup.options() == options
    qtbot.waitUntil(lambda: panel.setup.outlook.forecast is not None, timeout=SECONDS)
    return panel


def run_of(panel: TrainPanel) -> Run:
    """Return the run that the panel shows."""
    assert panel.run is not None
    return panel.run


def until(qtbot: Any, true: Callable[[], bool]) -> None:
    """Wait until something is true, for as long as a tiny training may take on a busy machine."""
    qtbot.waitUntil(true, timeout=SECONDS)
