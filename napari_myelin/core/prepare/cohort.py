"""A raw dataset prepared, visit after visit or several side by side: the cohort that can be trained on."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_myelin.core.data.bids import write_description, write_json
from napari_myelin.core.data.export import write_participants
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import write_atomically
from napari_myelin.core.events import Event, Noted, Progress, Saved, Skipped, Stopped, StopRequest
from napari_myelin.core.prepare import visit_anatomy, visit_maps
from napari_myelin.core.prepare.libraries import library
from napari_myelin.core.prepare.options import PrepareOptions
from napari_myelin.core.prepare.quality import write_pages
from napari_myelin.core.prepare.raw import RawSubject, read_raw
from napari_myelin.core.prepare.visit import REPORT, WORK, Report, Visit, bring_masks

GENERATOR = "napari-myelin prepare"


def prepare_visit(raw: RawSubject, out: Path, options: PrepareOptions) -> Report:
    """Prepare one visit: what cannot be done is reported, the rest is done; steps that were done are not done again.

    Parameters
    ----------
    raw
        Its scans.
    out
        The cohort's folder.
    options
        Of the preparation.
    """
    visit = Visit(raw, out, options)
    if not visit.has("t1w"):
        visit.report.failures.append("all: there is no T1w, over which everything is brought together")
    elif visit_anatomy.structural(visit):
        if visit.has("lesion"):
            visit_anatomy.lesions(visit)
        warped = _wanted_template(visit) and visit_anatomy.template(visit)
        placed = visit_maps.pet_reference(visit) if visit.has("pet") else visit_anatomy.stand_in(visit)
        if not placed and visit.has("pet"):
            visit.note("the PET cannot be used: a grid of the T1w's own stands in for its")
            visit.raw.files.pop("pet")
            placed = visit_anatomy.stand_in(visit)
        if placed and visit_anatomy.tissue(visit) and bring_masks(visit):
            _maps(visit, warped)
    visit.report.worked = visit.store.done
    write_json(visit.store.folder / REPORT, asdict(visit.report))
    return visit.report


def _wanted_template(visit: Visit) -> bool:
    # without a region of its own, the DVR's reference comes from the template
    needs = visit.has("pet") and not (visit.has("region") or visit.has("labels"))
    return visit.options.anatomy.template or needs


def _maps(visit: Visit, warped: bool) -> None:
    if visit.has("pet"):
        if warped or visit.has("region") or visit.has("labels"):
            visit_maps.dvr(visit)
        else:
            visit.report.failures.append("dvr: no reference region: the template could not be registered")
    if visit.has("mt_on", "mt_off"):
        visit_maps.mtr(visit)
    elif visit.has("mt_on") or visit.has("mt_off"):
        visit.report.failures.append("mtr: one image of the MT pair is missing")
    if visit.has("dwi"):
        visit_maps.diffusion(visit)
    if visit.options.anatomy.ratio and visit.has("t2w"):
        visit_anatomy.ratio_map(visit)
    if warped and visit.options.anatomy.template:
        visit_anatomy.to_template(visit)
    visit_anatomy.for_looking(visit)


def prepare_cohort(
    folder: Path,
    out: Path,
    options: PrepareOptions,
    *,
    subjects: Sequence[str] = (),
    jobs: int = 1,
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
        Subjects side by side, each in a process of its own on its share of the cores.
    stop
        Read between subjects.

    Yields
    ------
    Event
        `Progress`, `Noted` for what is to be known of a subject, `Skipped` for each step that failed, `Saved` for the
        cohort's page; `Stopped` last where it was asked to stop.

    Raises
    ------
    MyelinError
        If there is no subject, the extra is not installed, or nothing can be written.
    """
    for module in ("SimpleITK", "dipy"):
        library(module)
    stop = StopRequest() if stop is None else stop
    raws = read_raw(folder, subjects)
    _describe(folder, out, raws, options)
    reports: list[Report] = []
    yield Progress("preparing", 0, len(raws))
    for report in _each(raws, out, options, jobs, stop):
        reports.append(report)
        yield from (Noted(report.key, note) for note in report.notes)
        for failure in report.failures:
            step, _, reason = failure.partition(": ")
            yield Skipped(f"{report.key}, {step}" if reason else report.key, reason or step)
        done = f"{report.key}, {len(report.worked)} steps worked on, {len(report.facts) - len(report.worked)} unchanged"
        yield Progress("preparing", len(reports), len(raws), done)
    yield Saved("page", str(write_pages(out)))
    if stop:
        yield Stopped("preparing", 0, len(reports))


def _each(
    raws: Sequence[RawSubject], out: Path, options: PrepareOptions, jobs: int, stop: StopRequest
) -> Iterator[Report]:
    if jobs == 1:
        for raw in raws:
            if stop:
                return
            yield prepare_visit(raw, out, options)
        return
    # spawned, not forked: ITK's threads do not survive a fork
    context, threads = multiprocessing.get_context("spawn"), max(1, (os.cpu_count() or 1) // jobs)
    with ProcessPoolExecutor(jobs, context, initializer=_few_threads, initargs=(threads,)) as pool:
        waiting, running = list(raws), dict[Future[Report], RawSubject]()
        while running or (waiting and not stop):
            while waiting and len(running) < jobs and not stop:
                raw = waiting.pop(0)
                running[pool.submit(prepare_visit, raw, out, options)] = raw
            finished, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in finished:
                raw = running.pop(future)
                error = future.exception()
                broken = f"all: its process ended: {error}; fewer --jobs where memory is short"
                yield Report(raw.key, failures=[broken]) if error else future.result()


def _few_threads(threads: int) -> None:
    library("SimpleITK").ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def _describe(folder: Path, out: Path, raws: Sequence[RawSubject], options: PrepareOptions) -> None:
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
        write_participants(out, [Subject(raw.name) for raw in raws])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
