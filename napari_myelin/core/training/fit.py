"""`fit`: a cohort in, a model file out; a generator of events that can be stopped, killed and resumed."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Event, Failed, StopRequest
from napari_myelin.core.heap import kept
from napari_myelin.core.options import Options
from napari_myelin.core.runtime import is_first_rank
from napari_myelin.core.training.failure import among_processes, describe, release
from napari_myelin.core.training.folder import STOP
from napari_myelin.core.training.trainer import Trainer


def fit(
    cohort: Cohort, options: Options, run: Path, *, stop: StopRequest | None = None, resume: bool = False
) -> Iterator[Event]:
    """Train a cascade on a cohort: the Sketcher, then each Refiner, each against its discriminator.

    The run folder receives ``options.toml``, ``events.jsonl``, ``state/``, ``preview.npz`` and
    ``model.safetensors`` (the weights chosen by ``select``) with ``last.safetensors`` beside it. A file named
    ``stop`` put there asks the run to stop.

    Parameters
    ----------
    cohort
        Subjects without a measured DVR or without one of the modalities are named and left out.
    options
        All that decides the run; on ``resume`` they must be those of the run, but for where it runs.
    run
        The run folder.
    stop
        Read between steps; the run then saves and ends with `Stopped`.
    resume
        Go on from the last state that was saved. On a CPU with the same number of threads the weights end up
        bit-identical to those of a run that was never interrupted.

    Yields
    ------
    Event
        On the first rank. Nothing is raised: what goes wrong is a last `Failed` event, on every rank that it ends.
    """
    speaks = is_first_rank()
    stop = StopRequest() if stop is None else stop
    stop.file = stop.file or run / STOP
    problem: Exception | None = None
    trainer = Trainer(cohort, options, run, stop)
    try:
        # who trades time for memory does not want it kept
        with nullcontext() if options.training.checkpointing else kept():
            for event in trainer.events(resume):
                if speaks:
                    trainer.record.write(event)
                    yield event
    except Exception as error:
        problem, trace = error, "".join(traceback.format_exception(error))
    if problem is not None:
        # everything is given back first: what then is free decides what would fit
        record, shape, smallest = trainer.__dict__.get("record"), trainer.grid_shape, trainer.options
        del trainer
        try:
            release(problem)
            failed = describe(problem, trace, smallest, shape)
            failed = among_processes(failed, problem, run, speaks)
        except Exception:  # of a device that broke down, nothing more can be asked
            failed = Failed(f"{type(problem).__name__}: {problem}", "--resume goes on from the last state", trace)
        try:
            if record is not None:
                record.write(failed)
        except MyelinError:
            pass  # the disk that is full cannot take this line either; the caller still hears it
        yield failed
