"""A study's results made by hand, whose tables are worked by hand too."""

from __future__ import annotations

from napari_myelin.core.evaluation.results import Results, Row
from napari_myelin.core.report.study_tables import Table, tables

ALL = "MTR+FA+RD+AD"
PATIENTS, CONTROLS = [f"sub-{n:02d}" for n in range(1, 7)], ["sub-07", "sub-08"]
# per subject, patients first
MSE = {"linear": [2, 4, 6, 8, 10, 12, 14, 16], "unet": [3, 2, 3, 4, 5, 6, 7, 9], "refiner": [1, 2, 3, 4, 5, 6, 7, 8]}
TRUE, SHIFT = [1.0, 1.1, 1.2, 1.0, 1.1, 1.2], {"linear": 0.1, "unet": 0.05, "refiner": 0.0}
WOBBLE = [0.01, -0.01, 0.02, -0.02, 0.03, -0.03]


def rows(method: str, inputs: str = ALL) -> list[Row]:
    made = []

    def add(subject: str, region: str, metric: str, value: float) -> None:
        made.append(Row(method, inputs, "fold1", subject, region, metric, value))

    for subject, mse in zip([*PATIENTS, *CONTROLS], MSE[method], strict=True):
        add(subject, "image", "mse", mse)
        add(subject, "brain", "dvr_true", 1.0)
        add(subject, "brain", "dvr_predicted", 1.0)
    for subject in CONTROLS:
        add(subject, "wm", "dvr_true", 1.2)
        add(subject, "wm", "dvr_predicted", 1.2)
        add(subject, "wm", "discrepancy", 0.0)
    for number, subject in enumerate(PATIENTS):
        predicted = TRUE[number] + SHIFT[method] + WOBBLE[number]
        for region in ("nawm", "lesion", "lesion-01"):
            add(subject, region, "dvr_true", TRUE[number])
            add(subject, region, "dvr_predicted", predicted)
        add(subject, "lesion", "discrepancy", abs(predicted - TRUE[number]))
        add(subject, "lesion", "share_true", 0.5)
        add(subject, "lesion", "share_predicted", 0.25)
        add(subject, "lesion", "dice", 0.5 + 0.05 * number)
    return made


def made_by_hand() -> Results:
    every = [row for method in MSE for row in rows(method)] + rows("refiner", "MTR")
    return Results(tuple(every), {"phantom": True, "reference": "refiner"})


def named(results: Results, name: str) -> Table:
    return next(table for table in tables(results) if table.name == name)
