"""Jobs: what napari's generator workers lose arrives, stopping is read by the work, only the main thread is told."""

from __future__ import annotations

import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from heartbeat import Heartbeat
from qtpy.QtCore import QTimer

from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Failed, StopRequest
from napari_myelin.widgets.jobs import Job, failure, running_jobs


class Heard:
    """What a job says, in order, and from which thread."""

    def __init__(self, job: Job) -> None:
        self.events: list[Any] = []
        self.threads: set[threading.Thread] = set()
        job.yielded.connect(lambda event: self._note("yielded", event))
        job.failed.connect(lambda event: self._note("failed", event))
        job.finished.connect(lambda: self._note("finished", None))

    def _note(self, kind: str, event: Any) -> None:
        self.threads.add(threading.current_thread())
        self.events.append((kind, event))

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]


def run(qtbot: Any, work: Any) -> Heard:
    job = Job("test", work, None)
    heard = Heard(job)
    with qtbot.waitSignal(job.finished, timeout=10_000):
        job.start()
    assert not job.running
    assert job not in running_jobs()
    return heard


def test_a_runtime_error_inside_a_generator_is_told_and_the_job_ends(qtbot: Any) -> None:
    def work(stop: StopRequest) -> Iterator[int]:
        yield 1
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    heard = run(qtbot, work)
    assert heard.kinds == ["yielded", "failed", "finished"]
    failed = heard.events[1][1]
    assert (failed.cause, failed.advice) == ("out of memory", "choose another device, or close other programs")
    assert "Tried to allocate" in failed.trace


@pytest.mark.parametrize(
    ("error", "cause", "advice"),
    [
        (MyelinError("x.nii.gz does not exist: correct the path"), "x.nii.gz does not exist: correct the path", ""),
        (MemoryError(), "out of memory", "choose another device, or close other programs"),
        (OSError(28, "No space left on device", "/full/a.nii"), "/full/a.nii: No space left on device", "look whether"),
        (KeyError("dvr"), "KeyError: 'dvr'", "this is a bug of napari-myelin: please report it"),
    ],
)
def test_every_error_becomes_a_cause_and_what_to_do(error: Exception, cause: str, advice: str) -> None:
    failed = failure(error)
    assert failed.cause == cause
    assert failed.advice.startswith(advice)


def test_a_failure_that_the_engine_yields_is_failed_too_and_what_comes_after_still_arrives(qtbot: Any) -> None:
    def work(stop: StopRequest) -> Iterator[Any]:
        yield Failed("the disk is full", "free some space")
        yield "saved"

    assert run(qtbot, work).kinds == ["failed", "yielded", "finished"]


def test_stop_is_a_request_that_the_work_reads_so_that_its_ending_runs(qtbot: Any) -> None:
    saved: list[int] = []

    def work(stop: StopRequest) -> Iterator[int]:
        step = 0
        try:
            while not stop:
                step += 1
                yield step
                time.sleep(0.001)
        finally:
            saved.append(step)
        yield -1  # what follows the loop runs as well

    job = Job("test", work, None)
    heard = Heard(job)
    job.yielded.connect(lambda event: job.stop() if event == 5 else None)
    with qtbot.waitSignal(job.finished, timeout=10_000):
        job.start()
        assert job in running_jobs()
    assert job.asked_to_stop
    assert len(saved) == 1
    assert saved[0] >= 5
    assert heard.events[-2:] == [("yielded", -1), ("finished", None)]


def test_warnings_of_the_work_do_not_flood_the_viewer(qtbot: Any) -> None:
    def work(stop: StopRequest) -> Iterator[int]:
        for _ in range(100):
            warnings.warn("converges slowly", stacklevel=1)
        yield 1

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert run(qtbot, work).kinds == ["yielded", "finished"]
    assert caught == []


def test_slots_run_on_the_main_thread_and_the_work_does_not(qtbot: Any) -> None:
    at_work: list[threading.Thread] = []

    def work(stop: StopRequest) -> Iterator[int]:
        at_work.append(threading.current_thread())
        yield 1

    heard = run(qtbot, work)
    assert heard.threads == {threading.main_thread()}
    assert at_work[0] is not threading.main_thread()


def test_a_burst_of_events_does_not_hold_the_window(qtbot: Any) -> None:
    def work(stop: StopRequest) -> Iterator[int]:
        yield from range(2000)

    turn = 0  # of the window: how often the event loop came to something else than our events
    drawn: Counter[int] = Counter()

    def draw(event: int) -> None:
        drawn[turn] += 1
        until = time.thread_time() + 0.0002
        while time.thread_time() < until:
            pass

    def take_a_turn() -> None:
        nonlocal turn
        turn += 1

    window = QTimer()
    window.timeout.connect(take_a_turn)
    window.start(0)
    job = Job("test", work, None)
    heard = Heard(job)
    job.yielded.connect(draw)  # 0.4 s of work for the main thread, all told
    with Heartbeat() as heart, qtbot.waitSignal(job.finished, timeout=30_000):
        job.start()
    window.stop()
    heart.tell("2000 events")
    assert [event for kind, event in heard.events if kind == "yielded"] == list(range(2000))
    assert max(drawn.values()) * 0.0002 < 0.1  # s of our work between two turns of the window


def test_the_jobs_of_one_window_are_told_from_those_of_another(qtbot: Any) -> None:
    def work(stop: StopRequest) -> Iterator[int]:
        while not stop:
            time.sleep(0.001)
        yield 1

    here, there = object(), object()
    jobs = [Job("b", work, here).start(), Job("a", work, here).start(), Job("c", work, there).start()]
    assert [job.name for job in running_jobs(here)] == ["a", "b"]
    assert [job.name for job in running_jobs(there)] == ["c"]
    assert [job.name for job in running_jobs()] == ["a", "b", "c"]
    for job in jobs:
        job.stop()
    qtbot.waitUntil(lambda: not running_jobs(), timeout=10_000)
