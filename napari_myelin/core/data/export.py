"""A cohort written as BIDS derivatives or as one table, strictly."""

from __future__ import annotations

import os.path
from collections.abc import Iterable
from pathlib import Path

from napari_myelin.core.data.bids import bids_path, sidecar, write_description, write_json
from napari_myelin.core.data.cohort import PERSON, Cohort
from napari_myelin.core.data.subject import FREE, ROLES, Subject
from napari_myelin.core.data.volume import Volume, write_atomically, write_volume
from napari_myelin.core.errors import MyelinError

EMPTY = 0.25  # share of voxels that are exactly 0 above which an image counts as skull-stripped
SPATIAL_REFERENCE = "the subject's own PET grid, or the grid that stands in for it where there is no PET"


def write_table(cohort: Cohort, table: Path) -> None:
    """Write a cohort whose maps are files as a ``cohort.tsv``, paths relative to it.

    Raises
    ------
    MyelinError
        If a map is only in memory, or the table cannot be written.
    """
    columns = [*cohort.modalities, *(role for role in ROLES if any(s.has(role) for s in cohort.subjects))]
    lines = ["\t".join((*PERSON, *columns))]
    for subject in cohort.subjects:
        cells = []
        for column in columns:
            file = subject.files.get(column)
            if isinstance(file, Volume):
                raise MyelinError(f"the {column} of {subject.key} is only in memory: save it first")
            cells.append(
                "" if file is None else Path(os.path.relpath(file.resolve(), table.parent.resolve())).as_posix()
            )
        age = "" if subject.age is None else f"{subject.age:g}"
        person = (subject.name, subject.session or "", age, subject.sex or "", subject.group or "")
        lines.append("\t".join((*person, *cells)))
    write_atomically(table, ("\n".join(lines) + "\n").encode())


def write_participants(folder: Path, subjects: Iterable[Subject]) -> None:
    """Write ``participants.tsv`` and its JSON: a row a person, ``n/a`` where nobody said."""
    people = {subject.name: subject for subject in subjects}
    lines = ["participant_id\tage\tsex\tgroup"]
    for name, subject in people.items():
        age = "n/a" if subject.age is None else f"{subject.age:g}"
        lines.append(f"sub-{name}\t{age}\t{subject.sex or 'n/a'}\t{subject.group or 'n/a'}")
    write_atomically(folder / "participants.tsv", ("\n".join(lines) + "\n").encode())
    columns = {
        "age": {"Description": "age at the scan", "Units": "year"},
        "sex": {"Description": "sex", "Levels": {"F": "female", "M": "male"}},
        "group": {"Description": "group", "Levels": {"MS": "multiple sclerosis", "HC": "healthy control"}},
    }
    write_json(folder / "participants.json", columns)


def write_folder(cohort: Cohort, folder: Path, *, generator: str = "napari-myelin") -> None:
    """Write a cohort as BIDS derivatives: every map and mask under its BIDS name, with sidecars.

    Raises
    ------
    MyelinError
        If a map cannot be read, or the folder cannot be written to.
    """
    write_description(folder, cohort.root.stem, generator)
    write_participants(folder, cohort.subjects)
    for subject in cohort.subjects:
        for role in subject.files:
            path = bids_path(folder, subject.name, subject.session, role)
            source = subject.files[role]
            if role == "to_template" and isinstance(source, Path):
                write_atomically(path, source.read_bytes())
                continue
            volume = subject.raw(role)
            write_volume(path, volume, intent=role)
            sources = [] if isinstance(source, Volume) else [source.name]
            table: dict[str, object] = {"SpatialReference": SPATIAL_REFERENCE, "Sources": sources}
            if role in FREE:  # BIDS asks it of every image of a derivative that is no map
                table["SkullStripped"] = bool((volume.array == 0).mean() > EMPTY)
            write_json(sidecar(path), table)
