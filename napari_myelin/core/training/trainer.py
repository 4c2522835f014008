"""The course of a run: prepare, train each stage epoch by epoch, save as it goes, finish."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Epoch, Event, Finished, Preview, Saved, Started, Step, Stopped, StopRequest
from napari_myelin.core.inference.model import Model, save_model
from napari_myelin.core.networks.build import build_cascade
from napari_myelin.core.options import Options
from napari_myelin.core.runtime import any_rank, derive_seed, is_first_rank, launch, to_device
from napari_myelin.core.training.failure import finite, refuse_broken_weights
from napari_myelin.core.training.folder import LAST, MODEL, PREVIEW, STATE, is_finished, open_run
from napari_myelin.core.training.ground import Ground, open_ground, prepare
from napari_myelin.core.training.pace import averaged
from napari_myelin.core.training.product import make_model
from napari_myelin.core.training.record import Record
from napari_myelin.core.training.stage import (
    Best,
    Position,
    check_batch,
    epoch_order,
    load_stage_state,
    make_sample,
    open_stage,
    stage_names,
    stage_state,
)
from napari_myelin.core.training.state import save_state
from napari_myelin.core.training.step import StageNets, train_step
from napari_myelin.core.training.validate import validate


class Trainer:
    """The state of one run while it trains; `fit` is its face."""

    record: Record
    fabric: Fabric
    ground: Ground

    def __init__(self, cohort: Cohort, options: Options, run: Path, stop: StopRequest) -> None:
        self.cohort, self.options, self.run, self.stop = cohort, options, run, stop
        self.grid_shape: tuple[int, int, int] | None = None
        self.position = Position()
        self.best: Best | None = None
        self.names = stage_names(options.network.refiners)

    def events(self, resume: bool) -> Iterator[Event]:
        """Prepare, train every stage, finish."""
        began = time.monotonic()
        state = self._open_run(resume)
        if state is not None and state["position"]["stage"] == len(self.names) and is_finished(self.run):
            yield Finished(str(self.run / MODEL), state["position"]["seconds"])
            return
        self.fabric = launch(self.options.runtime)
        check_batch(self.options.training.batch, self.fabric.world_size)
        self.ground = open_ground(self.cohort, self.options, self.run)
        self.grid_shape = self.ground.grid.shape
        if (yield from self._prepare(state)):
            return
        self.keys = [subject.key for subject in self.ground.training]
        self.steps = len(epoch_order(self.keys, self.position, self.options))
        modalities = len(self.options.data.modalities)
        seed = derive_seed(self.options.training.seed, "weights")
        self.cascade = build_cascade(self.options.network, modalities, seed)
        self.cascade = to_device(self.cascade, self.fabric.device)
        if state is not None:
            self._restore(state)
        yield self._started(resumed=state is not None)
        self._began = began - self.position.seconds
        while self.position.stage < len(self.names):
            nets = open_stage(self.position, self.cascade, self.options, self.fabric, self.steps)
            if state is not None and "generator_optimiser" in state:
                load_stage_state(nets, state)
            state = None
            stopped = yield from self._train_stage(nets)
            if stopped:
                return
        yield from self._finish()

    def _open_run(self, resume: bool) -> dict[str, Any] | None:
        state = open_run(self.run, self.options, resume)
        self.record = Record(self.run, is_first_rank())
        self.record.cut(state["events_bytes"] if state is not None else 0)
        return state

    def _prepare(self, state: dict[str, Any] | None) -> Generator[Event, None, bool]:
        """Read the cohort; the generator's value is whether it was asked to stop meanwhile."""
        at = Position() if state is None else Position(**state["position"])
        for event in prepare(self.ground, self.options, self.fabric):
            yield event
            if self.stop and self.fabric.world_size == 1:  # several ranks agree on it at the first step
                yield Stopped(self.names[min(at.stage, len(self.names) - 1)], at.epoch + 1, at.step)
                return True
        return False

    def _restore(self, state: dict[str, Any]) -> None:
        keys = [subject.key for subject in (*self.ground.training, *self.ground.validation)]
        if state["subjects"] != keys:
            raise MyelinError(
                f"the cohort {self.cohort.root} is not the one this run trained on "
                f"({len(keys)} usable subjects, the run had {len(state['subjects'])}): resume with the same cohort"
            )
        self.cascade.load_state_dict(state["cascade"])
        self.position = Position(**state["position"])
        if state["best"] is not None:
            self.best = Best(**state["best"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])

    def _started(self, resumed: bool) -> Started:
        return Started(
            stages=self.names,
            epochs=self.options.training.epochs,
            steps=self.steps,
            training=self.keys,
            validation=[subject.key for subject in self.ground.validation],
            device=str(self.fabric.device),
            resumed=resumed,
            notes=self.ground.notes,
        )

    def _train_stage(self, nets: StageNets) -> Generator[Event, None, bool]:
        """Train the epochs of one stage; the generator's value is whether it was asked to stop."""
        epochs = self.options.training.epochs
        while self.position.epoch < epochs:
            if (yield from self._train_epoch(nets)):
                return True
            with averaged(nets.generator, nets.average):
                yield from self._end_epoch(nets)
            self.position.epoch += 1
            self.position.step, self.position.sums = 0, {}
            if self.position.epoch < epochs:
                yield self._save(nets)
        yield from self._end_stage(nets)
        return False

    def _train_epoch(self, nets: StageNets) -> Generator[Event, None, bool]:
        nets.generator.train()
        position = self.position
        batches = epoch_order(self.keys, position, self.options)
        rank, world = self.fabric.global_rank, self.fabric.world_size
        while position.step < len(batches):
            if any_rank(bool(self.stop), self.fabric):
                refuse_broken_weights(nets, self.names[position.stage], position)
                yield self._save(nets)
                with averaged(nets.generator, nets.average):
                    self._write_model(LAST)
                yield Stopped(self.names[position.stage], position.epoch + 1, position.step)
                return True
            before = time.monotonic()
            mine = batches[position.step][rank::world]
            samples = [make_sample(self.ground, self.cascade, key, position, self.options) for key in mine]
            losses = finite(train_step(nets, samples, self.fabric), self.names[position.stage], position)
            position.step += 1
            position.steps_done += 1
            for name, value in losses.items():
                position.sums[name] = position.sums.get(name, 0.0) + value
            seconds = time.monotonic() - before
            yield Step(self.names[position.stage], position.epoch + 1, position.step, losses, seconds)
        refuse_broken_weights(nets, self.names[position.stage], position)
        return False

    def _end_epoch(self, nets: StageNets) -> Iterator[Event]:
        position, training = self.position, self.options.training
        epoch, stage = position.epoch + 1, self.names[position.stage]
        validation: dict[str, float] = {}
        if self.ground.validation and (epoch % training.validate_every == 0 or epoch == training.epochs):
            model = self._model()
            held = self.ground.validation
            validation = validate(model, held, self.fabric, nets, self.run / PREVIEW)
            yield Preview(stage, epoch, held[0].key, PREVIEW)
            # NaN is never the best
            if validation["loss"] < (math.inf if self.best is None else self.best.loss):
                weights = {name: value.detach().clone() for name, value in nets.generator.state_dict().items()}
                self.best = Best(validation["loss"], validation["mse"], epoch, weights)
                if training.select == "best":
                    self._write_model(MODEL)
                    yield Saved("model", MODEL)
        losses = {name: total / position.step for name, total in position.sums.items()}
        balance = losses.pop("balance", None)
        seconds = self._elapsed()
        done = position.stage * training.epochs + epoch
        left = seconds / done * (len(self.names) * training.epochs - done)
        yield Epoch(stage, epoch, training.epochs, losses, balance, validation, seconds, left)

    def _end_stage(self, nets: StageNets) -> Iterator[Event]:
        if nets.average is not None:
            nets.generator.load_state_dict(nets.average.weights)
        self._write_model(LAST)
        if self.options.training.select == "best" and self.best is not None:
            nets.generator.load_state_dict(self.best.weights)
        self._write_model(MODEL)
        yield Saved("model", MODEL)
        mse = self.best.mse if self.best is not None else None
        self.best = None
        self.position = Position(self.position.stage + 1, steps_done=self.position.steps_done, mse=mse)
        yield self._save(None)

    def _finish(self) -> Iterator[Event]:
        self._write_model(MODEL, finished=True)
        yield Saved("model", MODEL)
        yield Finished(str(self.run / MODEL), self._elapsed())
        if self.fabric.is_global_zero:
            self.ground.cache.clear()

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _save(self, nets: StageNets | None) -> Event:
        self.position.seconds = self._elapsed()
        if self.fabric.is_global_zero:
            keys = [subject.key for subject in (*self.ground.training, *self.ground.validation)]
            state = {
                "cascade": self.cascade.state_dict(),
                "position": asdict(self.position),
                "best": None if self.best is None else asdict(self.best),
                "subjects": keys,
                "precision": self.fabric.strategy.precision.state_dict(),
                "events_bytes": self.record.size(),
                **(stage_state(nets) if nets is not None else {}),
            }
            save_state(self.run / STATE, self.position.steps_done, state)
        return Saved("state", STATE)

    def _model(self, finished: bool = False) -> Model:
        return make_model(
            self.cascade,
            self.ground,
            self.options,
            self.position,
            best=self.best,
            seconds=self._elapsed(),
            device=str(self.fabric.device),
            finished=finished,
        )

    def _write_model(self, name: str, finished: bool = False) -> None:
        if self.fabric.is_global_zero:
            save_model(self._model(finished), self.run / name)
