"""What a raw BIDS dataset holds: each subject's scans by role, and where another program's masks lie."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from napari_myelin.core.data.bids import subject_id
from napari_myelin.core.errors import MyelinError, UsageError, nearest

WORK = ".prepare"  # folder of a prepared cohort that holds what steps hand to each other
SCANS = {
    "t1w": r"_T1w\.nii",
    "t2w": r"_T2w\.nii",
    "flair": r"_FLAIR\.nii",
    "mt_on": r"mt-?on\w*_?\w*\.nii",
    "mt_off": r"mt-?off\w*_?\w*\.nii",
    "dwi": r"_dwi\.nii",
    "pet": r"_pet\.nii",
}
# found beside the scans or anywhere under derivatives/
DRAWN = {
    "lesion": r"label-(L|lesion)_mask\.nii|desc-lesions?_mask\.nii",
    "brain": r"desc-brain_mask\.nii",
    "labels": r"_dseg\.nii|aseg\.nii",
    "region": r"(desc|label)-reference_mask\.nii",
}


@dataclass(frozen=True)
class RawSubject:
    """One visit of one person: role -> file, and what was read leniently, in sentences."""

    name: str
    session: str | None
    files: dict[str, Path]
    notes: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        """``sub-XX`` or ``sub-XX_ses-YY``."""
        return subject_id(self.name, self.session)


def read_raw(folder: Path, chosen: Sequence[str] = (), out: Path | None = None) -> list[RawSubject]:
    """Return the subjects of a raw BIDS dataset.

    Parameters
    ----------
    folder
        That holds ``sub-XX`` folders, and perhaps ``derivatives``.
    chosen
        Only these, as ``01``, ``sub-01`` or, for one of its visits, ``sub-01_ses-02``; by default all.
    out
        The cohort that is made of it: where it lies among the derivatives, its masks are no input.

    Raises
    ------
    MyelinError
        If there is no subject.
    UsageError
        If a chosen one is not there.
    """
    places = [path for path in sorted(folder.glob("sub-*")) if path.is_dir()]
    if not places:
        raise MyelinError(f"{folder} holds no folder sub-XX: give a raw BIDS dataset")
    visits = {subject_id(name, session): (name, session, inside) for name, session, inside in _visits(places)}
    known = {place.name for place in places} | set(visits)
    wanted = [key if key.startswith("sub-") else f"sub-{key}" for key in chosen]
    for key in wanted:
        if key not in known:
            raise UsageError(f'there is no subject "{key}" in {folder}{nearest(key, sorted(known))}')
    return [
        _subject(_made(folder, visit[0], out), *visit)
        for key, visit in visits.items()
        if not wanted or key in wanted or f"sub-{visit[0]}" in wanted
    ]


def refusal(folder: Path, out: Path) -> str:
    """Return why a cohort cannot be made of a raw dataset in a folder; empty where it can."""
    if out.resolve() == folder.resolve():
        return f"{out} is the raw dataset's own folder: give another one for the cohort"
    if (out / "dataset_description.json").exists() and not (out / WORK).is_dir():
        return f"{out} holds another dataset: give a new folder for the cohort"
    return ""


def _visits(places: Sequence[Path]) -> Iterator[tuple[str, str | None, Path]]:
    for place in places:
        name = place.name.removeprefix("sub-")
        sessions = [path for path in sorted(place.glob("ses-*")) if path.is_dir()]
        if not sessions:
            yield name, None, place
        for inside in sessions:
            yield name, inside.name.removeprefix("ses-"), inside


def _made(folder: Path, name: str, out: Path | None) -> list[Path]:
    """Return a person's folders among the derivatives, but for those that a preparation wrote."""
    found = [path for path in (folder / "derivatives").glob(f"**/sub-{name}") if path.is_dir()]
    own = None if out is None else out.resolve()
    return [
        path
        for path in found
        if own not in path.resolve().parents and not any((above / WORK).is_dir() for above in path.parents)
    ]


def _subject(made: list[Path], name: str, session: str | None, inside: Path) -> RawSubject:
    if session:
        made = [path / f"ses-{session}" for path in made if (path / f"ses-{session}").is_dir()]
    files: dict[str, Path] = {}
    notes: list[str] = []
    for role, pattern in (SCANS | DRAWN).items():
        places = [inside] if role in SCANS else [inside, *made]
        hits = sorted(
            path
            for place in places
            for path in place.rglob("*.nii*")
            if re.search(pattern, path.name, re.IGNORECASE if role.startswith("mt_") else 0)
            and path.name.endswith((".nii", ".nii.gz"))
        )
        if role in SCANS and role not in ("t1w", "t2w", "flair", "dwi", "pet"):
            hits = [path for path in hits if "_mask" not in path.name]
        if len(hits) > 1:
            notes.append(f"{len(hits)} files could be the {role}: {hits[0].name} is taken")
        if hits:
            files[role] = hits[0]
    return RawSubject(name, session, files, notes)
