"""What a run says (step, epoch, preview, saved, stopped, failed, finished) and how it is asked to stop."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True)
class Event:
    """Something a run reports; ``kind`` names it in ``events.jsonl``."""

    kind: ClassVar[str] = "event"

    def to_json(self) -> str:
        """Return the event as one line of JSON."""
        return json.dumps({"kind": self.kind, **asdict(self)}, default=str)


@dataclass(frozen=True)
class Started(Event):
    """A run begins (or goes on, where ``resumed``)."""

    kind: ClassVar[str] = "started"
    stages: list[str]
    epochs: int
    steps: int
    training: list[str]
    validation: list[str]
    device: str
    resumed: bool = False
    notes: list[str] = field(default_factory=list)
    precision: str = ""


@dataclass(frozen=True)
class Progress(Event):
    """Work on one thing after another: ``done`` of ``total``, and what comes next in words.

    ``seconds_left`` is what the work itself expects, where it knows more than ``done`` and ``total`` say.
    """

    kind: ClassVar[str] = "progress"
    task: str
    done: int
    total: int
    detail: str = ""
    seconds_left: float | None = None


@dataclass(frozen=True)
class Step(Event):
    """One optimiser step; epochs and steps count from 1, ``losses`` by term name."""

    kind: ClassVar[str] = "step"
    stage: str
    epoch: int
    step: int
    losses: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class Epoch(Event):
    """One epoch: mean of every loss term; ``balance`` is the discriminator's share of right answers.

    ``balance`` near 0.5 means that the discriminator is fooled, near 1 that it wins (NaN without one).
    ``validation`` holds ``loss``, ``mse`` (DVR units squared) where this epoch was validated.
    """

    kind: ClassVar[str] = "epoch"
    stage: str
    epoch: int
    epochs: int
    losses: dict[str, float]
    balance: float | None
    validation: dict[str, float]
    seconds: float
    seconds_left: float


@dataclass(frozen=True)
class Preview(Event):
    """Maps of one held-out subject were written to ``path`` (``.npz`` on the network's grid)."""

    kind: ClassVar[str] = "preview"
    stage: str
    epoch: int
    subject: str
    path: str


@dataclass(frozen=True)
class Saved(Event):
    """A file was written whole: the resumable state or a model."""

    kind: ClassVar[str] = "saved"
    what: str
    path: str


@dataclass(frozen=True)
class Stopped(Event):
    """The run was asked to stop, has saved, and can be resumed."""

    kind: ClassVar[str] = "stopped"
    stage: str
    epoch: int
    step: int


@dataclass(frozen=True)
class SteppedDown(Event):
    """Memory ran out: the run goes on in a smaller way from the last step that was done.

    ``epoch`` and ``step`` say where, from 1, a step of 0 being the validation after the epoch; ``changes`` are the
    training options that hold from here on.
    """

    kind: ClassVar[str] = "stepped_down"
    stage: str
    epoch: int
    step: int
    changes: dict[str, int | bool]

    @property
    def sentence(self) -> str:
        """What happened and what holds now, in words."""
        now = ", ".join(name if value is True else f"{name} {value}" for name, value in self.changes.items())
        where = f"step {self.step}" if self.step else "validation"
        return f"out of memory in {self.stage}, epoch {self.epoch}, {where}: goes on with {now}"


@dataclass(frozen=True)
class Failed(Event):
    """The run cannot go on: what happened, and what to do."""

    kind: ClassVar[str] = "failed"
    cause: str
    advice: str
    trace: str = ""
    usage: bool = False  # the request was wrong, not the run
    echo: bool = False  # of several processes another one says it

    @property
    def sentence(self) -> str:
        """Cause and advice in one."""
        return f"{self.cause}: {self.advice}" if self.advice else self.cause


@dataclass(frozen=True)
class Skipped(Event):
    """One subject could not be done, and why; the others go on."""

    kind: ClassVar[str] = "skipped"
    subject: str
    reason: str


@dataclass(frozen=True)
class Kept(Event):
    """Subjects whose results are there from before, as they are asked for now: they are not made again."""

    kind: ClassVar[str] = "kept"
    subjects: list[str]


@dataclass(frozen=True)
class Noted(Event):
    """Something about one subject (or an option) that a reader of the result should know; it is done all the same."""

    kind: ClassVar[str] = "noted"
    subject: str
    text: str


@dataclass(frozen=True)
class Finished(Event):
    """The run is complete; ``model`` is the file to predict with."""

    kind: ClassVar[str] = "finished"
    model: str
    seconds: float


_EVENTS = (Started, Progress, Step, Epoch, Preview, Saved, Stopped, SteppedDown, Failed, Skipped, Kept, Noted, Finished)
_KINDS = {each.kind: each for each in _EVENTS}


def from_json(line: str) -> Event:
    """Return the event that a line of ``events.jsonl`` holds.

    Raises
    ------
    ValueError
        If the line is not an event (a half-written last line, say).
    """
    table: dict[str, Any] = json.loads(line)
    kind = table.pop("kind", None)
    if kind not in _KINDS:
        raise ValueError(f"unknown event kind {kind!r}")
    return _KINDS[kind](**table)


def read_events(path: Path) -> list[Event]:
    """Return the events of a file that may still be written to; an incomplete last line is left out."""
    events = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                events.append(from_json(line))
            except ValueError:
                continue
    return events


def duration(seconds: float) -> str:
    """Return seconds in words: ``45 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class StopRequest:
    """A wish to stop that the engine reads between steps.

    Parameters
    ----------
    file
        A file whose existence also means stop, so that another process can ask.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._event = threading.Event()
        self.file = file

    def request(self) -> None:
        """Ask the run to save and stop; safe from any thread or signal handler."""
        self._event.set()

    def __bool__(self) -> bool:
        return self._event.is_set() or (self.file is not None and self.file.exists())
