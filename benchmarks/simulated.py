"""Simulated cohorts that benchmarks share: written by all cores, once, and taken from there by the next script.

Another process writes them, so that nothing of it lies in the memory of the one that measures.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from table import run

from napari_myelin.core.data.bids import write_description
from napari_myelin.core.data.export import write_participants
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.phantom.cohort import GENERATOR, make_subject, write_subject
from napari_myelin.core.phantom.options import PhantomOptions


def add_folder(parser: argparse.ArgumentParser) -> None:
    """Let a script know ``--cohorts FOLDER``."""
    words = "take simulated cohorts from there, and leave new ones there; without it they are deleted"
    parser.add_argument("--cohorts", type=Path, metavar="FOLDER", help=words)


@contextmanager
def kept_in(folder: Path | None) -> Iterator[Path]:
    """Return the folder for cohorts: the one given, or one that is deleted in the end."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)


def simulated(folder: Path, patients: int, shape: Sequence[int], spacing: float) -> Path:
    """Return the folder of a cohort of so many patients on a grid (voxels, mm); it is written if it is not there."""
    out = folder / f"{patients}-patients-{'x'.join(map(str, shape))}-{spacing:g}mm"
    if not out.exists():
        done = run(sys.executable, __file__, out, *map(str, (patients, *shape, spacing)))
        assert done.code == 0, done.output
    return out


def _write(out: Path, options: PhantomOptions, index: int) -> Subject:
    return write_subject(make_subject(index, options), out)


def main() -> None:
    """Write one: OUT PATIENTS I J K MM."""
    out, patients, shape = Path(sys.argv[1]), int(sys.argv[2]), tuple(map(int, sys.argv[3:6]))
    options = PhantomOptions(patients=patients, controls=0, shape=shape, spacing=float(sys.argv[6]))
    partly = out.with_name(f"{out.name}.tmp")  # what a script that was killed has left is no cohort
    shutil.rmtree(partly, ignore_errors=True)
    workers = min(patients, os.cpu_count() or 1)
    write_description(
        partly, f"napari-myelin phantom, seed {options.seed}", GENERATOR, {"Phantom": options.model_dump()}
    )
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        subjects = list(pool.map(partial(_write, partly, options), range(patients)))
    write_participants(partly, subjects)
    partly.rename(out)


if __name__ == "__main__":
    main()
