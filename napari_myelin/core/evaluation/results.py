"""What a study measured, in long form: one number a row, in one table, with a few facts beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from napari_myelin.core.data.volume import write_atomically
from napari_myelin.core.errors import MyelinError

COLUMNS = ("method", "inputs", "fold", "subject", "region", "metric", "value")
LESION = "lesion-"  # and a number: one lesion above 106 mm3


@dataclass(frozen=True)
class Row:
    """One number: by which method, from which inputs, of whom, where, what."""

    method: str
    inputs: str
    fold: str
    subject: str
    region: str
    metric: str
    value: float


@dataclass(frozen=True, eq=False)
class Results:
    """All rows of a study, and what is known of it: ``phantom``, ``cohort``, ``software``, ..."""

    rows: tuple[Row, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def _index(self) -> dict[tuple[str, str, str, str], dict[str, float]]:
        index: dict[tuple[str, str, str, str], dict[str, float]] = {}
        for row in self.rows:
            index.setdefault((row.method, row.inputs, row.region, row.metric), {})[row.subject] = row.value
        return index

    def of(self, method: str, inputs: str, region: str, metric: str) -> dict[str, float]:
        """Return a number of every subject who has it, by the subject's key; empty if nobody does."""
        return self._index.get((method, inputs, region, metric), {})

    def pairs(self, method: str, inputs: str, region: str) -> dict[str, tuple[float, float]]:
        """Return each subject's (true, predicted) mean DVR of a region."""
        true = self.of(method, inputs, region, "dvr_true")
        predicted = self.of(method, inputs, region, "dvr_predicted")
        return {key: (true[key], predicted[key]) for key in true if key in predicted}

    def lesions(self, method: str, inputs: str) -> list[tuple[float, float]]:
        """Return (true, predicted) mean DVR of every lesion above 106 mm3."""
        regions = dict.fromkeys(
            row.region
            for row in self.rows
            if row.region.startswith(LESION) and (row.method, row.inputs) == (method, inputs)
        )
        return [pair for region in regions for pair in self.pairs(method, inputs, region).values()]

    def methods(self, inputs: str) -> list[str]:
        """Return the methods that were judged on these inputs, in the table's order."""
        return list(dict.fromkeys(row.method for row in self.rows if row.inputs == inputs))

    def inputs(self, method: str) -> list[str]:
        """Return the inputs that a method was judged on, in the table's order."""
        return list(dict.fromkeys(row.inputs for row in self.rows if row.method == method))

    @property
    def main(self) -> str:
        """The inputs of the main tables: what the facts say, else those that most methods were judged on."""
        names = dict.fromkeys(row.inputs for row in self.rows)
        if (said := str(self.facts.get("main", ""))) in names:
            return said
        return max(names, key=lambda each: len(self.methods(each)), default="")

    @property
    def subjects(self) -> list[str]:
        """Keys of everybody who was judged."""
        return sorted({row.subject for row in self.rows})

    @property
    def patients(self) -> list[str]:
        """Keys of those who have lesions, or normal-appearing white matter rather than a control's."""
        return sorted({row.subject for row in self.rows if row.region in ("nawm", "lesion")})

    @property
    def controls(self) -> list[str]:
        """Keys of those whose white matter is a control's."""
        return sorted({row.subject for row in self.rows if row.region == "wm"})

    @property
    def phantom(self) -> bool:
        """Whether the subjects are simulated: it is said, or a noise-free truth is known, which no scanner gives."""
        return bool(self.facts.get("phantom", False)) or any(row.metric == "dvr_noisefree" for row in self.rows)


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as a tab-separated table; what is not finite is left out.

    Raises
    ------
    MyelinError
        If it cannot be written.
    """
    lines = ["\t".join(COLUMNS)]
    for row in rows:
        if math.isfinite(row.value):
            cells = (row.method, row.inputs, row.fold, row.subject, row.region, row.metric, f"{row.value:.8g}")
            lines.append("\t".join(cells))
    write_atomically(path, ("\n".join(lines) + "\n").encode())


def read_rows(path: Path) -> list[Row]:
    """Read what `write_rows` wrote.

    Raises
    ------
    MyelinError
        If the table is missing, has other columns, or a value is no number.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MyelinError(f"cannot read the results {path}: give the results.tsv of a study") from error
    if not lines or lines[0].split("\t") != list(COLUMNS):
        raise MyelinError(f"{path} is no table of results: expected the columns {', '.join(COLUMNS)}")
    rows = []
    for number, line in enumerate(lines[1:]):
        try:
            method, inputs, fold, subject, region, metric, value = line.split("\t")
            rows.append(Row(method, inputs, fold, subject, region, metric, float(value)))
        except ValueError as error:
            raise MyelinError(f"{path}, row {number + 1} is not a row of results: {line[:60]!r}") from error
    return rows


def write_results(path: Path, results: Results) -> list[Path]:
    """Write the table, and the facts as JSON beside it; return both files.

    Raises
    ------
    MyelinError
        If one cannot be written.
    """
    write_rows(path, results.rows)
    facts = path.with_suffix(".json")
    write_atomically(facts, (json.dumps(results.facts, indent=1) + "\n").encode())
    return [path, facts]


def read_results(path: Path) -> Results:
    """Read a table of results and, where there is one, the JSON of facts beside it.

    Raises
    ------
    MyelinError
        As `read_rows`, and where the facts are damaged.
    """
    facts: dict[str, Any] = {}
    beside = path.with_suffix(".json")
    if beside.exists():
        try:
            facts = dict(json.loads(beside.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise MyelinError(f"{beside} cannot be read: copy it again or delete it") from error
    return Results(tuple(read_rows(path)), facts)


def values(numbers: dict[str, float], subjects: Sequence[str]) -> list[float]:
    """Return the numbers of these subjects, NaN where one has none."""
    return [numbers.get(key, math.nan) for key in subjects]
