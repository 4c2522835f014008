"""``napari-myelin-train demo``: a cohort, a model, predictions, an evaluation and a page, from nothing."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from napari_myelin.core.errors import UsageError
from napari_myelin.core.events import Failed, Stopped, StopRequest, duration
from napari_myelin.core.options import Options, RuntimeOptions
from napari_myelin.core.options_file import options_from, preset
from napari_myelin.core.phantom.options import PhantomOptions
from napari_myelin.core.prediction_options import PredictionOptions
from training_cli.arguments import CommonArguments, parse, validated, with_options
from training_cli.evaluate import show
from training_cli.output import Output, stops_on_interrupt

if TYPE_CHECKING:
    from napari_myelin.core.data.cohort import Cohort

# small enough for two cores and a few minutes, fine enough that a lesion is more than a voxel
PHANTOM = PhantomOptions(patients=9, controls=4, shape=(48, 64, 48), spacing=2.44)
TEST_SHARE = 0.25


class DemoArguments(CommonArguments):
    """Simulate a small cohort, train on most of it, predict and evaluate the rest, and write a page to read.

    Everything is under --out: cohort, run, predictions, evaluation and page.html. Research software, not a medical
    device; the subjects are simulated.
    """

    out: Path = Field(Path("napari-myelin-demo"), description="Folder to write; it must not hold a demo.")
    epochs: int = Field(12, description="Epochs of each stage.")


def run(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    arguments = parse(with_options(DemoArguments, settings=PHANTOM, runtime=RuntimeOptions()), "demo", argv)
    phantom = validated(PhantomOptions, arguments.settings)  # type: ignore[attr-defined]
    runtime = validated(RuntimeOptions, arguments.runtime)  # type: ignore[attr-defined]
    if runtime.devices * runtime.num_nodes > 1:
        raise UsageError("the demo runs in one process: leave out --devices and --num-nodes")
    changes = {"training": {"epochs": arguments.epochs, "seed": phantom.seed}, "runtime": runtime.model_dump()}
    options = options_from(changes, preset("demo"))
    return Demo(arguments, phantom, options).run()


class Demo:
    """The parts of the demo, each timed."""

    def __init__(self, arguments: DemoArguments, phantom: PhantomOptions, options: Options) -> None:
        self.arguments, self.phantom, self.options = arguments, phantom, options
        self.out = arguments.out
        self.output = Output(arguments.quiet, arguments.as_json)
        self.seconds: dict[str, float] = {}

    def run(self) -> int:
        """Do all of it; return the exit code."""
        cohort = self._simulate()
        # imported once there is something to train on: torch takes seconds to load
        from napari_myelin.core.training.split import hold_out

        training, test = hold_out(cohort.subjects, TEST_SHARE, self.phantom.seed)
        self.output.say(f"{len(training)} subjects to train on, {len(test)} to evaluate on")
        code = self._fit(cohort.select([subject.key for subject in training]))
        if code:
            return code
        self._judge(cohort.select([subject.key for subject in test]))
        return 0

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[part] = time.monotonic() - began

    def _simulate(self) -> Cohort:
        from napari_myelin.core.data.cohort import open_cohort
        from napari_myelin.core.phantom.cohort import write_cohort

        with self._timed("simulating"):
            self.output.follow(write_cohort(self.out / "cohort", self.phantom))
        return open_cohort(self.out / "cohort")

    def _fit(self, cohort: Cohort) -> int:
        from napari_myelin.core.training.fit import fit

        stop = StopRequest()
        with self._timed("training"), stops_on_interrupt(stop, self.output):
            last = self.output.follow(fit(cohort, self.options, self.out / "run", stop=stop))
        if isinstance(last, Stopped):
            return 130
        if isinstance(last, Failed):
            if self.arguments.as_json:
                self.output.error(last.cause)
            return 2 if last.usage else 1
        return 0

    def _judge(self, cohort: Cohort) -> None:
        from napari_myelin.core.evaluation.table import read_evaluation
        from napari_myelin.core.events import read_events
        from napari_myelin.core.inference.cohort import predict_cohort
        from napari_myelin.core.inference.evaluate import evaluate_cohort
        from napari_myelin.core.inference.model import load_model
        from napari_myelin.core.inference.outputs import read_outputs
        from napari_myelin.core.report.page import PAGE, PageInput, write_page

        run, predictions, tables = (self.out / name for name in ("run", "predictions", "evaluation"))
        with self._timed("predicting"):
            model = load_model(run / "model.safetensors")
            wanted = PredictionOptions(saliency=True, uncertainty=4)
            self.output.follow(predict_cohort([model], cohort, predictions, wanted, self.options.runtime))
        with self._timed("evaluating"):
            self.output.follow(evaluate_cohort(predictions, cohort, tables))
        evaluation = read_evaluation(tables)
        show(evaluation, self.output)
        given = PageInput(
            title="napari-myelin demo",
            cohort=cohort,
            predictions=read_outputs(predictions),
            evaluation=evaluation,
            events=read_events(run / "events.jsonl"),
            facts={"Cohort": self._cohort_fact(), "Took": self._took(), "Computer": computer()},
            commands=self._commands(),
        )
        page = write_page(self.out / PAGE, given)
        self.output.result(page=str(page), seconds=self.seconds)
        self.output.say(f"done in {duration(sum(self.seconds.values()))}; open {page}")
        self.output.say("research software, not a medical device; these subjects are simulated")

    def _cohort_fact(self) -> str:
        own = self.phantom
        shape = " x ".join(map(str, own.shape))
        return (
            f"phantom of {own.patients} patients and {own.controls} controls, {shape} voxels of {own.spacing:g} mm, "
            f"seed {own.seed}"
        )

    def _took(self) -> str:
        return ", ".join(f"{part} {duration(seconds)}" for part, seconds in self.seconds.items())

    def _commands(self) -> list[str]:
        own, shape = self.phantom, " ".join(map(str, self.phantom.shape))
        return [
            f"napari-myelin-train demo --out {self.out} --patients {own.patients} --controls {own.controls} --shape "
            f"{shape} --spacing {own.spacing:g} --seed {own.seed} --epochs {self.arguments.epochs}"
        ]


def computer() -> str:
    """Return the machine in a few words: processor, cores, system."""
    processor = platform.processor() or platform.machine()
    return f"{processor}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
