"""What the tables and figures of a study call things, and which rows they have."""

from __future__ import annotations

import math

from napari_myelin.core.evaluation.comparison import Trained
from napari_myelin.core.evaluation.results import Results

TITLES = {
    "linear": "Voxelwise linear",
    "boosting": "Voxelwise gradient boosting",
    "two_layer": "2-Layer DNN",
    "unet": "3D U-Net",
    "unet_weighted": "3D U-Net+L1W",
    "sketcher": "Sketcher",
    "sketcher_weighted": "Sketcher+L1W",
    "refiner": "Refiner (Proposed)",
    "refiner2": "Refiner x2",
    "refiner3": "Refiner x3",
    "accurate": "Accurate preset",
    "ceiling": "Practical ceiling",
    "noise-free": "Noise-free truth",
}
BOUNDS = ("ceiling", "noise-free")  # no method that could be used: shown below the others, not tested
FULL = {"MTR+FA+RD+AD": "MTR+DTI", "FA+RD+AD": "DTI"}


def method_title(method: str) -> str:
    """Return what a reader calls a method."""
    return TITLES.get(method, method)


def inputs_title(inputs: str) -> str:
    """Return what the paper calls a set of inputs."""
    return FULL.get(inputs, inputs)


def trained(results: Results) -> list[Trained]:
    """Return the rows of the main tables: every method on all inputs, the bounds of a phantom last."""
    main = results.main
    rows = [(method, main) for method in results.methods(main)]
    noise = [(method, inputs) for method in BOUNDS for inputs in results.inputs(method) if inputs != main]
    order = list(TITLES)
    rows.sort(key=lambda row: order.index(row[0]) if row[0] in order else len(order))
    return [row for row in rows if row[0] not in BOUNDS] + [row for row in rows if row[0] in BOUNDS] + noise


def reference_of(results: Results) -> Trained | None:
    """Return the method that the others are tested against, None where it was not judged."""
    method = str(results.facts.get("reference", "refiner"))
    return (method, results.main) if method in results.methods(results.main) else None


def count(results: Results) -> str:
    """Return in words how many patients and controls were judged."""
    return f"n = {len(results.patients)} patients and {len(results.controls)} controls"


def p_text(value: float) -> str:
    """Return a p value as it is printed: ``.023``, ``< .001``, ``n/a``."""
    if not math.isfinite(value):
        return "n/a"
    return "< .001" if value < 0.001 else "1" if value > 0.9995 else f"{value:.3f}".removeprefix("0")
