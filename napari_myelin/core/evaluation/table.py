"""From rows to tables: mean (SD) over subjects, correlations, TSV and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from napari_myelin.core.data.volume import write_atomically
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.evaluation.metrics import correlation, mean_sd
from napari_myelin.core.evaluation.score import MEASURES, Score

METRICS, SUMMARY, EVALUATION = "metrics.tsv", "summary.tsv", "evaluation.json"


@dataclass(frozen=True)
class Summary:
    """One number of one method over subjects: mean, sample SD and how many subjects have it.

    For the correlations ``mean`` is Pearson's r, ``sd`` NaN and ``count`` the number of lesions or patients.
    """

    method: str
    measure: str
    mean: float
    sd: float
    count: int


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` measured, and of what."""

    scores: list[Score]
    summary: list[Summary]
    models: list[str]
    threshold: dict[str, Any] | None
    phantom: bool
    warnings: list[str] = field(default_factory=list)

    def of(self, method: str, measure: str) -> Summary | None:
        """Return one cell of the summary, None if it was not measured."""
        return next((each for each in self.summary if (each.method, each.measure) == (method, measure)), None)

    @property
    def methods(self) -> list[str]:
        """The methods in the order of the tables."""
        return list(dict.fromkeys(score.method for score in self.scores))


def summarise(scores: Sequence[Score]) -> list[Summary]:
    """Return mean (SD) over subjects of every measure, and the lesion- and patient-level correlations, per method."""
    rows = []
    for method in dict.fromkeys(score.method for score in scores):
        own = [score for score in scores if score.method == method]
        for measure in MEASURES:
            mean, sd, count = mean_sd([score.values[measure] for score in own])
            if count:
                rows.append(Summary(method, measure, mean, sd, count))
        lesions = [pair for score in own for pair in score.lesions]
        patients = [
            (score.values["lesion_dvr_true"], score.values["lesion_dvr_predicted"])
            for score in own
            if math.isfinite(score.values["lesion_dvr_true"])
        ]
        for measure, pairs in (("correlation_lesions", lesions), ("correlation_patients", patients)):
            r = correlation([pair[0] for pair in pairs], [pair[1] for pair in pairs])
            if math.isfinite(r):
                rows.append(Summary(method, measure, r, math.nan, len(pairs)))
    return rows


def write_evaluation(evaluation: Evaluation, out: Path) -> list[Path]:
    """Write ``metrics.tsv`` (a row a subject and method), ``summary.tsv`` and ``evaluation.json``.

    What does not apply is ``n/a`` in the tables and null in JSON.

    Raises
    ------
    MyelinError
        If the folder cannot be written to.
    """
    lines = ["\t".join(("subject", "group", "method", *MEASURES))]
    for score in evaluation.scores:
        cells = (_cell(score.values[measure]) for measure in MEASURES)
        lines.append("\t".join((score.subject, score.group or "n/a", score.method, *cells)))
    write_atomically(out / METRICS, ("\n".join(lines) + "\n").encode())
    lines = ["method\tmeasure\tmean\tsd\tcount"]
    for row in evaluation.summary:
        lines.append("\t".join((row.method, row.measure, _cell(row.mean), _cell(row.sd), str(row.count))))
    write_atomically(out / SUMMARY, ("\n".join(lines) + "\n").encode())
    table = {"measures": MEASURES, **asdict(evaluation)}
    text = json.dumps(_without_nan(table), indent=1, allow_nan=False)
    write_atomically(out / EVALUATION, (text + "\n").encode())
    return [out / name for name in (METRICS, SUMMARY, EVALUATION)]


def read_evaluation(out: Path) -> Evaluation:
    """Read what `write_evaluation` wrote.

    Raises
    ------
    MyelinError
        If it is not there or not readable.
    """
    try:
        table = json.loads((out / EVALUATION).read_text(encoding="utf-8"))
        scores = [
            Score(
                row["subject"],
                row["group"],
                row["method"],
                {name: math.nan if value is None else value for name, value in row["values"].items()},
                [(true, predicted) for true, predicted in row["lesions"]],
            )
            for row in table["scores"]
        ]
        summary = [Summary(**{**row, "sd": math.nan if row["sd"] is None else row["sd"]}) for row in table["summary"]]
        return Evaluation(
            scores, summary, table["models"], table["threshold"], table["phantom"], list(table["warnings"])
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MyelinError(f"{out} holds no evaluation: give the --out folder of evaluate") from error


def _cell(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else "inf" if value == math.inf else "n/a"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
