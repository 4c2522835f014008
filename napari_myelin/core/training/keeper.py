"""What a run has in hand, and how it is written down: its state, its models."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.volume import write_atomically
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Event, Saved, Started, StopRequest
from napari_myelin.core.heap import give_back
from napari_myelin.core.inference.model import Model, save_model
from napari_myelin.core.networks.cascade import Cascade
from napari_myelin.core.options import Options
from napari_myelin.core.runtime import is_first_rank, precision_of
from napari_myelin.core.training.folder import SMALLER, STATE, open_run
from napari_myelin.core.training.ground import Ground
from napari_myelin.core.training.product import make_model
from napari_myelin.core.training.readings import Readings
from napari_myelin.core.training.record import Record
from napari_myelin.core.training.stage import Best, Position, stage_names, stage_state
from napari_myelin.core.training.state import save_state
from napari_myelin.core.training.step import StageNets
from napari_myelin.core.training.stepdown import Change, changed, in_words


class Keeper:
    """A run's options, ground, networks and position; the trainer moves them on.

    Attributes
    ----------
    options
        As they hold now: those that were asked for, but for what the run stepped down to.
    stepped
        What it stepped down to when it ran out of memory, by name of the training option.
    """

    record: Record
    readings: Readings
    fabric: Fabric
    ground: Ground
    cascade: Cascade

    def __init__(self, cohort: Cohort, options: Options, run: Path, stop: StopRequest) -> None:
        self.cohort, self.options, self.run, self.stop = cohort, options, run, stop
        self.grid_shape: tuple[int, int, int] | None = None
        self.position = Position()
        self.best: Best | None = None
        self.names = stage_names(options.network.refiners)
        self.stepped: dict[str, Change] = {}
        self.uncompiled = ""  # why torch.compile cannot be used here
        self.keys: list[str] = []
        self.steps = 0
        self.began = time.monotonic()

    def open_run(self, resume: bool) -> dict[str, Any] | None:
        """Make the run folder, or read the state to go on from; what the run had stepped down to holds again."""
        state = open_run(self.run, self.options, resume)
        self.record = Record(self.run, is_first_rank())
        self.record.cut(state["events_bytes"] if state is not None else 0)
        if state is not None:
            self.step_down(state.get("stepped", {}))
        if resume and (self.run / SMALLER).exists():
            self.step_down(json.loads((self.run / SMALLER).read_text(encoding="utf-8")))
        return state

    def leave(self, changes: dict[str, Change]) -> MyelinError:
        """Write down what the run is to step down to when it is resumed; return the error that says so."""
        write_atomically(self.run / SMALLER, json.dumps(changes).encode())
        return MyelinError(f"out of memory: --resume goes on with {in_words(changes)}")

    def step_down(self, changes: dict[str, Change]) -> None:
        """Let smaller training options hold from here on."""
        if changes.get("checkpointing"):
            give_back()  # as `fit` does where it was asked for
        self.stepped |= changes
        self.options = changed(self.options, changes)

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `save` wrote.

        Raises
        ------
        MyelinError
            If the cohort is another one.
        """
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
        before, now = state.get("computed_in", ""), precision_of(self.fabric)
        if before not in ("", now):
            self.ground.notes.append(
                f"the run computed in {before} until now and goes on in {now}: --precision {before} keeps to one"
            )
        if state["precision"]:  # empty where the run had no scaler until now: a new one finds its scale by itself
            self.fabric.strategy.precision.load_state_dict(state["precision"])

    def save(self, nets: StageNets | None) -> Event:
        """Write the state that `restore` reads, on the first rank."""
        self.position.seconds = self.elapsed()
        if self.fabric.is_global_zero:
            keys = [subject.key for subject in (*self.ground.training, *self.ground.validation)]
            state = {
                "cascade": self.cascade.state_dict(),
                "position": asdict(self.position),
                "best": None if self.best is None else asdict(self.best),
                "subjects": keys,
                "precision": self.fabric.strategy.precision.state_dict(),
                "computed_in": precision_of(self.fabric),
                "events_bytes": self.record.size(),
                "stepped": self.stepped,
                **(stage_state(nets) if nets is not None else {}),
            }
            save_state(self.run / STATE, self.position.steps_done, state)
            (self.run / SMALLER).unlink(missing_ok=True)  # the state knows it now
        return Saved("state", STATE)

    def started(self, resumed: bool) -> Started:
        """Return the event that begins the training."""
        return Started(
            stages=self.names,
            epochs=self.options.training.epochs,
            steps=self.steps,
            training=self.keys,
            validation=[subject.key for subject in self.ground.validation],
            device=str(self.fabric.device),
            resumed=resumed,
            notes=list(self.ground.notes),  # as they are now: what is added later is said by an event of its own
            precision=precision_of(self.fabric),
        )

    def elapsed(self) -> float:
        """Return the seconds that the run has taken, over all the times it went on."""
        return time.monotonic() - self.began

    def model(self, finished: bool = False) -> Model:
        """Return the model as it stands."""
        return make_model(
            self.cascade,
            self.ground,
            self.options,
            self.position,
            best=self.best,
            seconds=self.elapsed(),
            device=str(self.fabric.device),
            precision=precision_of(self.fabric),
            finished=finished,
        )

    def write_model(self, name: str, finished: bool = False) -> None:
        """Write the model as it stands into the run folder, on the first rank."""
        if self.fabric.is_global_zero:
            save_model(self.model(finished), self.run / name)
