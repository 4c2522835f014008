"""What is known of a study beside its numbers: cohort, grid, maps, epochs, seeds, time, commit."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import napari_myelin
from napari_myelin.core.data.bids import write_json
from napari_myelin.core.events import Epoch, read_events
from napari_myelin.core.inference.model import ModelCard, read_card
from napari_myelin.core.phantom.cohort import command as simulated_by
from napari_myelin.core.precision import in_precision
from napari_myelin.core.study.parts import Part, Plan
from napari_myelin.core.study.simulation import simulation
from napari_myelin.core.training.names import EVENTS, MODEL

ABOUT = "about.json"  # inside a part's folder, beside its rows
TERMS = {"l1": 1, "l2": 2}  # of the loss, which hold predicted against measured DVR: the power of its unit


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
    simulated = simulation(plan.cohort) if plan.cohort.phantom else None
    seeds = {"folds": plan.study.study.seed, "training": options.training.seed}
    training = {part.name: each for part in done if (each := read_about(plan.place(part)))}
    return {
        "phantom": plan.cohort.phantom,
        "cohort": plan.cohort.name or plan.cohort.root.name,
        "simulation": "" if simulated is None else simulated_by(simulated),
        "patients": groups.count("MS"),
        "controls": groups.count("HC"),
        "folds": len(plan.folds),
        "main": plan.study.main,
        "reference": plan.study.study.reference,
        "preset": options.preset,
        "maps": options.network.maps,
        "epochs": options.training.epochs,
        "seeds": seeds if simulated is None else {"phantom": simulated.seed, **seeds},
        "software": f"napari-myelin {napari_myelin.__version__}",
        "commit": ", ".join(dict.fromkeys(each["commit"] for each in training.values() if each["commit"])),
        "parts": {"done": len(done), "planned": len(plan.parts)},
        "training": training,
        **said,
    }


def write_about(plan: Plan, part: Part, source: str, seconds: float) -> None:
    """Write down how a part was trained; it stays where the run's folder is deleted.

    Parameters
    ----------
    plan, part
        Which.
    source
        `commit` when it began.
    seconds
        That a voxelwise baseline's training took; a network's run says so itself.

    Raises
    ------
    MyelinError
        If it cannot be written.
    """
    table: dict[str, Any] = {"inputs": part.inputs, "commit": source}
    if part.kind == "network":
        run = plan.place(part) / "run"
        epochs = [event for event in read_events(run / EVENTS) if isinstance(event, Epoch)]
        # from the run's beginning to the stage's end: what a run of these stages alone takes
        stages = {event.stage: round(event.seconds, 1) for event in epochs}
        card = read_card(run / MODEL)
        table |= {
            "device": in_precision(_device(card.training.device), card.training.precision),
            "grid": card.grid["shape"],
            "spacing": card.grid["spacing"],
            "epochs": card.training.epochs,
            "stages": stages,
            "curves": {stage: _curve([each for each in epochs if each.stage == stage], card) for stage in stages},
        }
        ends = list(stages.values())
        shared = part.methods[0].family == "cascade"
        table["seconds"] = {each.name: ends[each.refiners if shared else -1] for each in part.methods}
    else:
        table["seconds"] = {part.methods[0].name: round(seconds, 1)}
    write_json(plan.place(part) / ABOUT, table)


def _curve(epochs: Sequence[Epoch], card: ModelCard) -> dict[str, Any]:
    """Return a stage's reconstruction term, in training by epoch and held out by epoch and value, of z-scores."""
    name = next(each for each in TERMS if each in epochs[0].losses)
    # the held-out one is in DVR, or its square
    unit = float(card.normalisation["sd"]["dvr"]) ** TERMS[name]
    return {
        "term": name,
        "training": [round(each.losses[name], 4) for each in epochs],
        "held_out": [(each.epoch, round(each.validation["loss"] / unit, 4)) for each in epochs if each.validation],
    }


def _device(name: str) -> str:
    threads = torch.get_num_threads()
    return f"{name} ({threads} thread{'s' if threads > 1 else ''})" if name == "cpu" else name


def read_about(place: Path) -> dict[str, Any]:
    """Return what `write_about` wrote into a part's folder; empty where it is gone."""
    try:
        return dict(json.loads((place / ABOUT).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def commit() -> str:
    """Return the commit of the source that runs, with a + where it was changed; empty where it is no checkout."""
    root = Path(napari_myelin.__file__).parents[1]
    if not (root / ".git").exists():
        return ""
    try:
        words = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
        head = subprocess.run(words, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
        words = ["git", "-C", str(root), "diff", "--quiet", "HEAD", "--", "napari_myelin", "training_cli"]
        changed = subprocess.run(words, capture_output=True, timeout=10, check=False).returncode == 1
    except (OSError, subprocess.SubprocessError):
        return ""
    return f"{head}+" if changed else head
