"""Models of a study, trained at one site of the phantom, on the same people scanned at another.

    napari-myelin-train phantom B --site B ...       # the rest as the study's cohort was made
    python benchmarks/sites.py STUDY A B [--json FILE]

Each fold's models and voxelwise baselines, trained on site A, predict the people held out from it, from their maps of
site B; the measured DVR is that of site B too, which has noise of its own. The study has to be done; nothing of it is
changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from table import Row as Line
from table import arguments, machine, report

from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.evaluation.comparison import compare
from napari_myelin.core.evaluation.results import Results, Row
from napari_myelin.core.evaluation.score import Truth
from napari_myelin.core.inference.model import load_model, says_variance
from napari_myelin.core.inference.predict import predict
from napari_myelin.core.study.measure import prediction_rows
from napari_myelin.core.study.options import read_study
from napari_myelin.core.study.parts import Part, Plan, open_plan
from napari_myelin.core.study.voxelwise import train_boosting, train_linear
from napari_myelin.core.study.work import Predictor, fold_threshold, part_of_cascade, predicted_below, stages
from napari_myelin.core.training.names import MODEL

BASELINES = {"linear": train_linear, "boosting": train_boosting}
MEASURES = (
    ("MSE", "image", "mse"),
    ("NAWM", "nawm", "discrepancy"),
    ("lesions", "lesion", "discrepancy"),
    ("lesion voxels", "lesion", "voxel_error"),
    ("Dice", "lesion", "dice"),
)
JUDGED = "accurate"  # has to beat the baselines


def rows_of(plan: Plan, part: Part, other: Cohort) -> Iterator[Row]:
    """Yield every number of one part's methods, for the people held out, at the other site."""
    fold, resample = part.folds[0], plan.study.options.data.resample
    threshold = fold_threshold(plan, fold)
    held = other.select(fold.held_out).subjects
    baseline: Predictor | None = None
    if part.kind != "network":
        baseline = BASELINES[part.kind](plan.training(fold), part.inputs, plan.study)
    for method in part.methods:
        model = None
        if baseline is None:
            model = load_model(plan.place(part) / "run" / MODEL)
            model = stages(model, method.refiners + 1 if part_of_cascade(part) else 0)
        for subject in held:
            on_grid = None if threshold is None else threshold.on(subject, subject.volume("dvr", resample))
            truth, who = Truth.of(subject, on_grid, resample), (method.name, part.inputs, fold.name)
            if model is None:
                assert baseline is not None
                yield from prediction_rows(truth, baseline(subject), who)
                continue
            made = predict([model], subject, resample=resample)
            said = made.uncertainty is not None and says_variance([model.card.options])
            sd = made.uncertainty.array if said and made.uncertainty is not None else None
            below = predicted_below(truth.threshold, sd, model.card.options)
            yield from prediction_rows(truth, made.dvr.array, who, below, sd)


def main() -> None:
    """Predict, compare and print."""
    parser = arguments(__doc__)
    for name, what in (("study", "folder of a study"), ("cohort", "its cohort"), ("other", "the other site's")):
        parser.add_argument(name, type=Path, help=what)
    given, began = parser.parse_args(), machine()
    cohort, other = open_cohort(given.cohort), open_cohort(given.other)
    study = read_study(given.study / "study.toml")
    plan = open_plan(cohort, study, given.study, write=False)
    wanted = [part for part in plan.parts if part.inputs == study.main and part.kind in ("network", *BASELINES)]
    parts = [part for part in wanted if plan.done(part)]
    results = Results(tuple(row for part in parts for row in rows_of(plan, part, other)))
    tested = [(name, study.main) for name in results.methods(study.main)]
    columns = {
        name: compare(results, tested, region, metric, (JUDGED, study.main)) for name, region, metric in MEASURES
    }
    lines = []
    for place, (method, _) in enumerate(tested):
        cells = {name: cells[place] for name, cells in columns.items()}
        words = "; ".join(
            f"{name} {cell.mean:.5f}" + (f" (p {cell.paired:.2g})" if cell.paired == cell.paired else "")
            for name, cell in cells.items()
        )
        values = {name: {"mean": cell.mean, "sd": cell.sd, "p_holm": cell.paired} for name, cell in cells.items()}
        behind = all(cells[name].worse and cells[name].paired < 0.05 for name in ("MSE", "lesion voxels"))
        target = f"behind {JUDGED} in MSE and lesion voxels, p < .05" if method in BASELINES else ""
        lines.append(Line(method, words, target, behind if target else None, values))
    report(f"Trained at one site, the same people scanned at another ({other.name})", lines, given.json, began)


if __name__ == "__main__":
    main()
