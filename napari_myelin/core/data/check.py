"""What a cohort holds and what is wrong with it, subject by subject, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.subject import FREE, MASKS, Subject, in_words
from napari_myelin.core.data.usable import empty_problem, lesion_problem, target_note, unit_problem
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """Something to know (``note``), to look at (``warning``) or to repair (``error``), with what to do.

    ``role`` is the map or mask that it is about, empty where it is about the subject.
    """

    level: Level
    text: str
    role: str = ""


@dataclass(frozen=True)
class MapSummary:
    """One image as it lies on disk: grid, and range and median of the values that are not 0.

    ``overlap`` is the share of the subject's own grid that it covers, ``on_grid`` whether it lies on that very grid.
    """

    role: str
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    orientation: str
    low: float
    median: float
    high: float
    voxels: int  # that are not 0
    overlap: float = 1.0
    on_grid: bool = True


@dataclass(frozen=True)
class SubjectReport:
    """What one subject has."""

    subject: str
    group: str | None
    maps: list[MapSummary] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def check_subject(subject: Subject, modalities: Sequence[str]) -> SubjectReport:
    """Return what a subject has and what is wrong with it; nothing is raised.

    Parameters
    ----------
    subject
        Every file of it is read.
    modalities
        That are expected.
    """
    report = SubjectReport(subject.key, subject.group)
    say = report.findings.append
    for sentence in subject.missing(modalities):
        say(Finding("error", f"{sentence}: add it, or name the maps you have with --modalities"))
    if not subject.has("dvr"):
        say(Finding("note", "no measured DVR: it can be predicted, not trained on"))
    if subject.group is None:
        say(Finding("warning", "no group: write MS or HC, or it counts as neither patient nor control"))
    elif subject.group == "MS" and not subject.has("lesion"):
        say(Finding("warning", "no lesion mask: lesions count as white matter"))
    if not subject.has("wm"):
        say(Finding("note", "no white-matter mask: no NAWM, and a control does not count for the threshold"))
    reference: Volume | None = None
    for role in sorted(subject.files, key=lambda role: (role != "dvr", role in MASKS, role in FREE)):
        if role == "to_template":
            continue
        try:
            volume = subject.raw(role)
        except MyelinError as error:
            say(Finding("error", str(error), role))
            continue
        reference = reference or (volume if role not in FREE else None)
        report.maps.append(summarise(role, volume, reference))
        if role not in FREE and reference is not None:
            report.findings.extend(replace(each, role=role) for each in _map_findings(subject, role, volume, reference))
    _lesion_finding(subject, report)
    return report


def header_problems(subject: Subject) -> dict[str, str]:
    """Return role -> what is wrong, as far as the files' headers tell: gone, no NIfTI, on another grid."""
    problems: dict[str, str] = {}
    grids: dict[str, Volume] = {}
    for role in subject.files:
        if role == "to_template":
            continue
        try:
            grids[role] = subject.grid(role)
        except MyelinError as error:
            problems[role] = str(error)
    own = next((grids[role] for role in ("dvr", *subject.modalities) if role in grids), None)
    for role, grid in grids.items():
        if own is not None and role not in FREE and not grid.same_grid(own):
            first = in_words("dvr") if "dvr" in grids else "first map"
            problems[role] = f"the {in_words(role)} lies on another grid than the {first}"
    return problems


def summarise(role: str, volume: Volume, reference: Volume | None = None) -> MapSummary:
    """Return a map's grid and range, and how it lies to the subject's own grid, where that is given."""
    values = volume.array[(volume.array != 0) & np.isfinite(volume.array)].astype(np.float32)
    low, median, high = np.percentile(values, [0, 50, 100]) if values.size else (0.0, 0.0, 0.0)
    ranges = float(low), float(median), float(high)
    same = reference is None or volume.same_grid(reference)
    overlap = 1.0 if same or reference is None else grid_overlap(volume, reference)
    grid = volume.shape, volume.spacing, volume.orientation
    return MapSummary(role, *grid, *ranges, int(values.size), overlap, same)


