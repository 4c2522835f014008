"""How long the paper's whole training would take: 400 + 400 epochs over 18 subjects, extrapolated from a part of it.

    python benchmarks/schedule.py [--device cuda --precision bf16-mixed] [--maps 32] [--shape 128 160 128] [--minutes 3]

Two simulated subjects under 22 names, of whom 4 are held out. The subjects are prepared once: a first part is short
and says how many epochs the part that counts has.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from pathlib import Path

from contestants import add_size, device_of, options_of, spacing
from memory import write_table
from simulated import add_folder, kept_in, simulated
from table import Row, arguments, machine, report

from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.events import Failed, Finished, Started
from napari_myelin.core.options import Options
from napari_myelin.core.options_file import options_from, to_toml
from napari_myelin.core.training.fit import fit
from napari_myelin.core.training.names import CACHE, OPTIONS

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
        epochs, prepared = EVERY, Path(temporary) / CACHE
        once, training = _whole(cohort, _of_length(options, epochs), Path(temporary) / f"run{epochs}", prepared)
        while training < 60 * minutes:
            epochs = EVERY * math.ceil(1.1 * 60 * minutes / training * epochs / EVERY)
            _, training = _whole(cohort, _of_length(options, epochs), Path(temporary) / f"run{epochs}", prepared)
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


def _whole(cohort: Cohort, options: Options, run: Path, prepared: Path) -> tuple[float, float]:
    """Train to the end; return the seconds before training began and those it took.

    ``prepared`` is a folder: prepared subjects are taken from there, or left there.
    """
    began = time.perf_counter()
    if prepared.exists():
        # a run that was stopped before its first state: it goes on with the subjects that it finds
        _link(prepared, run / CACHE)
        (run / OPTIONS).write_text(to_toml(options), encoding="utf-8")
    started = began
    for event in fit(cohort, options, run, resume=prepared.exists()):
        if isinstance(event, Started):
            assert len(event.training) == SUBJECTS
            if not prepared.exists():
                _link(run / CACHE, prepared)  # a run deletes its own in the end
            started = time.perf_counter()
        if isinstance(event, Failed):
            raise RuntimeError(f"{event.cause}: {event.advice}\n{event.trace}")
        if isinstance(event, Finished):
            return started - began, time.perf_counter() - started
    raise RuntimeError("the run ended too soon")


def _link(folder: Path, other: Path) -> None:
    """Let the files of a folder be in another one as well."""
    other.mkdir(parents=True)
    for path in folder.iterdir():
        os.link(path, other / path.name)


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    add_size(parser)
    add_folder(parser)
    parser.add_argument("--minutes", type=float, default=3.0, help="to measure at least")
    given = parser.parse_args()
    given.turns = 0  # the length is found here
    where = machine()
    where["device"] = device_of(given)
    with kept_in(given.cohorts) as folder:
        some = simulated(folder, 2, given.shape, spacing(given))
        rows = [schedule(some, options_of(given), given.minutes)]
    shape = " x ".join(map(str, given.shape))
    report(f"The whole schedule: {given.maps} maps, {shape} voxels, {given.precision}", rows, given.json, where)


if __name__ == "__main__":
    main()
