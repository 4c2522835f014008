"""Taking in what the user gives: a folder, a table, single files; read in threads, placed where it belongs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from napari_myelin.core.data.bids import identify, sidecar
from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.data.subject import FREE, MASKS, Subject, in_words
from napari_myelin.core.data.volume import read_grid
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import StopRequest
from napari_myelin.widgets.jobs import Job
from napari_myelin.widgets.maps import own_grid
from napari_myelin.widgets.session import Session
from napari_myelin.widgets.styles import IMAGE

OWN_FOLDER = "single files"  # name of the cohort that is made of dropped files


def open_later(session: Session, path: Path, keys: Sequence[str] = (), show: str = "") -> Job:
    """Open a cohort in a thread, so that a slow disk does not hold the window; return the job.

    Parameters
    ----------
    session
        Takes the cohort; says what went wrong.
    path
        As for `open_cohort`.
    keys
        The only subjects to take; all without.
    show
        The subject to show then; none without, but a single one is shown in any case.
    """

    def work(stop: StopRequest) -> Iterator[Cohort]:
        cohort = open_cohort(path)
        yield cohort.select(keys) if keys else cohort

    def take(cohort: Cohort) -> None:
        only = cohort.subjects[0].key if len(cohort.subjects) == 1 else ""
        try:
            if session.set_cohort(cohort) and (show or only):
                session.choose(show or only)
        except MyelinError as error:
            session.tell(str(error), problem=True)

    return Job("opening", work, session).start(take, session.fail)


def open_file(session: Session, path: Path) -> None:
    """Show a single NIfTI file where it belongs.

    The subject on show gets it as one of its maps where the file's name says what it is, that is still missing, and
    nothing says that it is somebody else's; else it is shown beside the maps, for looking. Without a subject on show
    it begins a new one.

    Raises
    ------
    MyelinError
        If its header cannot be read.
    """
    grid = read_grid(path)  # a header costs nothing, and refuses what is no image
    key, role = identify(path.name)
    subject = session.subject
    if subject is None:
        return _begin(session, path, key, role)
    where = _why_beside(session, subject, path, key, role)
    if role is None or where:
        session.load_image(IMAGE + _stem(path), path)
        return session.tell(
            f"{path.name} is shown beside {subject.key}: {where or 'its name does not say what it is'}."
        )
    joined = subject.with_files(**{role: path})
    said = f"{path.name} joined {subject.key} as its {in_words(role)}."
    frame = session.frame
    session.replace_subject(joined)
    if frame is None or not own_grid(joined).same_grid(frame.reference):
        session.show(joined)  # the subject's own grid is another now
        session.tell(said)
    else:
        session.tell(said)
        if role not in FREE and not session.resample and not grid.same_grid(frame.reference):
            return session.tell(f"{path.name} lies on another grid: resample it below.", problem=True)
        session.load_maps([role], visible=True)
    return None


def _begin(session: Session, path: Path, key: str | None, role: str | None) -> None:
    name, _, visit = (key or "").removeprefix("sub-").partition("_ses-")
    if not name:
        # a file that is called by what it holds alone says less of whose it is than its folder
        named = path.parent.name if role else _stem(path)
        name = re.sub(r"[\W_]", "", named) or "file"
    subject = Subject(name, visit or None, files={role: path} if role else {})
    if not session.set_cohort(Cohort(path.parent, (subject,), phantom=_simulated(path), name=OWN_FOLDER)):
        return
    session.show(subject, read_grid(path))
    if role is None:
        session.load_image(IMAGE + _stem(path), path)
    what = in_words(role) if role else "an image to look at"
    session.tell(f"{path.name} ({what}) begins a new subject, {subject.key}: drop its other maps too.")


def _why_beside(session: Session, subject: Subject, path: Path, key: str | None, role: str | None) -> str:
    """Return why a file does not become one of the subject's maps; empty where it does."""
    if key is not None and key != subject.key:
        return f"by its name it is {key}'s"
    if role is not None and role in subject.files:
        return f"{subject.key} has its {in_words(role)} already"
    if role in MASKS and session.frame is not None and not read_grid(path).same_grid(session.frame.reference):
        return "a mask on another grid; Lesions > Import brings it to the subject's"
    return ""


def _simulated(path: Path) -> bool:
    try:
        said: dict[str, Any] = json.loads(sidecar(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(said.get("Simulated"))


def _stem(path: Path) -> str:
    return path.name.split(".nii")[0]
