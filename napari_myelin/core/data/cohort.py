"""A cohort: subjects from a BIDS derivatives folder or from one table, read leniently."""

from __future__ import annotations

import csv
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from napari_myelin.core.data.bids import find_files
from napari_myelin.core.data.samples import SAMPLE, sample_folder
from napari_myelin.core.data.subject import Group, Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError, UsageError, nearest

DEFAULT = ("MTR", "FA", "RD", "AD")
PERSON = ("subject", "session", "age", "sex", "group")
PHANTOM = "phantom"
_GROUPS = {
    "ms": "MS",
    "patient": "MS",
    "patients": "MS",
    "hc": "HC",
    "control": "HC",
    "controls": "HC",
    "healthy": "HC",
}


@dataclass(frozen=True)
class Cohort:
    """Subjects that belong together.

    Parameters
    ----------
    root
        The folder or table it came from.
    subjects
        In the order of their keys (folder) or rows (table).
    notes
        What was read leniently, in sentences.
    phantom
        Whether it is simulated.
    name
        Of the dataset, as its description says; empty where nothing does.
    """

    root: Path
    subjects: tuple[Subject, ...]
    notes: tuple[str, ...] = ()
    phantom: bool = False
    name: str = ""

    @property
    def modalities(self) -> tuple[str, ...]:
        """Every modality that a subject has: MTR, FA, RD, AD first, then the others by name."""
        names = {name for subject in self.subjects for name in subject.modalities}
        return (*(name for name in DEFAULT if name in names), *sorted(names - set(DEFAULT)))

    def select(self, keys: Sequence[str]) -> Cohort:
        """Return the cohort of these subjects only, in its own order.

        Parameters
        ----------
        keys
            ``01``, ``sub-01`` (every session of it) or ``sub-01_ses-02``.

        Raises
        ------
        UsageError
            If a key fits no subject.
        """
        wanted = dict.fromkeys(key if key.startswith("sub-") else f"sub-{key}" for key in keys)
        known = {subject.key for subject in self.subjects} | {f"sub-{subject.name}" for subject in self.subjects}
        for key in wanted:
            if key not in known:
                raise UsageError(f'there is no subject "{key}" in {self.root}{nearest(key, known)}')
        chosen = (s for s in self.subjects if s.key in wanted or f"sub-{s.name}" in wanted)
        return replace(self, subjects=tuple(chosen))


def open_cohort(path: Path) -> Cohort:
    """Open a BIDS derivatives folder, a folder that holds a ``cohort.tsv``, or such a table.

    ``sample_data`` is the cohort that comes with the package, wherever that is installed.

    Raises
    ------
    MyelinError
        If there is no such thing, it holds no subject, or one twice.
    """
    if str(path) == SAMPLE and not path.exists():
        path = sample_folder()
    if path.is_dir():
        cohort = read_table(path / "cohort.tsv") if (path / "cohort.tsv").exists() else read_folder(path)
    elif path.exists():
        cohort = read_table(path)
    else:
        raise MyelinError(f"there is no cohort at {path}: give a folder of BIDS derivatives or a cohort.tsv")
    if not cohort.subjects:
        raise MyelinError(
            f"{path} holds no subject: expected folders sub-XX with .nii.gz maps, or rows in a cohort.tsv"
        )
    twice = [key for key, count in Counter(subject.key for subject in cohort.subjects).items() if count > 1]
    if twice:
        raise MyelinError(f"{path} names {', '.join(twice)} more than once: give each visit a session of its own")
    return cohort


def read_folder(folder: Path) -> Cohort:
    """Read a BIDS derivatives folder; subjects without any image are left out."""
    people = _participants(folder / "participants.tsv")
    subjects, notes = [], []
    for inside in sorted(path for path in folder.glob("sub-*") if path.is_dir()):
        name = inside.name.removeprefix("sub-")
        sessions = sorted(path for path in inside.glob("ses-*") if path.is_dir())
        person = people.get(name, {})
        if people and name not in people:
            notes.append(f"sub-{name} is not in participants.tsv: its group is unknown")
        for place in sessions or [inside]:
            files = find_files(folder, place)
            session = place.name.removeprefix("ses-") if sessions else None
            if files:
                subjects.append(_subject(name, session, person, files))
    return Cohort(folder, tuple(subjects), tuple(notes), *_description(folder))


def read_table(table: Path) -> Cohort:
    """Read a cohort from a table: a row a subject, columns for the person, the rest one file each.

    Raises
    ------
    MyelinError
        If it cannot be read, has no column ``subject``, or a subject's name cannot be a folder's.
    """
    rows = _rows(table)
    if rows and "subject" not in rows[0]:
        columns = ", ".join(rows[0])
        raise MyelinError(f'{table} has no column "subject" (it has {columns}): add one; columns are parted by tabs')
    subjects = []
    for number, row in enumerate(rows):
        name = row["subject"].removeprefix("sub-")
        if not re.fullmatch(r"[^\s/\\]+", name):  # it becomes the name of a folder
            raise MyelinError(f'{table}, row {number + 1}: a subject cannot be called "{name}": use letters and digits')
        files: dict[str, Path | Volume] = {}
        for column, cell in row.items():
            if column not in PERSON and cell:
                # exactly as written: a modality may be called T1w, and the image to look at t1w
                files["dvr" if column == "DVR" else column] = table.parent / cell
        subjects.append(_subject(name, row.get("session"), row, files))
    return Cohort(table, tuple(subjects), (), *_description(table.parent))


def _rows(table: Path) -> list[dict[str, str]]:
    try:
        lines = [line for line in table.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise MyelinError(f"{table} cannot be read as a table: give a tab-separated cohort.tsv") from error
    comma = bool(lines) and "\t" not in lines[0] and "," in lines[0]
    reader = csv.DictReader(lines, delimiter="," if comma else "\t", restval="")
    return [
        {str(name).strip(): (cell or "").strip() for name, cell in row.items() if name is not None} for row in reader
    ]


def _participants(path: Path) -> dict[str, dict[str, str]]:
    if not path.exists():
        return {}
    rows = _rows(path)
    names = Counter(row.get("participant_id", "").removeprefix("sub-") for row in rows)
    if twice := [f"sub-{name}" for name, count in names.items() if count > 1]:
        raise MyelinError(f"{path} names {', '.join(twice)} more than once: keep one row a person")
    return dict(zip(names, rows, strict=True))


def _subject(name: str, session: str | None, person: dict[str, str], files: Mapping[str, Path | Volume]) -> Subject:
    def value(column: str) -> str | None:
        cell = person.get(column, "")
        return None if cell.lower() in ("", "n/a", "na", "nan") else cell

    group: Group | None = None
    if (said := value("group")) is not None:
        label = _GROUPS.get(said.lower(), said)
        group = label if label in get_args(Group) else None  # type: ignore[assignment]
    try:
        age = float(value("age") or math.nan)
    except ValueError:
        age = math.nan
    session = (session or "").removeprefix("ses-") or None
    return Subject(name, session, group, None if math.isnan(age) else age, value("sex"), files)


def _description(folder: Path) -> tuple[bool, str]:
    """Return whether a dataset is simulated, and its name."""
    try:
        table = json.loads((folder / "dataset_description.json").read_text(encoding="utf-8"))
        makers = [str(each.get("Name", "")).lower() for each in table.get("GeneratedBy", [])]
        return any(PHANTOM in maker for maker in makers), str(table.get("Name", ""))
    except (OSError, ValueError, AttributeError):
        return False, ""
