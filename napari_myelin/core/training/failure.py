"""What went wrong, in a sentence, and what to do about it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from napari_myelin.core.data.volume import write_atomically
from napari_myelin.core.errors import MyelinError, UsageError
from napari_myelin.core.events import Failed
from napari_myelin.core.guard import FIRST_LOST, connection_lost, lost_process
from napari_myelin.core.options import Options
from napari_myelin.core.runtime import free_memory, out_of_memory, release_memory, resolve_device
from napari_myelin.core.training.memory import amount, training_bytes, what_fits
from napari_myelin.core.training.readings import DivergedError
from napari_myelin.core.training.stage import Position
from napari_myelin.core.training.step import StageNets

REASON = "failed-{}.txt"  # in the run folder: why a process other than the first ended


def refuse_broken_weights(nets: StageNets, stage: str, position: Position) -> None:
    """Raise where a weight is no longer finite: a gradient may be NaN though every loss term was finite.

    Raises
    ------
    DivergedError
        Saying which network and when, before such weights are saved.
    """
    for name, network in (("generator", nets.generator), ("discriminator", nets.discriminator)):
        if network is not None and not all(bool(torch.isfinite(p).all()) for p in network.parameters()):
            raise DivergedError(
                f"the weights of the {name} became NaN or infinite in stage {stage}, epoch {position.epoch + 1}, by "
                f"step {position.step}; the state saved before it is kept"
            )


def describe(error: Exception, trace: str, options: Options, shape: Sequence[int] | None) -> Failed:
    """Return the event for an exception that ended a run.

    Parameters
    ----------
    error
        What was raised.
    trace
        Its traceback in words.
    options
        Of the run.
    shape
        The network's grid, where it was known by then; out of memory is then answered with a size that fits.
    """
    if connection_lost(error) and _several(options):
        cause = lost_process() or "another process of this run cannot be reached"
        return Failed(cause, "the run cannot go on without it, --resume goes on from its last state", trace)
    if out_of_memory(error):
        return Failed("out of memory", _memory_advice(options, shape), trace)
    if isinstance(error, DivergedError):
        advice = "lower the learning rates, or use --precision 32-true; --resume goes on from there"
        return Failed(str(error), advice, trace)
    if isinstance(error, MyelinError):
        return Failed(str(error), "", trace, usage=isinstance(error, UsageError))
    if isinstance(error, torch.AcceleratorError):
        advice = "the GPU or its driver broke off; --resume goes on from the last state"
        return Failed(str(error).split("\n")[0], advice, trace)
    return Failed(f"{type(error).__name__}: {error}", "this is a bug of napari-myelin: please report it", trace)


def _several(options: Options) -> bool:
    return options.runtime.devices * options.runtime.num_nodes > 1 or int(os.environ.get("WORLD_SIZE", "1")) > 1


def _memory_advice(options: Options, shape: Sequence[int] | None) -> str:
    if shape is None:
        return "close other programs, or choose a larger --spacing"
    modalities = len(options.data.modalities)
    available = free_memory(resolve_device(options.runtime.device))
    need = training_bytes(options, shape, modalities)
    return (
        f"about {amount(need)} are needed, {amount(available)} are free: "
        f"{what_fits(options, shape, modalities, available)}"
    )


def release(error: BaseException | None = None) -> None:
    """Give back what a failed run still held, by the frames of the traceback of ``error`` too."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
    release_memory()


def among_processes(failed: Failed, error: BaseException, run: Path, first: bool) -> Failed:
    """Return a failure as this process is to say it, so that of several processes one says why the run ended.

    A process other than the first leaves its reason in the run folder, where the first, which then loses it, finds it.

    Parameters
    ----------
    failed, error
        What this process knows.
    run
        The run folder.
    first
        Whether this is the process that speaks.
    """
    lost = connection_lost(error)
    if first:
        reasons = sorted(run.glob(REASON.format("*"))) if lost else []
        text = reasons[0].read_text(encoding="utf-8") if reasons else ""
        for path in reasons:
            path.unlink(missing_ok=True)
        return replace(failed, cause=text) if text else failed
    if not lost:
        rank = os.environ.get("RANK", os.environ.get("SLURM_PROCID", os.environ.get("LOCAL_RANK", "0")))
        with contextlib.suppress(MyelinError):
            sentence = f"process {int(rank) + 1}: {failed.sentence}"
            write_atomically(run / REASON.format(rank), sentence.encode())
    orphan = lost and failed.cause == FIRST_LOST and os.environ.get("LOCAL_RANK") == "1"
    return replace(failed, echo=not orphan)
