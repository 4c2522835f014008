"""How long the paper's whole training would take: 400 + 400 epochs over 18 subjects, extrapolated from a part of it."""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path

from memory import write_table
from table import Row

from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.events import Failed, Finished, Started
from napari_myelin.core.options import Options
from napari_myelin.core.options_file import options_from
from napari_myelin.core.training.fit import fit

EPOCHS, SUBJECTS, HELD_OUT = 400, 18, 4
EVERY = 10  # epochs between validations: a part is a multiple of it, so that it has its share of them
TARGET = 30.0  # minutes


def schedule(folder: Path, options: Options, minutes: float) -> Row:
    """Measure both stages over 18 subjects, with 4 held out, for at least so many minutes, and extrapolate.

    Everything that a training does is part of it: validation every 10 epochs, states and models saved. What it does
    once, reading the cohort and starting, is measured apart and added once.

    Parameters
    ----------
    folder
        A cohort; its subjects are repeated under other names.
    options
        Of the training, but for its length.
    minutes
        To measure at least, after a first and shorter part from which the length is chosen.
    """
    some = open_cohort(folder)
    with tempfile.TemporaryDirectory() as temporary:
        table = Path(temporary) / "cohort.tsv"
        write_table(some, -(-(SUBJECTS + HELD_OUT) // len(some.subjects)), table)
        many = open_cohort(table)
        cohort = Cohort(many.root, many.subjects[: SUBJECTS + HELD_OUT])
        epochs, once, training = EVERY, 0.0, 0.0
        while training < 60 * minutes:
            if training:
                epochs = EVERY * math.ceil(1.1 * 60 * minutes / training * epochs / EVERY)
            once, training = _whole(cohort, _of_length(options, epochs), Path(temporary) / f"run{epochs}")
    estimate = (once + training * EPOCHS / epochs) / 60
    text = (
        f"{estimate:.1f} min, extrapolated from {epochs} + {epochs} epochs in {training / 60:.1f} min "
        f"and {once:.0f} s of preparation"
    )
    values = {"epochs": epochs, "seconds": training, "preparation": once}
    return Row(f"{EPOCHS} + {EPOCHS} epochs, {SUBJECTS} subjects", text, "30 min", estimate <= TARGET, values)


def _of_length(options: Options, epochs: int) -> Options:
    changes = {"data": {"validation": 0.2}, "training": {"epochs": epochs, "validate_every": EVERY}}
    return options_from(changes, options)


def _whole(cohort: Cohort, options: Options, run: Path) -> tuple[float, float]:
    """Train to the end; return the seconds before training began and those it took."""
    began = time.perf_counter()
    started = began
    for event in fit(cohort, options, run):
        if isinstance(event, Started):
            assert len(event.training) == SUBJECTS
            started = time.perf_counter()
        if isinstance(event, Failed):
            raise RuntimeError(f"{event.cause}: {event.advice}\n{event.trace}")
        if isinstance(event, Finished):
            return started - began, time.perf_counter() - started
    raise RuntimeError("the run ended too soon")
