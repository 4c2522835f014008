"""What a run stands on: who trains, the grid, the cached arrays, the constants of the training subjects."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from lightning_fabric import Fabric

from napari_myelin.core.data.cache import CohortCache
from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.grid import Grid, fitting_grid
from napari_myelin.core.data.normalisation import Normalisation
from napari_myelin.core.data.subject import ROLES, Subject, in_words
from napari_myelin.core.data.usable import target_note
from napari_myelin.core.errors import MyelinError, UsageError
from napari_myelin.core.evaluation.baselines import LinearBaseline, LinearFit
from napari_myelin.core.evaluation.controls import group_threshold
from napari_myelin.core.evaluation.demyelination import Threshold
from napari_myelin.core.events import Progress
from napari_myelin.core.options import DataOptions, Options
from napari_myelin.core.training.folder import CACHE
from napari_myelin.core.training.shelf import Shelf, SubjectTensors
from napari_myelin.core.training.split import hold_out


@dataclass
class Ground:
    """Everything of a run that training does not change."""

    training: list[Subject]
    validation: list[Subject]
    grid: Grid
    cache: CohortCache
    phantom: bool = False
    cohort: str = ""
    notes: list[str] = field(default_factory=list)
    normalisation: Normalisation | None = None
    shelf: Shelf | None = None
    linear: LinearBaseline | None = None
    threshold: Threshold | None = None

    def take(self, key: str) -> SubjectTensors:
        """Return a training subject's tensors on the device.

        Raises
        ------
        MyelinError
            If the cohort is not prepared yet, or the subject's arrays are gone.
        """
        if self.shelf is None:
            raise MyelinError("the cohort is not prepared yet")
        return self.shelf.take(key)

    @property
    def controls(self) -> list[Subject]:
        """The training subjects who are healthy."""
        return [subject for subject in self.training if subject.group == "HC"]


def usable_subjects(cohort: Cohort, options: DataOptions) -> tuple[list[Subject], list[str]]:
    """Return the subjects that can train, and a sentence for each that cannot.

    Raises
    ------
    MyelinError
        If none is left.
    UsageError
        If a modality is named twice, or is no map of the subject's own grid.
    """
    names = options.modalities
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise UsageError(f"--modalities names {', '.join(twice)} more than once: name each map once")
    if roles := [name for name in names if name in ROLES]:
        raise UsageError(
            f'"{roles[0]}" is no modality but the {in_words(roles[0])}: give the map that is to be an input a name of '
            "its own in a cohort.tsv"
        )
    subjects, notes = [], []
    for subject in cohort.subjects:
        missing = subject.missing(options.modalities, target=True)
        if missing:
            notes.append(f"{subject.key} is left out: {' and '.join(missing)}")
        else:
            subjects.append(subject)
    if not subjects:
        few = "; ".join(notes[:3]) + (f"; and {len(notes) - 3} more" if len(notes) > 3 else "")
        raise MyelinError(
            f"no subject of {cohort.root} has {', '.join(options.modalities)} and a measured DVR ({few}): "
            "add the maps, or name the ones you have with --modalities"
        )
    return subjects, notes


def open_ground(cohort: Cohort, options: Options, run: Path) -> Generator[Progress, None, Ground]:
    """Decide who trains and on which grid; nothing large is read yet.

    Raises
    ------
    MyelinError
        If no subject can train.
    """
    subjects, notes = usable_subjects(cohort, options.data)
    training, validation = hold_out(subjects, options.data.validation, options.training.seed)
    if not validation:
        notes.append("no subject is held out: training goes on without validation, and the last weights are kept")
    grid = yield from network_grid(training, options)
    modalities = options.data.modalities

    def linear_sums(mri: np.ndarray, dvr: np.ndarray) -> list[list[float]]:
        fit = LinearFit(modalities)
        fit.add(mri, dvr, (mri != 0).any(axis=0))
        return fit.sums()

    cache = CohortCache(run / CACHE, subjects, modalities, grid, options.data.resample, linear_sums)
    return Ground(training, validation, grid, cache, phantom=cohort.phantom, cohort=cohort.name, notes=notes)


def network_grid(training: list[Subject], options: Options) -> Generator[Progress, None, Grid]:
    """Return the network's grid: the one asked for, or one that the training subjects' brains fit into."""
    data = options.data
    multiple = max(8, options.network.patch if options.loss.adversarial else 8)
    if data.shape is not None and data.spacing is not None:
        return Grid(data.shape, (data.spacing,) * 3)
    fitting = yield from fitting_grid(training, data.spacing, multiple, data.resample)
    if data.shape is not None:
        return Grid(data.shape, fitting.spacing)
    i, j, k = (max(16, edge) for edge in fitting.shape)  # three times halved, a norm still needs two voxels
    return Grid((i, j, k), fitting.spacing)


def prepare(ground: Ground, options: Options, fabric: Fabric) -> Iterator[Progress]:
    """Read the cohort once, take normalisation, threshold and linear baseline from those who train, and score it.

    Raises
    ------
    MyelinError
        If a map cannot be used, or the targets are not all in one unit.
    """
    if fabric.is_global_zero:
        yield from ground.cache.build()
    fabric.barrier()
    if not fabric.is_global_zero:
        for _ in ground.cache.build():  # finds everything there and only reads the constants
            pass
    everyone = [subject.key for subject in (*ground.training, *ground.validation)]
    note = target_note({key: ground.cache.normalisation([key]).brain_mean["dvr"] for key in everyone})
    if note:
        ground.notes.append(note)
    keys = [subject.key for subject in ground.training]
    ground.normalisation = ground.cache.normalisation(keys)
    harmonise = options.data.harmonise
    if fabric.is_global_zero:
        ground.linear = _linear(ground.cache, keys, options.data.modalities)
        ground.threshold = yield from _threshold(ground, options)
        yield from ground.cache.score(ground.normalisation, harmonise)
    fabric.barrier()
    ground.cache.scored_with(ground.normalisation, harmonise)
    ground.shelf = Shelf(ground.cache, fabric.device)


def _linear(cache: CohortCache, keys: list[str], modalities: tuple[str, ...]) -> LinearBaseline:
    fit = LinearFit(modalities)
    for key in keys:
        fit.add_sums(cache.summaries[key])
    return fit.solve()


def _threshold(ground: Ground, options: Options) -> Generator[Progress, None, Threshold | None]:
    threshold = yield from group_threshold(ground.controls, options.demyelination, options.data.resample)
    if threshold is None:
        ground.notes.append(
            "no control with a white-matter mask among those who train: no group threshold can be stored; "
            "give --threshold value --threshold-value X, here or at prediction"
        )
    return threshold
