"""Visits prepared one after the other in this process, or side by side in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_myelin.core.events import StopRequest
from napari_myelin.core.prepare.libraries import library
from napari_myelin.core.prepare.options import PrepareOptions
from napari_myelin.core.prepare.pace import Begins
from napari_myelin.core.prepare.raw import RawSubject
from napari_myelin.core.prepare.visit import Report
from napari_myelin.core.prepare.visit_steps import prepare_visit

LOOK = 0.2  # s between two looks at what the processes say
BROKEN = "all: its process ended: {}; fewer --jobs where memory is short"


@dataclass(frozen=True)
class Crew:
    """How many visits are prepared side by side, and how many ``threads`` they have together; 0 is all cores."""

    jobs: int = 1
    threads: int = 0

    @property
    def share(self) -> int:
        """Threads of each."""
        return max(1, (self.threads or os.cpu_count() or 1) // self.jobs)


def each_visit(
    raws: Sequence[RawSubject], out: Path, options: PrepareOptions, crew: Crew, stop: StopRequest
) -> Iterator[Begins | Report]:
    """Prepare visits, and say which step begins; a visit that is stopped between two steps has no report."""
    if crew.jobs > 1:
        yield from _side_by_side(raws, out, options, crew, stop)
        return
    if crew.threads:
        _few_threads(crew.threads)
    for raw in raws:
        report = yield from _followed(raw, out, options, lambda: bool(stop))
        if report is None:
            return
        yield report


def _followed(
    raw: RawSubject, out: Path, options: PrepareOptions, stopped: Callable[[], bool]
) -> Generator[Begins, None, Report | None]:
    if stopped():
        return None
    visit = prepare_visit(raw, out, options)
    worked, since = 0, time.monotonic()
    while True:
        try:
            step, so_far = next(visit)
        except StopIteration as end:
            report: Report = end.value
            return report
        if stopped():
            visit.close()
            return None
        now = time.monotonic()
        yield Begins(raw.key, step, now - since if so_far > worked else None)
        worked, since = so_far, now


def _side_by_side(
    raws: Sequence[RawSubject], out: Path, options: PrepareOptions, crew: Crew, stop: StopRequest
) -> Iterator[Begins | Report]:
    # spawned, not forked: ITK's threads do not survive a fork
    context = multiprocessing.get_context("spawn")
    waiting = list(raws)
    while waiting and not stop:  # once, unless a process dies, which ends all that run beside it
        told, asked = context.SimpleQueue(), context.Event()
        with ProcessPoolExecutor(crew.jobs, context, _enter, (crew.share, told, asked)) as pool:
            yield from _pooled(pool, waiting, (out, options), crew.jobs, (told, asked, stop))


def _pooled(
    pool: ProcessPoolExecutor, waiting: list[RawSubject], what: tuple[Path, PrepareOptions], jobs: int, lines: Any
) -> Iterator[Begins | Report]:
    told, asked, stop = lines
    running, whole = dict[Future[Report | None], RawSubject](), True
    while running or (waiting and whole and not stop):
        while waiting and whole and len(running) < jobs and not stop:
            try:
                running[pool.submit(_work, waiting[0], *what)] = waiting[0]
                waiting.pop(0)
            except BrokenProcessPool:
                whole = False
        if stop:
            asked.set()
        finished, _ = wait(running, timeout=LOOK, return_when=FIRST_COMPLETED)
        while not told.empty():
            yield told.get()
        for future in finished:
            raw, error = running.pop(future), future.exception()
            whole = whole and not isinstance(error, BrokenProcessPool)
            report = Report(raw.key, failures=[BROKEN.format(error)]) if error else future.result()
            if report is not None:
                yield report


# --- in a process of its own ------------------------------------------------------------------------

_lines: list[Any] = []  # where this process says what it does, and hears that it should stop


def _enter(threads: int, told: Any, asked: Any) -> None:
    _few_threads(threads)
    _lines[:] = told, asked


def _work(raw: RawSubject, out: Path, options: PrepareOptions) -> Report | None:
    told, asked = _lines
    visit = _followed(raw, out, options, asked.is_set)
    while True:
        try:
            told.put(next(visit))
        except StopIteration as end:
            report: Report | None = end.value
            return report


def _few_threads(threads: int) -> None:
    library("SimpleITK").ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
