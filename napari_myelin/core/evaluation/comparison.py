"""Methods beside each other: mean (SD) of a number over subjects, and whether the reference differs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from napari_myelin.core.evaluation.metrics import correlation, mean_sd
from napari_myelin.core.evaluation.results import Results, values
from napari_myelin.core.evaluation.significance import LEVEL, holm, paired, unpaired

Trained = tuple[str, str]  # method and inputs
HIGHER_IS_BETTER = ("psnr", "psnr_2.89", "ssim", "dice", "correlation")


@dataclass(frozen=True)
class Cell:
    """One number of one method over subjects, held against the reference.

    ``mean``, ``sd`` (sample) and ``count``; ``unpaired`` is p of the paper's t-test, ``paired`` that of Wilcoxon's
    test, corrected for the rows of its column (Holm), NaN where there is no test; ``worse`` says whether the
    reference's mean is the better one.
    """

    mean: float
    sd: float
    count: int
    unpaired: float = math.nan
    paired: float = math.nan
    worse: bool = False

    @property
    def marks(self) -> str:
        """``*`` the reference is better by the t-test, ``†`` by the paired test, ``°`` worse by the paired test."""
        if self.worse:
            return ("*" if self.unpaired < LEVEL else "") + ("†" if self.paired < LEVEL else "")
        return "°" if self.paired < LEVEL else ""


def compare(
    results: Results, rows: Sequence[Trained], region: str, metric: str, reference: Trained | None
) -> list[Cell]:
    """Return a cell for each row of a column; all tests of the column are one family.

    Parameters
    ----------
    results
        Of the study.
    rows
        Method and inputs of each row.
    region, metric
        Which number.
    reference
        What the others are held against; itself has no test. None for no tests.
    """
    base = results.of(*reference, region, metric) if reference is not None else {}
    subjects = sorted(base)
    numbers = [results.of(*row, region, metric) for row in rows]
    plain, signed = [], []
    for row, number in zip(rows, numbers, strict=True):
        tested = bool(base) and bool(number) and row != reference
        plain.append(unpaired(list(base.values()), list(number.values())) if tested else math.nan)
        signed.append(paired(values(base, subjects), values(number, subjects)) if tested else math.nan)
    best = mean_sd(list(base.values()))[0]
    cells = []
    for number, one, other in zip(numbers, plain, holm(signed), strict=True):
        mean, sd, count = mean_sd(list(number.values()))
        worse = mean < best if metric in HIGHER_IS_BETTER else mean > best
        cells.append(Cell(mean, sd, count, one, other, worse))
    return cells


def correlations(results: Results, row: Trained) -> tuple[float, int, float, int]:
    """Return Pearson's r and the number of pairs, over lesions above 106 mm3 and over patients' mean lesion DVR."""
    lesions = results.lesions(*row)
    patients = list(results.pairs(*row, "lesion").values())
    return (
        correlation([pair[0] for pair in lesions], [pair[1] for pair in lesions]),
        len(lesions),
        correlation([pair[0] for pair in patients], [pair[1] for pair in patients]),
        len(patients),
    )


@dataclass(frozen=True)
class GroupTests:
    """p of Student's t-test: NAWM of patients against white matter of controls, and lesions against NAWM."""

    nawm_wm: float
    lesion_nawm: float


def group_tests(results: Results, row: Trained, metric: str = "dvr_predicted") -> GroupTests:
    """Return the paper's two group tests on regions' mean DVR (``dvr_predicted``, or ``dvr_true`` for the truth)."""
    wm, nawm, lesion = (list(results.of(*row, region, metric).values()) for region in ("wm", "nawm", "lesion"))
    return GroupTests(unpaired(nawm, wm), unpaired(lesion, nawm))
