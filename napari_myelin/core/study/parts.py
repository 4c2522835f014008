"""A study cut into parts that run on their own: each a run folder, a command line, and a file that says it is done."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_myelin.core.data.bids import write_json
from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.export import write_table
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import write_atomically
from napari_myelin.core.errors import MyelinError, UsageError, nearest
from napari_myelin.core.options import Options
from napari_myelin.core.options_file import to_toml
from napari_myelin.core.study.folds import FOLDS, Fold, open_folds
from napari_myelin.core.study.methods import CEILING, NOISE, Kind, Method, known_methods, method_options
from napari_myelin.core.study.options import STUDY, Study, check_same_study, read_study
from napari_myelin.core.study.simulation import simulation
from napari_myelin.core.training.job import fit_command

JOBS, DONE, FAILED = "jobs.tsv", "results.tsv", "failed.txt"  # the last two inside a part's folder
PROGRAM = "napari-myelin-train"


@dataclass(frozen=True)
class Part:
    """One run of one fold on some inputs, and the methods that are judged from it.

    ``folds`` has one fold, but for the rows of a phantom (ceiling and noise), which train on nobody of the cohort.
    """

    name: str
    kind: Kind
    methods: tuple[Method, ...]
    inputs: str
    folds: tuple[Fold, ...]
    options: Options

    @property
    def words(self) -> set[str]:
        """What ``--subset`` may call it by."""
        return {self.name, self.inputs, *(fold.name for fold in self.folds), *(each.name for each in self.methods)}


@dataclass(frozen=True)
class Plan:
    """A study on a cohort, with its folds and parts, in its folder; ``notes`` say who is left out."""

    folder: Path
    cohort: Cohort
    study: Study
    folds: tuple[Fold, ...]
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()

    def place(self, part: Part) -> Path:
        """Return the folder of a part."""
        return self.folder / "parts" / part.name

    def done(self, part: Part) -> bool:
        """Return whether a part's results are there."""
        return (self.place(part) / DONE).exists()

    def training(self, fold: Fold) -> list[Subject]:
        """Return everybody who is not held out in a fold."""
        return [subject for subject in self.cohort.subjects if subject.key not in fold.held_out]

    def table(self, fold: Fold) -> Path:
        """Return the cohort table of a fold's training subjects."""
        return self.folder / "cohorts" / f"{fold.name}_training.tsv"

    def command(self, part: Part) -> str:
        """Return the command line that does a part, for anyone to run."""
        words = [*self.whole, "--subset", part.name, "--parts-only"]
        if part.kind == "network":
            options = self.folder.absolute() / "options" / f"{part.name}.toml"
            table, run = self.table(part.folds[0]).absolute(), self.place(part).absolute() / "run"
            words = fit_command(table, options, run)
        return shlex.join(words)

    @property
    def whole(self) -> list[str]:
        """The command line of the whole study, its paths absolute."""
        return [PROGRAM, "study", str(self.cohort.root.absolute()), "--out", str(self.folder.absolute())]

    def chosen(self, subset: Sequence[str]) -> list[Part]:
        """Return the parts that ``subset`` names: words for the same thing are alternatives, others narrow it.

        A part that is named itself is there in any case.

        Parameters
        ----------
        subset
            Methods, inputs, folds or whole parts by name; empty for all.

        Raises
        ------
        UsageError
            If a word names nothing in this study, or the words together name nothing.
        """
        known = {word for part in self.parts for word in part.words}
        for word in subset:
            if word not in known:
                raise UsageError(
                    f'"{word}" is no method, inputs, fold or part of this study{nearest(word, known)}: '
                    f"{JOBS} in {self.folder} lists its parts"
                )
        kinds = (
            {each.name for part in self.parts for each in part.methods},
            {part.inputs for part in self.parts},
            {fold.name for fold in self.folds},
        )
        wanted = [words for kind in kinds if (words := kind & set(subset))]
        named = set(subset)
        parts = [
            part
            for part in self.parts
            if part.name in named or ((wanted or not subset) and all(part.words & words for words in wanted))
        ]
        if not parts:
            raise UsageError(
                f"no part of this study is {' and '.join(subset)}: {JOBS} in {self.folder} lists its parts"
            )
        return parts


