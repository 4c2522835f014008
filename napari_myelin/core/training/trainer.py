"""The course of a run: prepare, train each stage epoch by epoch, save as it goes, finish."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from typing import Any

from napari_myelin.core.events import Epoch, Event, Finished, Noted, Preview, Progress, Saved, Step, Stopped
from napari_myelin.core.networks.build import build_cascade
from napari_myelin.core.runtime import any_rank, derive_seed, free_memory, launch, to_device
from napari_myelin.core.training.compiling import NOTE, compile_networks
from napari_myelin.core.training.failure import refuse_broken_weights
from napari_myelin.core.training.fallback import Fallback
from napari_myelin.core.training.folder import LAST, MODEL, PREVIEW, is_finished
from napari_myelin.core.training.ground import open_ground, prepare
from napari_myelin.core.training.memory import training_bytes
from napari_myelin.core.training.pace import averaged
from napari_myelin.core.training.readings import Readings
from napari_myelin.core.training.shelf import room_beside
from napari_myelin.core.training.stage import (
    Best,
    Position,
    check_batch,
    epoch_order,
    load_stage_state,
    make_sample,
    open_stage,
)
from napari_myelin.core.training.step import Losses, Sample, StageNets, train_step
from napari_myelin.core.training.stepdown import in_words
from napari_myelin.core.training.validate import validate


class Trainer(Fallback):
    """One run while it trains; `fit` is its face."""

    def events(self, resume: bool) -> Iterator[Event]:
        """Prepare, train every stage, finish."""
        began = time.monotonic()
        state = self.open_run(resume)
        if state is not None and state["position"]["stage"] == len(self.names) and is_finished(self.run):
            yield Finished(str(self.run / MODEL), state["position"]["seconds"])
            return
        self.fabric = launch(self.options.runtime)
        check_batch(self.options.training.batch, self.fabric.world_size)
        if (yield from self._prepare(state)):
            return
        self.keys = [subject.key for subject in self.ground.training]
        self.steps = len(epoch_order(self.keys, self.position, self.options))
        modalities = len(self.options.data.modalities)
        seed = derive_seed(self.options.training.seed, "weights")
        self.cascade = build_cascade(self.options.network, modalities, seed)
        self.cascade = to_device(self.cascade, self.fabric.device)
        if state is not None:
            self.restore(state)
        self._settle()
        nets = self._next_stage(state)
        yield self.started(resumed=state is not None)
        self.began = began - self.position.seconds
        while nets is not None:
            if (yield from self._train_stage(nets)):
                return
            could = not self.uncompiled
            nets = self._next_stage()
            if could and self.uncompiled:  # those that began with it read it in its first event
                yield Noted("--compile", NOTE.format(self.uncompiled))
        yield from self._finish()

    def _settle(self) -> None:
        """Keep the cohort on a GPU, if training leaves room for it."""
        device, shelf = self.fabric.device, self.ground.shelf
        if shelf is not None and device.type != "cpu":
            need = training_bytes(self.options, self.ground.grid.shape, len(self.options.data.modalities))
            shelf.settle(self.keys, room_beside(need, free_memory(device)))

    def _prepare(self, state: dict[str, Any] | None) -> Generator[Event, None, bool]:
        """Read the cohort; the generator's value is whether it was asked to stop meanwhile."""
        at = Position() if state is None else Position(**state["position"])
        for event in self._open():
            yield event
            if self.stop and self.fabric.world_size == 1:  # several ranks agree on it at the first step
                yield Stopped(self.names[min(at.stage, len(self.names) - 1)], at.epoch + 1, at.step)
                return True
        return False

    def _open(self) -> Iterator[Progress]:
        self.ground = yield from open_ground(self.cohort, self.options, self.run)
        self.grid_shape = self.ground.grid.shape
        if self.stepped:
            self.ground.notes.append(f"memory ran out before: trains with {in_words(self.stepped)}")
        yield from prepare(self.ground, self.options, self.fabric)

    def _next_stage(self, state: dict[str, Any] | None = None) -> StageNets | None:
        """Return what the stage that is next trains, as ``state`` has it; None where all are done."""
        if self.position.stage == len(self.names):
            return None
        nets = open_stage(self.position, self.cascade, self.options, self.fabric, self.steps)
        if state is not None and "generator_optimiser" in state:
            load_stage_state(nets, state)
        self.readings = Readings(self.names[self.position.stage], self.fabric.device)
        if self.options.runtime.compile and not self.uncompiled:
            before = list(self.cascade.stages)[: self.position.stage]
            self.uncompiled = compile_networks(nets, before, lambda: self._sample(self.keys[0]), self.fabric)
            if self.uncompiled:
                self.ground.notes.append(NOTE.format(self.uncompiled))
        return nets

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
                yield self.save(nets)
        yield from self._end_stage(nets)
        return False

    def _train_epoch(self, nets: StageNets) -> Generator[Event, None, bool]:
        nets.generator.train()
        position = self.position
        batches = epoch_order(self.keys, position, self.options)
        rank, world = self.fabric.global_rank, self.fabric.world_size
        while position.step < len(batches):
            # ranks that agree on something wait for each other, and for their devices
            if (world == 1 or not self.readings) and any_rank(bool(self.stop), self.fabric):
                yield from self._read()
                refuse_broken_weights(nets, self.names[position.stage], position)
                yield self.save(nets)
                with averaged(nets.generator, nets.average):
                    self.write_model(LAST)
                yield Stopped(self.names[position.stage], position.epoch + 1, position.step)
                return True
            self.readings.begin()
            losses = yield from self._step(nets, batches[position.step][rank::world])
            position.step += 1
            position.steps_done += 1
            self.readings.add(position.epoch + 1, position.step, losses)
            if self.readings.due or position.step == len(batches):
                yield from self._read()
        refuse_broken_weights(nets, self.names[position.stage], position)
        return False

    def _read(self) -> Iterator[Step]:
        """Read the losses of the steps since the last time, before anything is made of them or saved."""
        for step in self.readings.read():
            for name, value in step.losses.items():
                self.position.sums[name] = self.position.sums.get(name, 0.0) + value
            yield step

    def _step(self, nets: StageNets, keys: list[str]) -> Generator[Event, None, Losses]:
        """Do one step, in another way where it fails and there is one; the generator's value is its loss terms."""
        while True:
            try:
                return self._try_step(nets, keys)
            except Exception as error:
                way_out = None if nets.updating else self.way_out(error, nets, self.position.step + 1)
                if way_out is None:
                    raise
            # only now, outside, nothing holds what the step had made
            nets.undo()
            yield from self._read()
            yield way_out()
            yield self.save(nets)

    def _try_step(self, nets: StageNets, keys: list[str]) -> Losses:
        return train_step(nets, [self._sample(key) for key in keys], self.fabric)

    def _sample(self, key: str) -> Sample:
        return make_sample(self.ground, self.cascade, key, self.position, self.options, self.fabric)

    def _validate(self, nets: StageNets) -> Generator[Event, None, dict[str, float]]:
        while True:
            try:
                return validate(self.model(), self.ground.validation, self.fabric, nets, self.run / PREVIEW)
            except Exception as error:
                way_out = self.way_out(error, nets, 0)
                if way_out is None:
                    raise
            yield way_out()  # saved at the end of the epoch

    def _end_epoch(self, nets: StageNets) -> Iterator[Event]:
        position, training = self.position, self.options.training
        epoch, stage = position.epoch + 1, self.names[position.stage]
        validation: dict[str, float] = {}
        if self.ground.validation and (epoch % training.validate_every == 0 or epoch == training.epochs):
            validation = yield from self._validate(nets)
            yield Preview(stage, epoch, self.ground.validation[0].key, PREVIEW)
            # NaN is never the best
            if validation["loss"] < (math.inf if self.best is None else self.best.loss):
                weights = {name: value.detach().clone() for name, value in nets.generator.state_dict().items()}
                self.best = Best(validation["loss"], validation["mse"], epoch, weights)
                if training.select == "best":
                    self.write_model(MODEL)
                    yield Saved("model", MODEL)
        losses = {name: total / position.step for name, total in position.sums.items()}
        balance = losses.pop("balance", None)
        seconds = self.elapsed()
        done = position.stage * training.epochs + epoch
        left = seconds / done * (len(self.names) * training.epochs - done)
        yield Epoch(stage, epoch, training.epochs, losses, balance, validation, seconds, left)

    def _end_stage(self, nets: StageNets) -> Iterator[Event]:
        if nets.average is not None:
            nets.generator.load_state_dict(nets.average.weights)
        self.write_model(LAST)
        if self.options.training.select == "best" and self.best is not None:
            nets.generator.load_state_dict(self.best.weights)
        self.write_model(MODEL)
        yield Saved("model", MODEL)
        mse = self.best.mse if self.best is not None else None
        self.best = None
        self.position = Position(self.position.stage + 1, steps_done=self.position.steps_done, mse=mse)
        yield self.save(None)

    def _finish(self) -> Iterator[Event]:
        self.write_model(MODEL, finished=True)
        yield Saved("model", MODEL)
        yield Finished(str(self.run / MODEL), self.elapsed())
        if self.fabric.is_global_zero:
            self.ground.cache.clear()
