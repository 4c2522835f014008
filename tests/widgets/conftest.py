"""Viewers for the app's tests: settings and home of their own, a subject on show, what is left out without napari.

The tests need a screen with OpenGL: ``make test`` starts one (Xvfb) where there is none.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from masking import write_unmasked

from napari_myelin.core.data.cohort import Cohort

pytest.register_assert_rewrite("predictions")  # its checks are the tests' own

NAPARI = find_spec("napari") is not None
# without napari there is no app to test: its modules could not even be imported
collect_ignore_glob = [] if NAPARI else ["test_*.py"]

if NAPARI:
    # read when napari is first imported: a test must neither use nor change the settings of whoever runs it
    os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp(prefix="napari-myelin-tests-")) / "settings.yaml")

SECONDS = 60_000  # ms that a job may take before a test gives up on it


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a home of its own, so that journals of masks do not meet."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))


def _stop_jobs() -> None:
    from qtpy.QtWidgets import QApplication

    from napari_myelin.widgets.jobs import running_jobs

    until = time.monotonic() + 60
    while jobs := running_jobs():  # what one says at its end may begin another
        assert time.monotonic() < until, f"the job {jobs[0].name} did not stop within a minute"
        for job in jobs:
            job.stop()
            job.wait(1)
        QApplication.processEvents()  # a job is over when its events were handed out, not before


@pytest.fixture(autouse=True)
def _no_job_is_left(qapp: Any) -> Iterator[None]:
    """Stop the jobs that a test left running, and wait for their threads."""
    yield
    _stop_jobs()


@pytest.fixture
def viewer(make_napari_viewer_proxy: Callable[..., Any]) -> Iterator[Any]:
    """A viewer as plugins get it: public attributes only, and nothing from another thread than the main one."""
    yield make_napari_viewer_proxy()
    _stop_jobs()  # while the viewer is there: what they still say has somewhere to go


@pytest.fixture
def show(viewer: Any, qtbot: Any, phantom_cohort: Cohort) -> Callable[..., Any]:
    """Show a subject of the phantom cohort (or of another one), wait for its layers, and return the session."""
    from napari_myelin.widgets.session import session_of

    def shown(key: str = "sub-01", cohort: Cohort | None = None) -> Any:
        session = session_of(viewer)
        session.set_cohort(cohort or phantom_cohort)
        with qtbot.waitSignal(session.subject_shown, timeout=SECONDS):
            session.choose(key)
        return session

    return shown


@pytest.fixture
def notified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What napari's notifications of errors say."""
    said: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_error", said.append)
    return said


@pytest.fixture
def unmasked_cohort(tmp_path: Path) -> Cohort:
    """Two subjects on disk on an oblique, flipped, anisotropic grid: DVR is 1 everywhere; no lesion mask."""
    return write_unmasked(tmp_path / "cohort")


@pytest.fixture
def lesions(viewer: Any, show: Callable[..., Any], unmasked_cohort: Cohort) -> Any:
    """The Lesions panel, docked, with sub-01 of the cohort without masks on show."""
    from napari_myelin.widgets.lesions.panel import LesionsPanel

    panel = LesionsPanel(viewer)
    viewer.window.add_dock_widget(panel)
    viewer.window.show()  # a canvas that was never shown does not know its size, nor where the mouse is
    show("sub-01", unmasked_cohort)
    return panel


@pytest.fixture
def model_file(trained_run: Path) -> Path:
    """The small trained model's file. Read only."""
    return trained_run / "model.safetensors"


@pytest.fixture
def predict(show: Callable[..., Any], viewer: Any, qtbot: Any, model_file: Path) -> Any:
    """The Predict panel with sub-01 of the phantom cohort on show and the small trained model chosen."""
    from predictions import opened

    show()
    return opened(viewer, qtbot, model_file)
