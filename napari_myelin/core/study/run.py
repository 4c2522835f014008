"""`run_study`: every part that is not done yet, here or in processes of their own, then one table of all of them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.data.volume import write_atomically
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.evaluation.results import Results, read_rows, write_results
from napari_myelin.core.events import Event, Progress, Saved, Skipped, Stopped, StopRequest
from napari_myelin.core.runtime import out_of_memory
from napari_myelin.core.study.facts import facts
from napari_myelin.core.study.options import STUDY, Study, read_study
from napari_myelin.core.study.parts import DONE, FAILED, Part, Plan, open_plan
from napari_myelin.core.study.work import do_part, stop_folder
from napari_myelin.core.training.names import STOP

RESULTS = "results.tsv"
STOPPED = 3  # exit code of a process that saved and stopped


def run_study(
    plan: Plan,
    *,
    jobs: int = 1,
    subset: Sequence[str] = (),
    stop: StopRequest | None = None,
    said: Mapping[str, Any] | None = None,
    table: bool = True,
) -> Iterator[Event]:
    """Do the parts of a study that are not done yet, then write the table of all that are.

    Parameters
    ----------
    plan
        From `open_plan`.
    jobs
        Parts at a time. With one, parts run in this process and their events are passed on; with more, each runs in
        a process of its own on its share of the cores.
    subset
        Which parts, as `Plan.chosen`.
    stop
        Read between steps: what runs is saved, and goes on the next time.
    said
        More facts for the table's JSON (the machine, the command).
    table
        Off where several of these run at once on one folder: whoever comes last writes the table.

    Yields
    ------
    Event
        `Progress` of the parts, `Skipped` with the name of each part that failed, `Saved` for the table; `Stopped`
        last where it was asked to stop.

    Raises
    ------
    UsageError
        If a word of ``subset`` names nothing.
    """
    stop = StopRequest() if stop is None else stop  # one that is not asked yet is false
    chosen = plan.chosen(subset)
    todo = [part for part in chosen if not plan.done(part)]
    count = len(chosen) - len(todo)
    yield Progress("study", count, len(chosen), f"{count} of {len(chosen)} parts are done already")
    runner = _here(plan, todo, stop) if jobs == 1 else _in_processes(plan, todo, jobs, stop)
    for event in runner:
        if isinstance(event, Progress) and event.task == "study":
            count += 1
            yield Progress("study", count, len(chosen), event.detail)
        else:
            yield event
    if table and (results := collect(plan, said or {})).rows:
        path, _ = write_results(plan.folder / RESULTS, results)
        yield Saved("table", str(path))
    if stop:
        yield Stopped("study", 0, count)


def collect(plan: Plan, said: Mapping[str, Any]) -> Results:
    """Return the rows of every part that is done, in the plan's order, with the facts of the study."""
    done = [part for part in plan.parts if plan.done(part)]
    rows = tuple(row for part in done for row in read_rows(plan.place(part) / DONE))
    return Results(rows, facts(plan, done, said))


def _here(plan: Plan, todo: Sequence[Part], stop: StopRequest) -> Iterator[Event]:
    for part in todo:
        yield Progress(f"part {part.name}", 1, 1)
        try:
            yield from do_part(plan, part, stop)
        except Exception as error:
            yield Skipped(part.name, _failed(plan, part, error))
            continue
        if plan.done(part):
            yield Progress("study", 0, 0, f"{part.name} is done")
        if stop:
            return


def _failed(plan: Plan, part: Part, error: Exception) -> str:
    """Return why a part failed as a sentence, and keep it in the part's folder."""
    reason = str(error) if isinstance(error, MyelinError) else f"{type(error).__name__}: {error} (a bug)"
    if out_of_memory(error):
        reason = "out of memory: fewer --jobs, fewer maps or a smaller grid"
    # a full disk that failed the part takes no note either; the caller still hears it
    with contextlib.suppress(MyelinError):
        write_atomically(plan.place(part) / FAILED, (reason + "\n").encode())
    return reason


# --- several at a time --------------------------------------------------------------------------------


def _in_processes(plan: Plan, todo: Sequence[Part], jobs: int, stop: StopRequest) -> Iterator[Event]:
    # spawned, not forked: torch and CUDA do not survive a fork
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // jobs)
    waiting, running = list(todo), dict[int, tuple[SpawnProcess, Part]]()
    while running or (waiting and not stop):
        while waiting and len(running) < jobs and not stop:
            part = waiting.pop(0)
            process = context.Process(
                target=_work, args=(str(plan.cohort.root), str(plan.folder), part.name, threads), daemon=True
            )
            process.start()
            running[process.sentinel] = (process, part)
        if stop:
            _ask_to_stop([stop_folder(plan, part) for _, part in running.values()])
        for sentinel in wait(list(running), timeout=0.5):
            process, part = running.pop(int(sentinel))  # type: ignore[arg-type]
            process.join()
            if process.exitcode == STOPPED:
                continue
            if process.exitcode == 0:
                yield Progress("study", 0, 0, f"{part.name} is done")
            else:
                yield Skipped(part.name, _why(plan, part, process.exitcode))


def _ask_to_stop(folders: Sequence[Path]) -> None:
    # again and again: a run that is only being opened takes away the file of an earlier stop
    for folder in folders:
        if folder.exists():
            (folder / STOP).touch()


def _why(plan: Plan, part: Part, code: int | None) -> str:
    try:
        return (plan.place(part) / FAILED).read_text(encoding="utf-8").strip()
    except OSError:
        return f"its process ended with code {code}, killed perhaps for want of memory: try fewer --jobs"


def _work(cohort: str, folder: str, name: str, threads: int) -> None:
    """Do one part in a process of its own; the exit code says how it went."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent asks for a stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    study = read_study(Path(folder) / STUDY)
    plan = reopen(open_cohort(Path(cohort)), study, Path(folder), threads)
    part = next(part for part in plan.parts if part.name == name)
    stop = StopRequest()
    try:
        for _ in do_part(plan, part, stop):
            pass
    except Exception as error:
        _failed(plan, part, error)
        os._exit(1)
    os._exit(STOPPED if stop else 0)


def reopen(cohort: Cohort, study: Study, folder: Path, threads: int) -> Plan:
    """Return the plan of a study, its parts on ``threads`` CPU threads unless its options say how many."""
    if study.options.runtime.threads == 0:
        runtime = study.options.runtime.model_copy(update={"threads": threads})
        study = Study(study.options.model_copy(update={"runtime": runtime}), study.study, study.changes)
    return open_plan(cohort, study, folder, write=False)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # a part whose study was killed would write into the folder of the next one
