"""What a training would be, before it begins: who trains, on which grid, with how much memory."""

from __future__ import annotations

from dataclasses import dataclass

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.grid import Grid
from napari_myelin.core.options import Options
from napari_myelin.core.precision import resolve_precision
from napari_myelin.core.runtime import free_memory, resolve_device
from napari_myelin.core.training.ground import network_grid, usable_subjects
from napari_myelin.core.training.memory import parameters_of, resident_bytes, training_bytes, what_fits
from napari_myelin.core.training.split import hold_out
from napari_myelin.core.working import result_of


@dataclass(frozen=True)
class Forecast:
    """A training before it begins.

    Attributes
    ----------
    training, controls, validation
        Subjects that train, how many of them are controls, subjects held out.
    notes
        Who is left out and why, in sentences.
    grid
        The network's.
    steps
        Optimiser steps of an epoch.
    generator, discriminator
        Parameters of one stage's networks; no discriminator is 0.
    device
        torch's name of where it would run.
    precision
        In which it would compute there.
    need, free
        Bytes that training takes at its peak and that the device has; ``free`` is 0 where nobody can say.
    resident
        Of ``need``, the bytes of the training subjects, who stay on a GPU where they fit beside a step.
    advice
        What would fit; empty where it fits as it is.
    """

    training: int
    controls: int
    validation: int
    notes: tuple[str, ...]
    grid: Grid
    steps: int
    generator: int
    discriminator: int
    device: str
    precision: str
    need: int
    free: int
    resident: int
    advice: str


def forecast(cohort: Cohort, options: Options, grid: Grid | None = None) -> Forecast:
    """Return what `fit` would do, without writing anything.

    Parameters
    ----------
    cohort, options
        As for `fit`.
    grid
        The network's, where it is known; found from the training subjects' maps otherwise, which takes time.

    Raises
    ------
    MyelinError
        If no subject can train, or the device is not there.
    """
    device = resolve_device(options.runtime.device)
    subjects, notes = usable_subjects(cohort, options.data)
    training, validation = hold_out(subjects, options.data.validation, options.training.seed)
    grid = result_of(network_grid(training, options)) if grid is None else grid
    modalities = len(options.data.modalities)
    step, free = training_bytes(options, grid.shape, modalities), free_memory(device)
    resident = resident_bytes(options, grid.shape, modalities, len(training), free)
    advice = what_fits(options, grid.shape, modalities, free) if 0 < free < step else ""
    steps = -(-len(training) // options.training.batch)
    generator, discriminator = parameters_of(options, modalities)
    return Forecast(
        training=len(training),
        controls=sum(subject.group == "HC" for subject in training),
        validation=len(validation),
        notes=tuple(notes),
        grid=grid,
        steps=steps,
        generator=generator,
        discriminator=discriminator,
        device=str(device),
        precision=resolve_precision(options.runtime.precision, device),
        need=step + resident,
        free=free,
        resident=resident,
        advice=advice,
    )
