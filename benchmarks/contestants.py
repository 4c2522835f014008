"""Who takes part in ``compare.py``: ``fit`` as its events tell, and loops by hand through the same subjects."""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import torch
from rivals import Held, Loop, monai_build, our_build

from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.events import Event, Failed, Saved, Started, Step
from napari_myelin.core.options import Options
from napari_myelin.core.options_file import options_from, preset
from napari_myelin.core.runtime import launch
from napari_myelin.core.training.fit import fit
from napari_myelin.core.training.ground import open_ground, prepare
from napari_myelin.core.training.stage import Position, epoch_order
from napari_myelin.core.working import result_of

FIT, PLAIN, MONAI = "fit", "plain", ("UNet", "DynUNet")
HEAD = 160 * 1.22  # mm that the longest edge spans, whatever the number of voxels


class Contestant(Protocol):
    """Who trains: opens a stage, and takes an epoch of steps of which it returns the mean reconstruction term."""

    def open(self, stage: int) -> None: ...  # noqa: D102

    def settle(self) -> None: ...  # noqa: D102

    def turn(self) -> float: ...  # noqa: D102


class Fit:
    """Our ``fit``, as whoever follows its events sees it."""

    def __init__(self, cohort: Cohort, options: Options, folder: Path) -> None:
        self.events: Iterator[Event] = fit(cohort, options, folder / "run")
        self.began = False

    def _next(self) -> Event:
        event = next(self.events)
        if isinstance(event, Failed):
            raise RuntimeError(f"{event.cause}: {event.advice}\n{event.trace}")
        return event

    def open(self, stage: int) -> None:
        """Nothing to do: it goes on by itself."""

    def settle(self) -> None:
        """Go on until only the next step is left to do: to the start, or to the state saved after an epoch."""
        while True:
            event = self._next()
            if isinstance(event, Saved) and event.what == "state" if self.began else isinstance(event, Started):
                self.steps = event.steps if isinstance(event, Started) else self.steps
                self.began = True
                return

    def turn(self) -> float:
        """Take the steps of an epoch."""
        terms = []
        while len(terms) < self.steps:
            event = self._next()
            if isinstance(event, Step):
                terms.append(event.losses["l1"])
        return statistics.mean(terms)


class Rival:
    """A loop by hand, through the subjects in the order of ``fit``."""

    def __init__(self, loop: Loop, options: Options) -> None:
        self.loop, self.options = loop, options

    def open(self, stage: int) -> None:
        """Begin a stage."""
        self.loop.open(stage)
        self.position = Position(stage)

    def settle(self) -> None:
        """Nothing is left to do after an epoch."""

    def turn(self) -> float:
        """Take the steps of an epoch."""
        batches = epoch_order(list(self.loop.subjects), self.position, self.options)
        self.position.epoch += 1
        terms = [self.loop.step(key) for (key,) in batches]  # read once, at the end
        return float(torch.stack(terms).mean())


def add_size(parser: argparse.ArgumentParser) -> None:
    """Let a script know size, device and precision of a training."""
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("32-true", "bf16-mixed"), default="32-true", help="of fit and MONAI")
    parser.add_argument("--compile", action="store_true", help="let fit compile its networks")
    parser.add_argument("--maps", type=int, default=32)
    parser.add_argument("--shape", type=int, nargs=3, default=(64, 64, 64))


def device_of(given: argparse.Namespace) -> str:
    """Return the device in words."""
    return torch.cuda.get_device_name() if given.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def options_of(given: argparse.Namespace) -> Options:
    """Return the paper's options with the size, device and length asked for."""
    return options_from(
        {
            "data": {"shape": tuple(given.shape), "spacing": spacing(given), "validation": 0.0},
            "network": {"maps": given.maps, "discriminator_maps": given.maps, "patch": math.gcd(32, *given.shape)},
            "training": {"epochs": given.turns + 1},
            "runtime": {"device": given.device, "precision": given.precision, "compile": given.compile},
        },
        preset("paper"),
    )


def spacing(given: argparse.Namespace) -> float:
    """Return the voxel size in mm at which a head fills the grid."""
    return round(HEAD / max(given.shape), 2)


def enter(name: str, given: argparse.Namespace, folder: Path) -> Contestant:
    """Return a contestant by name, its data read."""
    cohort, options = open_cohort(given.cohort), options_of(given)
    if name == FIT:
        return Fit(cohort, options, folder)
    fabric = launch(options.runtime)
    ground = result_of(open_ground(cohort, options, folder / name))
    for _ in prepare(ground, options, fabric):
        pass
    subjects = {}
    for subject in ground.training:
        tensors = ground.take(subject.key)
        # as torch lays tensors out by itself
        subjects[subject.key] = Held(tensors.mri.contiguous(), tensors.dvr, tensors.regions)
    ground.cache.clear()
    half = name != PLAIN and given.precision == "bf16-mixed"
    build = our_build(options) if name == PLAIN else monai_build(options, name)
    return Rival(Loop(build, options, subjects, fabric.device, half=half), options)
