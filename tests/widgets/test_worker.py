"""Workers: one says how far its job is, stops it, and tells a failure to whoever listens, else as a notification."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Failed, Progress, StopRequest
from napari_myelin.widgets.jobs import Job, Work
from napari_myelin.widgets.worker import Worker

SECONDS = 10_000  # ms


class Counter(Worker):
    """A worker that notes what ended well."""

    def __init__(self) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self.well: list[str] = []

    def start(self, work: Work) -> None:
        self._begin("counting", work)

    def _ended(self, job: Job) -> None:
        self.well.append(f"{job.name}, {'asked to stop' if job.asked_to_stop else 'by itself'}")


def through(qtbot: Any, worker: Counter, work: Work) -> None:
    worker.start(work)
    assert worker.running
    assert worker.progress is None
    qtbot.waitUntil(lambda: not worker.running, timeout=SECONDS)
    assert worker.job is None


def counting(stop: StopRequest) -> Iterator[Progress]:
    for done in range(1, 4):
        yield Progress("counting", done, 3)


def failing(stop: StopRequest) -> Iterator[Progress]:
    yield Progress("counting", 1, 3)
    raise MyelinError("the disk is full: free some space")


def test_it_says_when_it_began_got_on_and_ended(qtbot: Any) -> None:
    worker = Counter()
    stood: list[tuple[bool, int | None]] = []
    worker.changed.connect(lambda: stood.append((worker.running, worker.progress and worker.progress.done)))
    through(qtbot, worker, counting)
    assert stood == [(True, None), (True, 1), (True, 2), (True, 3), (False, 3)]
    assert worker.well == ["counting, by itself"]
    through(qtbot, worker, counting)
    assert stood[5:7] == [(True, None), (True, 1)]


def test_a_cancelled_one_is_cancelling_until_its_work_has_stopped(qtbot: Any) -> None:
    def endless(stop: StopRequest) -> Iterator[Progress]:
        yield Progress("counting", 1, 3)
        while not stop:
            time.sleep(0.001)

    worker = Counter()
    worker.cancel()  # nothing runs: nothing happens
    assert not worker.cancelling
    worker.start(endless)
    qtbot.waitUntil(lambda: worker.progress is not None, timeout=SECONDS)
    with qtbot.waitSignal(worker.changed, timeout=SECONDS):
        worker.cancel()
    assert worker.cancelling
    assert worker.running
    qtbot.waitUntil(lambda: not worker.running, timeout=SECONDS)
    assert not worker.cancelling
    assert worker.well == ["counting, asked to stop"]


def test_a_failure_goes_to_who_listens_else_it_is_notified(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    notified: list[str] = []
    monkeypatch.setattr("napari_myelin.widgets.worker.notify", lambda failed: notified.append(failed.sentence))
    worker = Counter()
    heard: list[str] = []

    def hear(failed: Failed) -> None:
        heard.append(failed.sentence)

    worker.failed.connect(hear)
    through(qtbot, worker, failing)
    worker.failed.disconnect(hear)  # the panel is closed
    through(qtbot, worker, failing)
    assert heard == notified == ["the disk is full: free some space"]
    assert worker.well == []
    through(qtbot, worker, counting)  # it is ready for what comes next
    assert worker.well == ["counting, by itself"]