def _map_findings(subject: Subject, role: str, volume: Volume, reference: Volume) -> Iterator[Finding]:
    where = in_words(role)
    if role in MASKS:
        if not volume.array.any():
            yield Finding("note" if role == "lesion" else "warning", f"the {where} is empty")
    else:
        bad = volume.array.size - int(np.isfinite(volume.array).sum())
        if bad:
            yield Finding("error", f"the {where} holds {bad} voxels of NaN or infinity: set them to 0 or repair it")
        if problem := empty_problem(volume.array, where):
            yield Finding("error", problem)
        if problem := unit_problem(role, volume.array, where):
            # another target than DVR can be learnt too; a model's inputs cannot change their unit
            yield Finding("warning" if role == "dvr" else "error", problem)
    if not volume.same_grid(reference):
        try:
            subject.volume(role)
        except MyelinError as error:
            yield Finding("error", str(error))
        overlap = grid_overlap(volume, reference)
        if overlap < 0.5:
            yield Finding("error", f"the {where} covers {overlap:.0%} of the subject's grid: is it the same person?")


def grid_overlap(volume: Volume, reference: Volume) -> float:
    """Return the share of ``reference``'s box that lies inside ``volume``'s, in [0, 1], sampled at 8 points an axis."""
    axes = [np.linspace(0, edge - 1, 8) for edge in reference.shape]
    points = reference.world(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3))
    inverse = np.linalg.inv(volume.affine)
    indices = points @ inverse[:3, :3].T + inverse[:3, 3]
    inside = (indices >= -0.5) & (indices <= np.asarray(volume.shape) - 0.5)
    return float(inside.all(axis=1).mean())


def _lesion_finding(subject: Subject, report: SubjectReport) -> None:
    if any(finding.level == "error" for finding in report.findings) or not subject.has("lesion"):
        return
    lesion, brain = subject.volume("lesion").array, subject.brain().array
    problem = lesion_problem(lesion, brain, "lesion mask")
    outside = int((lesion & ~brain).sum())
    if problem:
        report.findings.append(Finding("error", problem, "lesion"))
    elif outside:
        text = f"{outside} voxels of the lesion mask lie outside the brain"
        report.findings.append(Finding("warning", text, "lesion"))


def check_cohort(cohort: Cohort, modalities: Sequence[str] | None = None) -> Iterator[SubjectReport]:
    """Check every subject of a cohort, one after the other.

    Parameters
    ----------
    cohort
        Its files are read.
    modalities
        That every subject is expected to have; by default those that more than half of the subjects have.
    """
    wanted = tuple(modalities) if modalities else usual_modalities(cohort)
    for subject in cohort.subjects:
        yield check_subject(subject, wanted)


def target_finding(reports: Sequence[SubjectReport]) -> Finding | None:
    """Return what is to be said of the measured DVR of all subjects together: another target, or mixed units."""
    rows = ((report.subject, row) for report in reports for row in report.maps)
    medians = {key: row.median for key, row in rows if row.role == "dvr" and row.voxels}
    try:
        note = target_note(medians) if medians else None
    except MyelinError as error:
        return Finding("error", str(error))
    return Finding("note", note) if note else None


def usual_modalities(cohort: Cohort) -> tuple[str, ...]:
    """Return the modalities that more than half of the subjects have."""
    half = len(cohort.subjects) / 2
    return tuple(name for name in cohort.modalities if sum(s.has(name) for s in cohort.subjects) > half)


def cohort_findings(cohort: Cohort) -> list[Finding]:
    """Return what is to be said of the cohort as a whole."""
    findings = [Finding("warning", note) for note in cohort.notes]
    measured = [subject for subject in cohort.subjects if subject.has("dvr")]
    controls = [subject for subject in measured if subject.group == "HC" and subject.has("wm")]
    if not measured:
        findings.append(Finding("note", "no subject has a measured DVR: the cohort can be predicted, not trained on"))
    elif not controls:
        text = "no control with a measured DVR and a white-matter mask: fit stores no group threshold"
        findings.append(Finding("note", text))
    if cohort.phantom:
        findings.append(Finding("note", "this cohort is simulated (phantom)"))
    return findings
