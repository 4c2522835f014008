"""The work behind Evaluate: predict a cohort, compare with the measured DVR, write the page; off the main thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.events import Event, Saved, StopRequest
from napari_myelin.core.options import RuntimeOptions
from napari_myelin.core.prediction_options import PredictionOptions
from napari_myelin.widgets.settings import threads

SHORT = {"linear": "Linear", "noise-free": "Noise-free"}
TABLES = "evaluation"  # folder inside the predictions


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What was evaluated: the engine's ``evaluation`` of the predictions in ``folder`` for a ``cohort``.

    ``names``, ``columns`` and ``digits`` say what the page calls methods and measures, and how it rounds them.
    """

    folder: Path
    cohort: Cohort
    evaluation: Any
    names: dict[str, str]
    columns: dict[str, str]
    digits: dict[str, int]

    @property
    def phantom(self) -> bool:
        """Whether the subjects are simulated."""
        return bool(self.evaluation.phantom)

    def short(self, method: str) -> str:
        """Return what a method is called where there is little room."""
        return SHORT.get(method, self.names.get(method, method))


def predict_all(
    model: Path, cohort: Cohort, folder: Path, options: PredictionOptions, device: str, stop: StopRequest
) -> Iterator[Event]:
    """Predict every subject of a cohort into a folder; the engine's events.

    Raises
    ------
    MyelinError
        As `predict_cohort`.
    """
    from napari_myelin.core.inference.cohort import predict_cohort
    from napari_myelin.core.inference.model import load_model
    from napari_myelin.core.runtime import release_memory

    runtime = RuntimeOptions.model_validate({"device": device, "threads": threads()})
    yield from predict_cohort([load_model(model)], cohort, folder, options, runtime, stop=stop)
    release_memory()


def evaluating(folder: Path, cohort: Cohort, resample: bool, stop: StopRequest) -> Iterator[Event | Evaluated]:
    """Compare the predictions in a folder with the cohort's measured DVR.

    Yields
    ------
    Event or Evaluated
        The engine's events, and `Evaluated` last, unless it was stopped.

    Raises
    ------
    MyelinError
        As `evaluate_cohort`.
    """
    # drawing is imported here, in the thread, so that the window does not wait for it
    import matplotlib.backends.backend_qtagg  # noqa: F401

    from napari_myelin.core.evaluation.table import read_evaluation
    from napari_myelin.core.inference.evaluate import evaluate_cohort
    from napari_myelin.core.report.page import COLUMNS, DIGITS, NAMES

    for event in evaluate_cohort(folder, cohort, folder / TABLES, resample=resample):
        yield event
        if stop:
            return
    yield Evaluated(folder, cohort, read_evaluation(folder / TABLES), NAMES, COLUMNS, DIGITS)


def writing_page(done: Evaluated) -> Iterator[Saved]:
    """Write the page of an evaluation.

    Raises
    ------
    MyelinError
        As `write_page`.
    """
    from napari_myelin.core.inference.outputs import read_outputs
    from napari_myelin.core.report.page import PAGE, PageInput, write_page

    title = f"Evaluation on {done.cohort.name or done.cohort.root.name or done.cohort.root}"
    given = PageInput(title, done.cohort, read_outputs(done.folder), done.evaluation)
    yield Saved("page", str(write_page(done.folder / TABLES / PAGE, given)))
