"""`fit`: a cohort in, a model file out; a generator of events that can be stopped, killed and resumed."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.errors import MyelinError, UsageError
from napari_myelin.core.events import (
    Epoch,
    Event,
    Failed,
    Finished,
    Preview,
    Saved,
    Started,
    Step,
    Stopped,
    StopRequest,
)
from napari_myelin.core.inference.model import UNITS, Model, ModelCard, TrainingSummary, save_model
from napari_myelin.core.networks.build import build_cascade
from napari_myelin.core.options import Options, read_options, to_toml
from napari_myelin.core.runtime import derive_seed, is_first_rank, launch
from napari_myelin.core.training.failure import DivergedError, describe, release
from napari_myelin.core.training.ground import Ground, open_ground, prepare
from napari_myelin.core.training.record import Record
from napari_myelin.core.training.stage import (
    Best,
    Position,
    StageNets,
    epoch_order,
    load_stage_state,
    make_sample,
    open_stage,
    stage_names,
    stage_state,
)
from napari_myelin.core.training.state import load_state, save_state
from napari_myelin.core.training.step import train_step
from napari_myelin.core.training.validate import validate

OPTIONS, STATE, MODEL, LAST, PREVIEW, STOP = (
    "options.toml",
    "state",
    "model.safetensors",
    "last.safetensors",
    "preview.npz",
    "stop",
)


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
        On the first rank. Nothing is raised: what goes wrong is a last `Failed` event.
    """
    speaks = is_first_rank()
    stop = stop or StopRequest(run / STOP)
    failed: Failed | None = None
    trainer = Trainer(cohort, options, run, stop)
    try:
        for event in trainer.events(resume):
            if speaks:
                trainer.record.write(event)
                yield event
    except Exception as error:
        failed = describe(error, options, trainer.grid_shape)
    if failed is not None:
        # out of the except block, so that the traceback no longer holds the tensors
        record = trainer.__dict__.get("record")
        del trainer
        release()
        if speaks:
            try:
                if record is not None:
                    record.write(failed)
            except MyelinError:
                pass  # the disk that is full cannot take this line either; the caller still hears it
            yield failed


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
        if state is not None and state["position"]["stage"] == len(self.names):
            yield Finished(str(self.run / MODEL), state["position"]["seconds"])
            return
        self.fabric = launch(self.options.runtime)
        self._check_batch()
        self.ground = open_ground(self.cohort, self.options, self.run)
        self.grid_shape = self.ground.grid.shape
        yield from prepare(self.ground, self.options, self.fabric)
        self.keys = [subject.key for subject in self.ground.training]
        self.steps = len(epoch_order(self.keys, self.position, self.options))
        modalities = len(self.options.data.modalities)
        seed = derive_seed(self.options.training.seed, "weights")
        self.cascade = build_cascade(self.options.network, modalities, seed)
        self.cascade = self.cascade.to(self.fabric.device, memory_format=torch.channels_last_3d)
        if state is not None:
            self._restore(state)
        yield self._started(resumed=state is not None)
        self._began = began - self.position.seconds
        while self.position.stage < len(self.names):
            nets = open_stage(self.position.stage, self.cascade, self.options, self.fabric)
            if state is not None and "generator_optimiser" in state:
                load_stage_state(nets, state)
            state = None
            stopped = yield from self._train_stage(nets)
            if stopped:
                return
        yield from self._finish()

    # --- opening and resuming -----------------------------------------------------------------------

    def _open_run(self, resume: bool) -> dict[str, Any] | None:
        state = load_state(self.run / STATE) if resume else None
        if resume and state is None and not (self.run / OPTIONS).exists():
            raise MyelinError(f"there is no run in {self.run} to resume: leave out --resume to start one")
        if not resume and (self.run / OPTIONS).exists() and is_first_rank():
            raise MyelinError(
                f"{self.run} holds a run already: pass --resume to go on with it, or choose another --out"
            )
        if resume:
            check_same_options(read_options(self.run / OPTIONS), self.options)
        self.record = Record(self.run, is_first_rank())
        if is_first_rank():
            (self.run / STOP).unlink(missing_ok=True)
            (self.run / OPTIONS).write_text(to_toml(self.options), encoding="utf-8")
            self.record.cut(state["events_bytes"] if state is not None else 0)
        return state

    def _check_batch(self) -> None:
        batch, ranks = self.options.training.batch, self.fabric.world_size
        if batch % ranks:
            raise UsageError(
                f"a batch of {batch} cannot be shared by {ranks} devices: --batch counts the subjects of one step over "
                f"all devices, choose a multiple of {ranks}"
            )

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

    # --- one stage ----------------------------------------------------------------------------------

    def _train_stage(self, nets: StageNets) -> Iterator[Event]:
        """Train the epochs of one stage; the generator's value is whether it was asked to stop."""
        epochs = self.options.training.epochs
        while self.position.epoch < epochs:
            if (yield from self._train_epoch(nets)):
                return True  # type: ignore[return-value]
            yield from self._end_epoch(nets)
            self.position.epoch += 1
            self.position.step, self.position.sums = 0, {}
            if self.position.epoch < epochs:
                yield self._save(nets)
        yield from self._end_stage(nets)
        return False  # type: ignore[return-value]

    def _train_epoch(self, nets: StageNets) -> Iterator[Event]:
        nets.generator.train()
        position = self.position
        batches = epoch_order(self.keys, position, self.options)
        rank, world = self.fabric.global_rank, self.fabric.world_size
        while position.step < len(batches):
            if self._asked_to_stop():
                yield self._save(nets)
                self._write_model(LAST)
                yield Stopped(self.names[position.stage], position.epoch + 1, position.step)
                return True  # type: ignore[return-value]
            before = time.monotonic()
            mine = batches[position.step][rank::world]
            samples = [make_sample(self.ground, self.cascade, key, position, self.options) for key in mine]
            losses = self._read(train_step(nets, samples, self.fabric))
            position.step += 1
            position.steps_done += 1
            for name, value in losses.items():
                position.sums[name] = position.sums.get(name, 0.0) + value
            seconds = time.monotonic() - before
            yield Step(self.names[position.stage], position.epoch + 1, position.step, losses, seconds)
        return False  # type: ignore[return-value]

    def _read(self, losses: dict[str, torch.Tensor]) -> dict[str, float]:
        # one copy from the device for all terms
        values = torch.stack([losses[name].float() for name in losses]).tolist()
        for name, value in zip(losses, values, strict=True):
            if not math.isfinite(value):
                position = self.position
                raise DivergedError(
                    f'the loss term "{name}" became {value} in stage {self.names[position.stage]}, epoch '
                    f"{position.epoch + 1}, step {position.step + 1}; the state saved before it is kept"
                )
        return dict(zip(losses, values, strict=True))

    def _asked_to_stop(self) -> bool:
        asked = bool(self.stop)
        if self.fabric.world_size > 1:  # all ranks stop at the same step
            flag = torch.tensor(float(asked), device=self.fabric.device)
            asked = bool(self.fabric.all_reduce(flag, reduce_op="sum") > 0)  # type: ignore[operator]
        return asked

    def _end_epoch(self, nets: StageNets) -> Iterator[Event]:
        position, training = self.position, self.options.training
        epoch, stage = position.epoch + 1, self.names[position.stage]
        validation: dict[str, float] = {}
        if self.ground.validation and (epoch % training.validate_every == 0 or epoch == training.epochs):
            model = self._model()
            held = self.ground.validation
            validation = validate(model, held, self.fabric, nets.region_weighted, self.run / PREVIEW)
            yield Preview(stage, epoch, held[0].key, PREVIEW)
            if self.best is None or validation["loss"] < self.best.loss:
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

    # --- what is written ----------------------------------------------------------------------------

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
        ground, stage = self.ground, min(self.position.stage, len(self.names) - 1)
        normalisation = ground.normalisation
        if normalisation is None:
            raise MyelinError("the cohort is not prepared yet")
        summary = TrainingSummary(
            subjects=tuple(self.keys),
            validation=tuple(subject.key for subject in ground.validation),
            controls=len(ground.controls),
            phantom=ground.phantom,
            stages=tuple(self.names[: stage + 1]),
            epochs=(
                *(self.options.training.epochs,) * stage,
                min(self.position.epoch + 1, self.options.training.epochs),
            ),
            validation_mse=self.best.mse if self.best is not None else self.position.mse,
            seconds=round(self._elapsed(), 1),
            device=str(self.fabric.device),
            finished=finished,
        )
        modalities = self.options.data.modalities
        card = ModelCard(
            modalities=modalities,
            units={name: UNITS.get(name, "as in the training cohort") for name in (*modalities, "dvr")},
            stages=stage + 1,
            options=self.options,
            grid=ground.grid.to_dict(),
            normalisation=normalisation.to_dict(),
            threshold=None if ground.threshold is None else ground.threshold.to_dict(),
            linear=None if ground.linear is None else ground.linear.to_dict(),
            training=summary,
            notes=tuple(ground.notes),
        )
        threshold_map = None if ground.threshold is None else ground.threshold.map
        return Model(self.cascade.first(stage + 1), card, threshold_map)

    def _write_model(self, name: str, finished: bool = False) -> None:
        if self.fabric.is_global_zero:
            save_model(self._model(finished), self.run / name)


def check_same_options(old: Options, new: Options) -> None:
    """Raise where a resumed run would not be the same run; where it runs may differ.

    Raises
    ------
    UsageError
        Naming the first option that differs, with both values.
    """
    before, after = old.model_dump(exclude={"runtime"}), new.model_dump(exclude={"runtime"})
    for group, values in before.items():
        for key, value in values.items() if isinstance(values, dict) else ():
            if value != after[group][key]:
                raise UsageError(
                    f"the run was started with {group}.{key} = {value}, now it is {after[group][key]}: "
                    "resume with the same options, or start another run"
                )
