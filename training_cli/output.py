"""What the commands say: a progress bar on a terminal, plain lines elsewhere, JSON lines, or nothing."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from napari_myelin.core.events import (
    Epoch,
    Event,
    Failed,
    Finished,
    Kept,
    Noted,
    Skipped,
    Started,
    Step,
    SteppedDown,
    Stopped,
    StopRequest,
    duration,
)
from napari_myelin.core.events import Progress as Doing
from napari_myelin.core.precision import in_precision


class Output:
    """Where a command's words go.

    Parameters
    ----------
    quiet
        Errors only.
    as_json
        Events and results as JSON lines on standard output; sentences are left out.
    """

    def __init__(self, quiet: bool = False, as_json: bool = False) -> None:
        self.quiet, self.as_json = quiet, as_json
        self.console = Console(highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._task: Any = None
        self._said = 0.0

    def say(self, text: str) -> None:
        """Say a sentence."""
        if not self.quiet and not self.as_json:
            self.console.print(text, markup=False)

    def show(self, renderable: Any) -> None:
        """Show a rich table."""
        if not self.quiet and not self.as_json:
            self.console.print(renderable)

    def result(self, **values: Any) -> None:
        """Write one JSON line, where JSON was asked for."""
        if self.as_json:
            print(json.dumps(values, default=str), flush=True)

    def error(self, text: str) -> None:
        """Say an error, always, on standard error."""
        print(f"error: {text}", file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """Say a warning on standard error."""
        if not self.quiet:
            print(f"warning: {text}", file=sys.stderr, flush=True)

    def follow(self, events: Iterable[Event], seen: list[Event] | None = None) -> Event | None:
        """Show the events of a run while it goes on, put them into ``seen``, and return the last one."""
        last: Event | None = None
        with self._progress():
            for event in events:
                last = event
                if seen is not None:
                    seen.append(event)
                if self.as_json:
                    print(event.to_json(), flush=True)
                else:
                    self._show(event)
        return last

    @contextmanager
    def _progress(self) -> Iterator[None]:
        if self.quiet or self.as_json or not self.console.is_terminal:
            yield
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=self.console) as bar:
            self._bar, self._task = bar, None
            yield
        self._bar = self._task = None

    def _show(self, event: Event) -> None:
        if isinstance(event, Started):
            self._started(event)
        elif isinstance(event, Step):
            self._advance(f"{event.stage} epoch {event.epoch}")
        elif isinstance(event, Epoch):
            self.say(epoch_line(event))
        elif isinstance(event, Doing):
            self._doing(event)
        elif isinstance(event, Skipped):
            self.error(f"{event.subject} is skipped: {event.reason}")
        elif isinstance(event, Kept):
            self.say(f"{len(event.subjects)} subject{'' if len(event.subjects) == 1 else 's'} predicted before: kept")
        elif isinstance(event, Noted):
            self.warn(f"{event.subject}: {event.text}")
        elif isinstance(event, SteppedDown):
            self.warn(event.sentence)
        elif isinstance(event, Stopped):
            self.say(stopped_line(event))
        elif isinstance(event, Finished):
            self.say(f"finished in {duration(event.seconds)}: {event.model}")
        elif isinstance(event, Failed) and not event.echo:
            self.error(event.sentence)

    def _started(self, event: Started) -> None:
        held = f"{len(event.validation)} held out" if event.validation else "none held out"
        subjects = f"{len(event.training)} subject{'' if len(event.training) == 1 else 's'}"
        epochs = f"{event.epochs} epoch{'' if event.epochs == 1 else 's'} each"
        self.say(
            f"{'resumed' if event.resumed else 'training'} on {subjects} ({held}), "
            f"{' then '.join(event.stages)}, {epochs}, on {in_precision(event.device, event.precision)}"
        )
        for note in event.notes:
            self.warn(note)
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task("", total=len(event.stages) * event.epochs * event.steps)

    def _advance(self, description: str) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=1, description=description)

    def _doing(self, event: Doing) -> None:
        text = f"{event.task} {event.detail}".strip()
        if self._bar is not None:
            if self._task is None or self._bar.tasks[-1].total != event.total:
                if self._task is not None:
                    self._bar.remove_task(self._task)
                self._task = self._bar.add_task(text, total=event.total)
            self._bar.update(self._task, completed=event.done, description=text)
        elif event.done == event.total or time.monotonic() - self._said > 5:
            # a log wants a line now and then, not one for every subject
            self._said = time.monotonic()
            self.say(f"{text} ({event.done}/{event.total})")


def stopped_line(event: Stopped) -> str:
    """Return where a run or a prediction was stopped, and how to go on."""
    if event.epoch == 0:
        return f"stopped after {event.step} subjects; the same command goes on with the others"
    return f"stopped in {event.stage}, epoch {event.epoch}, after step {event.step}; --resume goes on"


def epoch_line(event: Epoch) -> str:
    """Return an epoch as one line: every loss term, the balance, the validation, the time left."""
    parts = [f"{name} {value:.4g}" for name, value in event.losses.items()]
    if event.balance is not None:
        parts.append(f"D right {event.balance:.0%}")
    parts += [f"held-out {name} {value:.4g}" for name, value in event.validation.items()]
    return f"{event.stage} {event.epoch}/{event.epochs}: {', '.join(parts)}; about {duration(event.seconds_left)} left"


@contextmanager
def stops_on_interrupt(stop: StopRequest, output: Output) -> Iterator[None]:
    """Turn the first Ctrl-C (and SIGTERM) into a request to save and stop; a second Ctrl-C ends at once."""

    def ask(number: int, frame: Any) -> None:
        if stop:
            raise KeyboardInterrupt
        stop.request()
        output.warn("stopping: what is under way is finished and saved (Ctrl-C again ends it at once)")

    kept = {each: signal.signal(each, ask) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in kept.items():
            signal.signal(each, handler)
