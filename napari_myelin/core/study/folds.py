"""Folds of a cross-validation: persons dealt out by group, kept in a file, checked for leaks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_myelin.core.data.bids import write_json
from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.subject import Subject, persons_by_group
from napari_myelin.core.data.volume import content_digest
from napari_myelin.core.errors import MyelinError, UsageError
from napari_myelin.core.runtime import derive_seed

FOLDS = "folds.json"


@dataclass(frozen=True)
class Fold:
    """One fold: the keys of the subjects held out; everybody else of the study trains."""

    number: int
    held_out: tuple[str, ...]

    @property
    def name(self) -> str:
        """``fold1``, ``fold2``, ..."""
        return f"fold{self.number}"


def make_folds(subjects: Sequence[Subject], count: int, seed: int) -> list[Fold]:
    """Deal persons out to folds, group by group, so that folds differ by one person a group at most.

    All visits of a person go to the same fold.

    Parameters
    ----------
    subjects
        Every visit of everybody in the study.
    count
        Number of folds, 2 or more.
    seed
        Of the draw.

    Raises
    ------
    UsageError
        If there are fewer persons than folds.
    """
    groups = persons_by_group(subjects)
    persons = sum(len(names) for names in groups.values())
    if persons < count:
        raise UsageError(f"{persons} persons cannot be dealt out to {count} folds: choose --folds {persons} or fewer")
    random = np.random.default_rng(derive_seed(seed, "folds"))
    of: dict[str, int] = {}
    for group in sorted(groups):
        # the first group starts at the first fold, the next where that one ended: totals stay alike too
        for name in random.permutation(sorted(groups[group])).tolist():
            of[name] = len(of) % count
    return [
        Fold(number + 1, tuple(subject.key for subject in subjects if of[subject.name] == number))
        for number in range(count)
    ]


def open_folds(path: Path, cohort: Cohort, count: int, seed: int) -> list[Fold]:
    """Return the folds in ``path``, made and written there if there are none; either way they are checked.

    Raises
    ------
    MyelinError
        If the file is damaged, or is of other subjects; and as `check_leaks`.
    UsageError
        As `make_folds`.
    """
    digests = {subject.key: content_digest(subject.raw("dvr").array) for subject in cohort.subjects}
    if path.exists():
        folds = _read(path)
        known = {subject.key for subject in cohort.subjects}
        if others := known ^ {key for fold in folds for key in fold.held_out}:
            raise MyelinError(
                f"{path} holds the folds of other subjects ({', '.join(sorted(others)[:3])} on one side only): "
                "give the cohort that the study was started with, or choose another --out"
            )
    else:
        folds = make_folds(cohort.subjects, count, seed)
    check_leaks(folds, {subject.key: subject.name for subject in cohort.subjects}, digests)
    if not path.exists():
        table = {"seed": seed, "folds": [list(fold.held_out) for fold in folds]}
        write_json(path, table)
    return folds


def check_leaks(folds: Sequence[Fold], persons: Mapping[str, str], digests: Mapping[str, str]) -> None:
    """Raise where somebody would be predicted by a model that has seen them.

    Parameters
    ----------
    folds
        To be checked.
    persons
        Name of the person behind each subject's key: two visits share it.
    digests
        Digest of each subject's measured map: two names for one scan share it.

    Raises
    ------
    MyelinError
        If a subject, a person's second visit or a copy of a scan is in two folds.
    """
    seen: dict[str, tuple[str, Fold]] = {}
    for fold in folds:
        for key in fold.held_out:
            person, digest = f"person {persons[key]}", f"map {digests[key]}"
            for what in (person, digest):
                other, where = seen.setdefault(what, (key, fold))
                if where is fold:
                    continue
                if other == key:
                    reason = f"{key} is in two folds"
                elif what == person:
                    reason = f"{other} and {key} are visits of one person in two folds"
                else:
                    reason = f"{other} and {key} have the same measured map and are in two folds"
                raise MyelinError(
                    f"{reason} ({where.name} and {fold.name}): a model would be judged on somebody it has seen; "
                    f"keep one of them, or delete {FOLDS} to deal the folds out again"
                )


def _read(path: Path) -> list[Fold]:
    try:
        table: Any = json.loads(path.read_text(encoding="utf-8"))
        return [Fold(number + 1, tuple(map(str, keys))) for number, keys in enumerate(table["folds"])]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MyelinError(f"{path} cannot be read as folds: delete it to deal them out again") from error
