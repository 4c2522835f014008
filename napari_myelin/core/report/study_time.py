"""How long each method's training took, from the facts beside a study's results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_myelin.core.evaluation.metrics import mean_sd
from napari_myelin.core.evaluation.results import Results
from napari_myelin.core.report.study_cells import Table
from napari_myelin.core.report.study_names import TITLES, inputs_title, method_title


def training_time(results: Results) -> Table | None:
    """Return the table of minutes that a fold's training took, by method and inputs; None where nothing is known."""
    seconds: dict[tuple[str, str], list[float]] = {}
    for each in results.facts.get("training", {}).values():
        for method, value in each.get("seconds", {}).items():
            seconds.setdefault((method, each["inputs"]), []).append(float(value))
    seconds.pop(("noise-free", "none"), None)  # nothing is trained
    if not seconds:
        return None
    reference = seconds.get((str(results.facts.get("reference", "")), results.main))
    base = mean_sd(reference)[0] if reference else 0.0
    order = list(TITLES)
    rows: list[tuple[str, ...]] = []
    for (method, inputs), values in sorted(
        seconds.items(), key=lambda item: (item[0][1] != results.main, _place(item[0][0], order))
    ):
        mean = mean_sd(values)[0]
        span = f"{min(values) / 60:.1f} to {max(values) / 60:.1f}"
        against = f"{mean / base:.2f}" if base else ""
        rows.append((method_title(method), inputs_title(inputs), str(len(values)), f"{mean / 60:.1f}", span, against))
    name = method_title(str(results.facts.get("reference", "")))
    caption = (
        "Training alone, without prediction and measurement: from a run's beginning to the end of the method's last "
        f"stage, its share of a run that several methods are stages of.{_where(results.facts)}"
    )
    header = ("", "Inputs", "Runs", "Minutes, mean", "Minutes, range", f"Times the {name}")
    return Table("table11", "Table 11. Time of training", caption, header, rows)


def _place(method: str, order: list[str]) -> int:
    return order.index(method) if method in order else len(order)


def _where(facts: Mapping[str, Any]) -> str:
    devices = sorted({each["device"] for each in facts.get("training", {}).values() if "device" in each})
    where = [*([", ".join(devices)] if devices else []), *([str(facts["computer"])] if facts.get("computer") else [])]
    return f" On {'; '.join(where)}." if where else ""
