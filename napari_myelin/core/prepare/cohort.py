"""A raw dataset prepared, visit after visit or several side by side: the cohort that can be trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from napari_myelin.core.data.bids import write_description
from napari_myelin.core.data.export import write_participants
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import write_atomically
from napari_myelin.core.errors import MyelinError, UsageError
from napari_myelin.core.events import Event, Noted, Progress, Saved, Skipped, Stopped, StopRequest
from napari_myelin.core.prepare.libraries import missing
from napari_myelin.core.prepare.options import PrepareOptions
from napari_myelin.core.prepare.pace import Begins, Pace, planned
from napari_myelin.core.prepare.quality import write_pages
from napari_myelin.core.prepare.raw import WORK, read_raw, refusal
from napari_myelin.core.prepare.visit import Report
from napari_myelin.core.prepare.workers import Crew, each_visit

GENERATOR = "napari-myelin prepare"


def prepare_cohort(
    folder: Path,
    out: Path,
    options: PrepareOptions,
    *,
    subjects: Sequence[str] = (),
    jobs: int = 1,
    threads: int = 0,
    stop: StopRequest | None = None,
) -> Iterator[Event]:
    """Prepare the subjects of a raw BIDS dataset; a failure of one does not stop the others.

    Parameters
    ----------
    folder
        Raw BIDS.
    out
        The cohort's folder; what is there and unchanged is not made again.
    options
        Of the preparation.
    subjects
        Only these; by default all.
    jobs
        Subjects side by side, each in a process of its own on its share of the threads.
    threads
        That registration and bias correction use, all jobs together; 0 is as many as there are cores.
    stop
        Read between steps.

    Yields
    ------
    Event
        `Progress` as steps begin and visits end, `Noted` for what is to be known of a subject, `Skipped` for each
        step that failed, `Saved` for the cohort's page; `Stopped` last where it was asked to stop.

    Raises
    ------
    MyelinError
        If there is no subject, the extra is not installed, or nothing can be written.
    UsageError
        If a chosen subject is not there, or the cohort's folder is the raw dataset's.
    """
    if lacking := missing():
        raise MyelinError(lacking)
    if reason := refusal(folder, out):
        raise UsageError(reason)
    stop = StopRequest() if stop is None else stop
    raws = read_raw(folder, subjects, out)
    _describe(folder, out, options)
    reports: list[Report] = []
    pace = Pace({raw.key: planned(raw, options) for raw in raws}, jobs)
    yield Progress("preparing", 0, len(raws))
    for heard in each_visit(raws, out, options, Crew(jobs, threads), stop):
        if isinstance(heard, Begins):
            pace.begins(heard)
            detail = f"{heard.key}: {heard.step}"
        else:
            pace.through(heard.key)
            reports.append(heard)
            yield from _told(heard)
            detail = (
                f"{heard.key}, {len(heard.worked)} steps worked on, {len(heard.facts) - len(heard.worked)} unchanged"
            )
        yield Progress("preparing", len(reports), len(raws), detail, pace.seconds_left)
    if reports or not stop:
        yield Saved("page", str(write_pages(out)))
    if stop:
        yield Stopped("preparing", 0, len(reports))


def _told(report: Report) -> Iterator[Event]:
    yield from (Noted(report.key, note) for note in report.notes)
    for failure in report.failures:
        step, _, reason = failure.partition(": ")
        yield Skipped(f"{report.key}, {step}" if reason else report.key, reason or step)


def _describe(folder: Path, out: Path, options: PrepareOptions) -> None:
    simulated = "phantom" in _text(folder / "dataset_description.json")
    name = f"{folder.resolve().name}, prepared"
    extra: dict[str, Any] = {"Preparation": options.model_dump()}
    write_description(out, name, f"{GENERATOR} (phantom)" if simulated else GENERATOR, extra)
    ignored = _text(out / ".bidsignore")
    write_atomically(out / ".bidsignore", f"{ignored}{WORK}/\n".encode())
    table = folder / "participants.tsv"
    if table.exists():  # every person of the dataset: a later run may prepare the others
        write_atomically(out / "participants.tsv", table.read_bytes())
        if (folder / "participants.json").exists():
            write_atomically(out / "participants.json", (folder / "participants.json").read_bytes())
    else:
        names = sorted(path.name.removeprefix("sub-") for path in folder.glob("sub-*") if path.is_dir())
        write_participants(out, [Subject(name) for name in names])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
