"""What is known of a study beside its numbers: cohort, grid, maps, epochs, seeds, time, commit."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import napari_myelin
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Epoch, read_events
from napari_myelin.core.inference.model import read_card
from napari_myelin.core.study.parts import Part, Plan
from napari_myelin.core.training.names import EVENTS, MODEL


def facts(plan: Plan, done: Sequence[Part], said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the tables, figures and pages say about where the numbers come from, for JSON.

    Parameters
    ----------
    plan, done
        The study, and its parts that are done.
    said
        What the caller adds: the machine, the command.
    """
    options, subjects = plan.study.options, plan.cohort.subjects
    groups = [subject.group for subject in subjects]
    return {
        "phantom": plan.cohort.phantom,
        "cohort": plan.cohort.name or plan.cohort.root.name,
        "patients": groups.count("MS"),
        "controls": groups.count("HC"),
        "folds": len(plan.folds),
        "reference": plan.study.study.reference,
        "preset": options.preset,
        "maps": options.network.maps,
        "epochs": options.training.epochs,
        "seeds": {"folds": plan.study.study.seed, "training": options.training.seed},
        "software": f"napari-myelin {napari_myelin.__version__}",
        "commit": commit(),
        "parts": {"done": len(done), "planned": len(plan.parts)},
        "training": {part.name: _training(plan, part) for part in done if part.kind == "network"},
        **said,
    }


def _training(plan: Plan, part: Part) -> dict[str, Any]:
    try:
        card = read_card(plan.place(part) / "run" / MODEL)
    except MyelinError:
        return {}  # the run folder may be deleted once its rows are there
    return {
        "seconds": card.training.seconds,
        "device": card.training.device,
        "grid": card.grid["shape"],
        "spacing": card.grid["spacing"],
        "epochs": card.training.epochs,
        "stages": _seconds(plan.place(part) / "run" / EVENTS),
    }


def _seconds(events: Path) -> dict[str, float]:
    """Return for each stage of a run the seconds from its beginning to the stage's end: a shorter cascade's time."""
    return {event.stage: round(event.seconds, 1) for event in read_events(events) if isinstance(event, Epoch)}


def commit() -> str:
    """Return the commit of the source that runs, empty where it is no checkout of ours."""
    root = Path(napari_myelin.__file__).parents[1]
    if not (root / ".git").exists():
        return ""
    try:
        words = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