def open_plan(cohort: Cohort, study: Study, folder: Path, *, write: bool = True) -> Plan:
    """Make the folder of a study, or go on with the one that is there.

    Writes ``study.toml``, ``folds.json``, a cohort table a fold, an options file a part, and ``jobs.tsv``.

    Parameters
    ----------
    cohort, study, folder
        Whom, what, and where.
    write
        Off: everything is there already, written by the process that started this one.

    Raises
    ------
    MyelinError
        If the folder holds another study's folds, a subject is in two folds, or it cannot be written to.
    UsageError
        If the study in the folder was started with other options, or an option is out of bounds.
    """
    if (folder / STUDY).exists():
        check_same_study(read_study(folder / STUDY), study)
    elif folder.exists() and any(folder.iterdir()):
        raise MyelinError(f"{folder} is not empty and holds no study: choose another --out")
    usable, notes = _usable(cohort, study)
    folds = tuple(open_folds(folder / FOLDS, usable, study.study.folds, study.study.seed))
    bounds = tuple(_bounds(usable, study, folds))
    if usable.phantom and study.study.ceiling_patients and "ceiling" not in {part.kind for part in bounds}:
        notes = (
            *notes,
            "no practical ceiling: the cohort does not say how it was simulated, or lacks the noise-free DVR",
        )
    # the main tables first, where a study is stopped before its end
    every = list(_parts(study, folds))
    main = [part for part in every if part.inputs == study.main]
    parts = (*main, *bounds, *(part for part in every if part.inputs != study.main))
    plan = Plan(folder, usable, study, folds, parts, notes)
    if write:
        _write(plan)
    return plan


def _write(plan: Plan) -> None:
    folder, cohort = plan.folder, plan.cohort
    write_atomically(folder / STUDY, plan.study.to_toml().encode())
    # beside the tables of the folds, so that a run knows whether its cohort is simulated, and its name
    maker = f"napari-myelin study{' of a phantom' if cohort.phantom else ''}"
    write_json(
        folder / "cohorts" / "dataset_description.json",
        {"Name": cohort.name, "BIDSVersion": "1.10.0", "GeneratedBy": [{"Name": maker}]},
    )
    for fold in plan.folds:
        write_table(replace(cohort, subjects=tuple(plan.training(fold))), plan.table(fold))
    for part in plan.parts:
        if part.kind == "network":
            write_atomically(folder / "options" / f"{part.name}.toml", to_toml(part.options).encode())
    write_atomically(folder / JOBS, _jobs(plan).encode())


def _usable(cohort: Cohort, study: Study) -> tuple[Cohort, tuple[str, ...]]:
    # every method is judged on the same people: those who have the maps of all inputs
    every = "+".join((study.main, *study.study.inputs))
    names = list(dict.fromkeys(every.split("+")))
    missing = {subject.key: subject.missing(names, target=True) for subject in cohort.subjects}
    notes = tuple(f"{key} is left out: {' and '.join(what)}" for key, what in missing.items() if what)
    subjects = tuple(subject for subject in cohort.subjects if not missing[subject.key])
    if not subjects:
        raise MyelinError(f"nobody in {cohort.root} has {', '.join(names)} and a measured DVR ({notes[0]})")
    return replace(cohort, subjects=subjects), notes


def _parts(study: Study, folds: Sequence[Fold]) -> Iterator[Part]:
    every = [(study.main, study.study.methods)]
    every += [(inputs, study.study.inputs_methods) for inputs in study.study.inputs if inputs != study.main]
    for inputs, names in every:
        families: dict[str, list[Method]] = {}
        for name in names:
            method = known_methods()[name]
            # a method with options of its own is no stage of what others share
            family = name if name in study.changes else method.family
            families.setdefault(family, []).append(method)
        for family, methods in families.items():
            longest = max(methods, key=lambda each: each.refiners)
            options = method_options(longest, study.options, inputs, study.changes.get(longest.name))
            for fold in folds:
                name = f"{family}_{inputs}_{fold.name}"
                yield Part(name, longest.kind, tuple(methods), inputs, (fold,), options)


def _bounds(cohort: Cohort, study: Study, folds: Sequence[Fold]) -> Iterator[Part]:
    """Yield the rows that a phantom alone can have: what noise leaves, and what more data could give."""
    if cohort.phantom and all(subject.has("noisefree") for subject in cohort.subjects):
        yield Part(NOISE.name, "noise", (NOISE,), "none", tuple(folds), study.options)
        if study.study.ceiling_patients and simulation(cohort) is not None:
            yield Part(f"{CEILING.name}_{study.main}", "ceiling", (CEILING,), study.main, tuple(folds), study.options)


def _jobs(plan: Plan) -> str:
    lines = ["part\tmethods\tinputs\tfold\tcommand"]
    for part in plan.parts:
        methods = ",".join(each.name for each in part.methods)
        folds = ",".join(fold.name for fold in part.folds)
        lines.append("\t".join((part.name, methods, part.inputs, folds, plan.command(part))))
    return "\n".join(lines) + "\n"
