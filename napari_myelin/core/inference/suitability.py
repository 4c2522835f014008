"""Whether a subject looks like those that a model was trained on: what to know before it is predicted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from napari_myelin.core.data.check import Finding
from napari_myelin.core.data.normalisation import Normalisation
from napari_myelin.core.data.subject import Subject, in_words
from napari_myelin.core.data.usable import empty_problem, lesion_problem, unit_problem
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.inference.model import ModelCard
from napari_myelin.core.inference.predict import place

RANGE = 1.0  # SDs over voxels: within one cohort the medians of subjects are alike to some tenths of it
SMALL, LARGE = 0.6, 1.5  # share of the training subjects' brain volume; heads of adults differ by a third at most
STRAY = 0.05  # share of the voxels outside the brain mask that may hold something


def suitability(card: ModelCard, subject: Subject, resample: bool = False) -> list[Finding]:
    """Return what speaks against predicting a subject with a model: errors forbid it, warnings are to be looked at.

    Looked at are missing, damaged and empty maps, their unit, their range against the training subjects', brain
    extraction, how much of the brain the network's grid covers, and whether demyelination can be told.

    Parameters
    ----------
    card
        The model's.
    subject
        Its maps are read.
    resample
        As for `Subject.volume`.
    """
    return [*likeness(card, subject, resample), *_threshold_findings(card, subject)]


def likeness(card: ModelCard, subject: Subject, resample: bool = False) -> list[Finding]:
    """Return `suitability` without what concerns demyelination: whether the subject's maps are like the training's."""
    findings = [Finding("error", f"{sentence}: the model needs it") for sentence in subject.missing(card.modalities)]
    maps: dict[str, Volume] = {}
    for name in card.modalities:
        if not subject.has(name):
            continue
        try:
            maps[name] = subject.volume(name, resample)
        except MyelinError as error:
            findings.append(Finding("error", str(error)))
            continue
        findings.extend(_map_findings(card, name, maps[name]))
    if not any(finding.level == "error" for finding in findings):
        findings.extend(_brain_findings(card, subject, maps, resample))
    return findings


def window_problem(card: ModelCard, window: int | None) -> str:
    """Return why prediction in windows is not what a model has learnt, empty where it is, or where it is all the same.

    A network that normalises does so over what it sees: a window of a brain has other means than the whole
    (docs/performance.md, "Windows").

    Parameters
    ----------
    card
        The model's.
    window
        Edge in voxels; 0 the whole volume, None as the model was trained to.
    """
    network, learnt = card.options.network, card.options.training.window
    normalises = network.generator == "unet" and network.norm == "instance"
    largest = max(card.grid["shape"])
    seen, before = (largest if edge == 0 else min(edge, largest) for edge in (window or 0, learnt))
    if window is None or seen == before or not normalises:
        return ""
    on, here = (f"windows of {edge}" if edge < largest else "whole volumes" for edge in (before, seen))
    return f"the model learnt on {on} and predicts in {here}: it normalises over what it sees, values may be far off"


def memory_advice(cards: Sequence[ModelCard], device: str) -> str:
    """Return what to do where a prediction does not fit.

    Parameters
    ----------
    cards
        Of the models.
    device
        How to choose another one, in the words of whoever asks.
    """
    window = 64  # half the edge of a head at 1.22 mm
    if any(window_problem(card, window) for card in cards):
        return f"{device}, or close other programs; a model trained with crop and window {window} takes less"
    if any(max(card.grid["shape"]) > window for card in cards):
        return f"predict in windows (window {window}), {device}, or close other programs"
    return f"{device}, or close other programs"


def _map_findings(card: ModelCard, name: str, volume: Volume) -> Iterator[Finding]:
    where = in_words(name)
    if problem := empty_problem(volume.array, where) or unit_problem(name, volume.array, where):
        yield Finding("error", problem)
        return
    normalisation = Normalisation.from_dict(card.normalisation)
    mean, sd = normalisation.brain_mean[name], normalisation.brain_sd[name]
    values = volume.array[volume.array != 0]
    median = float(np.median(values))
    if abs(median - mean) > RANGE * sd:
        yield Finding(
            "warning",
            f"the {where} has a median of {median:.3g}, the training subjects a mean of {mean:.3g} (SD {sd:.2g}): "
            "is it another protocol or unit?",
        )
    share = normalisation.mean[name] / mean if mean else 0.0
    expected = share * float(np.prod(card.grid["shape"])) * float(np.prod(card.grid["spacing"]))
    filled = values.size * volume.voxel_volume
    if expected and not SMALL < filled / expected < LARGE:
        question = "is the brain extracted?" if filled > expected else "is part of the brain missing?"
        yield Finding(
            "warning",
            f"the {where} is not 0 over {filled / 1e6:.2f} l, the training subjects' over {expected / 1e6:.2f} l: "
            f"{question}",
        )


def _brain_findings(card: ModelCard, subject: Subject, maps: dict[str, Volume], resample: bool) -> Iterator[Finding]:
    try:
        brain = subject.brain(resample)
        lesion = subject.volume("lesion", resample) if subject.has("lesion") else None
        placement = place(card, subject, resample)
    except MyelinError as error:
        yield Finding("error", str(error))
        return
    outside = ~brain.array
    stray = [name for name, each in maps.items() if outside.any() and (each.array[outside] != 0).mean() > STRAY]
    if stray:
        yield Finding("warning", f"{' and '.join(stray)} not 0 outside the brain mask: set the background to 0")
    if lesion is not None and (problem := lesion_problem(lesion.array, brain.array, "lesion mask")):
        yield Finding("warning", problem)
    if placement.covered < 0.999:
        yield Finding(
            "warning",
            f"the model's grid covers {placement.covered:.0%} of the brain's box: the rest is not predicted (0)",
        )


def _threshold_findings(card: ModelCard, subject: Subject) -> Iterator[Finding]:
    if card.threshold is None:
        yield Finding("warning", "the model has no demyelination threshold: type one")
    elif card.threshold["kind"] == "template" and not subject.has("to_template"):
        value = float(card.threshold["value"])
        yield Finding(
            "warning",
            f"no transform to the template, which the model's voxelwise threshold needs: type one ({value:.3f})",
        )
