"""What the events of a run add up to: where it stands, its curves, how it ended. Knows neither Qt nor files."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from napari_myelin.core.events import (
    Epoch,
    Event,
    Failed,
    Finished,
    Noted,
    Preview,
    Progress,
    Started,
    Step,
    SteppedDown,
    Stopped,
    duration,
)

# what a loss term is called, with its unit; a term that is not here keeps its own name
TERMS = {
    "l1": "L1 (z-score)",
    "l2": "Squared error (z-score)",
    "variance": "log variance + error² / variance",
    "regions": "cross-entropy of the regions",
    "generator": "G total",
    "adversarial": "G adversarial",
    "discriminator": "D",
    "balance": "D right (share)",
    "held-out mse": "Held-out MSE (DVR²)",
    "held-out loss": "Held-out reconstruction",
}
Point = tuple[float, float]


@dataclass
class Curve:
    """One term over the run: a ``steps`` line and an ``epochs`` line of (epochs since the run began, value)."""

    steps: list[Point] = field(default_factory=list)
    epochs: list[Point] = field(default_factory=list)

    def forget(self, when: float) -> None:
        """Drop what lies at ``when`` or later: a run that was killed does those steps again."""
        for line in (self.steps, self.epochs):
            while line and line[-1][0] >= when:
                line.pop()


class Course:
    """A run as its events tell it, one after the other; steps that come twice count once.

    Attributes
    ----------
    started
        Of the run as it last began or went on; None before.
    doing
        What is prepared before the first step, None once steps come.
    stage, epoch, step
        Of the last step; the stage by its index, epoch and step from 1.
    balance
        The discriminator's share of right answers, last known.
    validation
        The last one's values: ``mse`` in DVR squared, ``loss`` in DVR.
    preview
        The last one announced.
    end
        `Stopped`, `Finished` or `Failed` where it ended so; None while it goes on.
    curves
        By name of the term.
    steps_down
        What the run does in a smaller way since memory ran out, or without a compiler that failed, in sentences.
    """

    def __init__(self) -> None:
        self.started: Started | None = None
        self.doing: Progress | None = None
        self.stage, self.epoch, self.step = 0, 1, 0
        self.balance: float | None = None
        self.validation: dict[str, float] = {}
        self.preview: Preview | None = None
        self.end: Event | None = None
        self.curves: dict[str, Curve] = {}
        self.steps_down: list[str] = []
        self._left: float | None = None
        self._pace: list[float] = []  # seconds of the last steps

    def take(self, event: Event) -> None:
        """Add one event."""
        self.end = None
        if isinstance(event, Started):
            self.started, self.doing, self.steps_down = event, None, []
            self._left, self._pace = None, []
        elif isinstance(event, Progress):
            self.doing = event
        elif isinstance(event, Step):
            self._step(event)
        elif isinstance(event, Epoch):
            self._epoch(event)
        elif isinstance(event, Preview):
            self.preview = event
        elif isinstance(event, SteppedDown):
            self.steps_down.append(event.sentence)
        elif isinstance(event, Noted):
            self.steps_down.append(event.text)
        elif isinstance(event, Stopped | Finished | Failed):
            self.end, self.doing = event, None

    def _step(self, event: Step) -> None:
        if self.started is None:
            return
        self.doing = None
        self.stage, self.epoch, self.step = self.started.stages.index(event.stage), event.epoch, event.step
        when = self._when(event.stage, event.epoch - 1 + event.step / self.started.steps)
        for curve in self.curves.values():
            curve.forget(when)
        for name, value in event.losses.items():
            self._curve(name).steps.append((when, value))
        self.balance = event.losses.get("balance", self.balance)
        self._pace = [*self._pace[-19:], event.seconds]
        if self._left is not None:
            self._left = max(0.0, self._left - event.seconds)

    def _epoch(self, event: Epoch) -> None:
        if self.started is None:
            return
        when = self._when(event.stage, event.epoch)
        for name, value in event.losses.items():
            self._curve(name).epochs.append((when, value))
        if event.balance is not None:
            self._curve("balance").epochs.append((when, event.balance))
            self.balance = event.balance
        for name, value in event.validation.items():
            self._curve(f"held-out {name}").epochs.append((when, value))
        self.validation = event.validation or self.validation
        self._left = event.seconds_left

    def _curve(self, name: str) -> Curve:
        return self.curves.setdefault(name, Curve())

    def _when(self, stage: str, epochs: float) -> float:
        assert self.started is not None
        return self.started.stages.index(stage) * self.started.epochs + epochs

    @property
    def total(self) -> int:
        """Epochs of all stages together; 0 before the start."""
        return len(self.started.stages) * self.started.epochs if self.started else 0

    @property
    def done(self) -> float:
        """Share of the run that is done, in [0, 1]; while it prepares, share of that."""
        if isinstance(self.end, Finished):
            return 1.0
        if self.doing is not None:
            return self.doing.done / max(1, self.doing.total)
        if self.started is None:
            return 0.0
        epochs = self.stage * self.started.epochs + self.epoch - 1 + self.step / self.started.steps
        return epochs / self.total

    @property
    def pace(self) -> float:
        """Seconds that a step takes, lately; 0 before the first."""
        return sum(self._pace) / len(self._pace) if self._pace else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds to the end: the engine's estimate less what has passed since, or steps at the present pace."""
        if self._left is not None:
            return self._left
        if self.started is None or not self._pace:
            return None
        return self.pace * self.total * self.started.steps * (1 - self.done)

    def place(self) -> str:
        """Return where the run stands: stage, epoch, step."""
        if self.doing is not None:
            return f"{self.doing.task}: {self.doing.done} of {self.doing.total}"
        if self.started is None:
            return "preparing"
        stage, started = self.started.stages[self.stage], self.started
        return f"{stage}: epoch {self.epoch} of {started.epochs}, step {self.step} of {started.steps}"

    def outlook(self) -> str:
        """Return time left and who is ahead of whom, in words; empty where nothing is known."""
        parts = []
        if self.end is None and self.doing is None and self.seconds_left is not None:
            parts.append(f"about {duration(self.seconds_left)} left")
        if self.balance is not None and math.isfinite(self.balance):
            verdict = "fooled by G" if self.balance < 0.6 else "beats G" if self.balance > 0.9 else "ahead of G"
            parts.append(f"D right {self.balance:.0%} ({verdict})")
        if "mse" in self.validation:
            parts.append(f"held-out MSE {self.validation['mse']:.4g} DVR²")
        return " · ".join(parts)
