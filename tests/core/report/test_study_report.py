"""Tables, figures and page of a study from a table of results made by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from napari_myelin.core.errors import MyelinError
from napari_myelin.core.evaluation.comparison import compare, correlations, group_tests
from napari_myelin.core.evaluation.results import Results, Row, read_results, write_results
from napari_myelin.core.evaluation.significance import unpaired
from napari_myelin.core.report.study_curves import falls, training_curves
from napari_myelin.core.report.study_figures import study_figures
from napari_myelin.core.report.study_markdown import write_markdown
from napari_myelin.core.report.study_page import write_study_page
from napari_myelin.core.report.study_tables import Table, tables, way_to_ceiling

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


@pytest.fixture
def results() -> Results:
    every = [row for method in MSE for row in rows(method)] + rows("refiner", "MTR")
    return Results(tuple(every), {"phantom": True, "reference": "refiner"})


def named(results: Results, name: str) -> Table:
    return next(table for table in tables(results) if table.name == name)


def test_mean_and_sd_marks_and_both_tests_are_those_worked_by_hand(results: Results) -> None:
    pairs = [("linear", ALL), ("unet", ALL), ("refiner", ALL)]
    linear, unet, refiner = compare(results, pairs, "image", "mse", ("refiner", ALL))
    assert (linear.mean, refiner.mean, linear.count) == (9.0, 4.5, 8)
    assert refiner.sd == pytest.approx(6**0.5)  # squares of +-.5, 1.5, 2.5, 3.5: 42 / 7
    # linear is higher for all 8: 2 of 2^8 signings, the smaller of two tests times 2 (Holm)
    assert linear.paired == pytest.approx(2 * 2 / 256)
    # unet differs for two subjects only, +2 and +1: 2 of 2^2 signings, times 1
    assert unet.paired == pytest.approx(2 / 4)
    assert linear.unpaired == pytest.approx(unpaired(MSE["refiner"], MSE["linear"]))
    assert linear.marks == "*†"
    assert unet.marks == refiner.marks == ""


def test_a_row_that_beats_the_reference_says_so(results: Results) -> None:
    (refiner,) = compare(results, [("refiner", ALL)], "image", "mse", ("linear", ALL))
    assert refiner.marks == "°"


def test_tables_1_to_4_are_in_the_papers_layout(results: Results) -> None:
    first, second = named(results, "table1"), named(results, "table2")
    assert first.header == ("", "MSE")
    assert first.rows[0] == ("Voxelwise linear", "9.0000 (4.8990)*†")
    assert first.rows[-1] == ("Refiner (Proposed)", "4.5000 (2.4495)")
    assert second.header == ("", "WM in HC", "MS Lesions")
    third = named(results, "table3")
    assert [row[0] for row in third.rows] == ["MTR", "MTR+DTI"]
    assert "n = 6 patients and 2 controls" in first.caption


def test_bland_altman_limits_of_the_table_are_those_worked_by_hand(results: Results) -> None:
    # wobbles: mean 0, squares 2 (1 + 4 + 9) 1e-4 = 28e-4, sample SD sqrt(28e-4 / 5) = .02366, limits 1.96 x = .0464
    rows = {row[0]: row for row in named(results, "table6").rows}
    assert rows["Refiner (Proposed)"][2] == "+0.000 [-0.046, +0.046]"
    assert rows["Voxelwise linear"][2] == "+0.100 [+0.054, +0.146]"


def test_a_share_is_neither_good_nor_bad_and_has_no_mark(results: Results) -> None:
    # every method says .25 of all patients, the Refiner here .75: far off by any test
    changed = [
        replace(row, value=0.75 + 0.01 * number) if (row.method, row.metric) == ("refiner", "share_predicted") else row
        for number, row in enumerate(results.rows)
    ]
    table = named(Results(tuple(changed), results.facts), "table5")
    assert table.header[-2:] == ("Demyelinated share", "The same, measured")
    row = next(row for row in table.rows if row[0] == "Voxelwise linear")
    assert row[-2:] == ("0.250 (0.000)", "0.500 (0.000)")


def test_every_row_is_tested_against_the_accurate_preset_too(results: Results) -> None:
    accurate = [replace(row, method="accurate") for row in results.rows if (row.method, row.inputs) == ("refiner", ALL)]
    table = named(Results((*results.rows, *accurate), results.facts), "table10")
    assert table.title == "Table 10. Both tests in full, against the Accurate preset"
    rows = {row[0]: row for row in table.rows}
    assert list(rows) == ["Voxelwise linear", "3D U-Net", "Refiner (Proposed)"]
    # as against the Refiner, whose copy it is, but in a family of three: 2 / 256 times 3
    assert rows["Voxelwise linear"][1].endswith(f"/ {3 * 2 / 256:.3f} ▼".replace("0.", "."))
    assert not any(table.name == "table10" for table in tables(results))


def test_time_of_training_is_the_mean_over_folds_beside_the_references(results: Results) -> None:
    runs = {
        "cascade_fold1": {"inputs": ALL, "seconds": {"sketcher": 60, "refiner": 180}, "device": "cpu (1 thread)"},
        "cascade_fold2": {"inputs": ALL, "seconds": {"sketcher": 120, "refiner": 300}, "device": "cpu (1 thread)"},
        "unet_fold1": {"inputs": ALL, "seconds": {"unet": 120}, "device": "cpu (1 thread)"},
        "cascade_MTR_fold1": {"inputs": "MTR", "seconds": {"refiner": 120}, "device": "cpu (1 thread)"},
    }
    table = named(Results(results.rows, {**results.facts, "training": runs}), "table11")
    assert table.rows == [
        ("3D U-Net", "MTR+DTI", "1", "2.0", "2.0 to 2.0", "0.50"),
        ("Sketcher", "MTR+DTI", "2", "1.5", "1.0 to 2.0", "0.38"),
        ("Refiner (Proposed)", "MTR+DTI", "2", "4.0", "3.0 to 5.0", "1.00"),
        ("Refiner (Proposed)", "MTR", "1", "2.0", "2.0 to 2.0", "0.50"),
    ]
    assert table.header[-1] == "Times the Refiner (Proposed)"
    assert table.caption.endswith("On cpu (1 thread).")


def test_training_curves_go_on_from_stage_to_stage_and_held_out_points_lie_at_their_epochs(results: Results) -> None:
    curves = {
        "sketcher": {"term": "l1", "training": [4.0, 3.0], "held_out": [[2, 3.5]]},
        "refiner": {"term": "l1", "training": [2.0, 1.0], "held_out": [[1, 2.5], [2, 1.5]]},
    }
    runs = {"cascade_fold1": {"inputs": ALL, "seconds": {"sketcher": 1, "refiner": 2}, "curves": curves}}
    figure = training_curves(Results(results.rows, {**results.facts, "training": runs}))
    assert figure is not None
    (panel,) = figure.figure.axes
    assert panel.get_title() == "Refiner (Proposed), MTR+DTI"
    boundary, training, held = panel.lines
    assert list(boundary.get_xdata()) == [2.5, 2.5]
    assert (list(training.get_xdata()), list(training.get_ydata())) == ([1, 2, 3, 4], [4, 3, 2, 1])
    assert (list(held.get_xdata()), list(held.get_ydata())) == ([2, 3, 4], [3.5, 2.5, 1.5])
    assert training_curves(results) is None


def test_how_far_a_curve_still_fell_is_worked_by_hand() -> None:
    # quarters 4, 2, 1 and .75: the last against the one before
    assert falls([4, 4, 2, 2, 1, 1, 0.5, 1.0]) == pytest.approx(0.25)
    assert falls([3, 2, 1]) is None


def test_the_main_inputs_are_those_of_the_study_not_those_that_happened_to_be_done_first(results: Results) -> None:
    first = tuple(row for row in results.rows if row.inputs == "MTR" or row.method == "linear")
    one_each = Results((*rows("unet", "MTR"), *rows("refiner", "MTR"), *first))
    assert one_each.main == "MTR"
    assert Results(one_each.rows, {"main": ALL}).main == ALL
    assert Results(one_each.rows, {"main": "FA"}).main == "MTR"  # nothing of it is done


def test_patients_without_a_white_matter_mask_are_counted_by_their_lesions() -> None:
    only = Results((Row("linear", ALL, "fold1", "sub-01", "lesion", "voxel_error", 0.1),))
    assert (only.patients, only.controls) == (["sub-01"], [])


def test_way_to_the_ceiling_is_the_share_of_the_distance_from_the_best_baseline() -> None:
    errors = {"linear": 0.12, "boosting": 0.10, "unet": 0.09, "sketcher": 0.11, "ceiling": 0.06}
    rows = [Row(name, ALL, "fold1", "sub-01", "lesion", "voxel_error", error) for name, error in errors.items()]
    way = way_to_ceiling(Results(tuple(rows)))
    # from .10 to .06 is .04: the U-Net goes .01 of it, the Sketcher .01 the other way
    assert way == pytest.approx({"linear": -0.5, "boosting": 0.0, "unet": 0.25, "sketcher": -0.25, "ceiling": 1.0})
    assert way_to_ceiling(Results(tuple(rows[:3]))) == {}


def test_correlations_and_group_tests(results: Results) -> None:
    lesions, count, patients, people = correlations(results, ("refiner", ALL))
    assert (count, people) == (6, 6)
    # true +-.1 and 0 twice each; covariance sums: .04 + .1 x (.02 - .03 - .01 + .02) = .04; predicted squares below
    true = [value - 1.1 for value in TRUE]
    ours = [a + b for a, b in zip(true, WOBBLE, strict=True)]
    mixed = sum(a * b for a, b in zip(true, ours, strict=True))
    expected = mixed / (sum(a * a for a in true) * sum(b * b for b in ours)) ** 0.5
    assert lesions == pytest.approx(expected)
    assert patients == pytest.approx(expected)
    tests = group_tests(results, ("refiner", ALL), "dvr_true")
    assert tests.nawm_wm == pytest.approx(unpaired(TRUE, [1.2, 1.2]))
    assert tests.lesion_nawm == pytest.approx(1.0)


def test_every_figure_says_phantom_n_and_what_bars_are(results: Results, tmp_path: Path) -> None:
    page = write_study_page(tmp_path, results).read_text()
    figures = study_figures(results)
    names = {figure.name for figure in figures}
    assert names >= {"fig6", "fig7", "fig8a", "fig10"}
    for name in names:
        assert (tmp_path / "figures" / f"{name}.png").read_bytes()[1:4] == b"PNG"
        text = re.sub(r"<[^>]+>|\s+", " ", (tmp_path / "figures" / f"{name}.svg").read_text())
        assert "Phantom: simulated subjects, n = 6 patients and 2 controls." in re.sub(r" +", " ", text), name
    for figure in figures:
        assert any(word in figure.caption for word in ("bar", "Boxes", "point", "dashed")), figure.caption
    assert "Nobody was scanned" in page
    assert not re.search(r'(src|href)="(?!#|data:)', page)  # nothing is loaded from elsewhere
    assert "Dice of the masks 0.62 ± 0.09" in page  # .5, .55, ..., .75


def test_a_cohort_without_white_matter_masks_or_controls_has_a_page_of_what_it_has(
    results: Results, tmp_path: Path
) -> None:
    only = Results(
        tuple(row for row in results.rows if row.region in ("image", "brain", "lesion") and row.subject in PATIENTS)
    )
    page = write_study_page(tmp_path, only).read_text()
    assert "n = 6 patients and 0 controls" in page
    assert "WM in HC" not in page
    assert (tmp_path / "figures" / "fig6.png").exists()
    assert named(only, "table6").rows[0][1] == "n/a [n/a, n/a]"


def test_real_subjects_are_not_called_a_phantom(results: Results, tmp_path: Path) -> None:
    real = Results(results.rows, {"phantom": False, "reference": "refiner"})
    page = write_study_page(tmp_path, real).read_text()
    assert "Real subjects, n = 6 patients" in page
    assert "hantom" not in page


def test_markdown_holds_our_tables_next_to_the_papers(results: Results, tmp_path: Path) -> None:
    text = write_markdown(tmp_path / "results.md", results).read_text()
    assert "| Voxelwise linear | 9.0000 (4.8990)\\*† |" in text
    assert "| Refiner (Proposed) | 0.0083 (0.0037) | 30.044 (1.095) |" in text
    assert "simulated subjects (a phantom)" in text
    order = "- MSE, best first: Refiner (Proposed), 3D U-Net; the same order as in the paper."
    assert order in text


def test_markdown_says_where_the_order_differs_from_the_papers_and_takes_notes(
    results: Results, tmp_path: Path
) -> None:
    turned = {"refiner": "unet", "unet": "refiner"}
    swapped = Results(tuple(replace(row, method=turned.get(row.method, row.method)) for row in results.rows))
    text = write_markdown(tmp_path / "results.md", swapped, "## What it shows\nThe U-Net wins.\n").read_text()
    assert "3D U-Net, Refiner (Proposed); in the paper Refiner (Proposed), 3D U-Net." in text
    assert text.index("The U-Net wins.") < text.index("## Table 1.")


def test_results_are_read_as_they_were_written(results: Results, tmp_path: Path) -> None:
    write_results(tmp_path / "results.tsv", results)
    again = read_results(tmp_path / "results.tsv")
    assert [(row.method, row.subject, row.region, row.metric) for row in again.rows] == [
        (row.method, row.subject, row.region, row.metric) for row in results.rows
    ]
    assert [row.value for row in again.rows] == pytest.approx([row.value for row in results.rows], rel=1e-7, abs=1e-15)
    assert again.facts == results.facts


def test_a_table_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "results.tsv").write_text("method\tvalue\n")
    with pytest.raises(MyelinError, match="is no table of results: expected the columns method, inputs"):
        read_results(tmp_path / "results.tsv")
    (tmp_path / "results.tsv").write_text("method\tinputs\tfold\tsubject\tregion\tmetric\tvalue\na\tb\n")
    with pytest.raises(MyelinError, match="row 1 is not a row of results"):
        read_results(tmp_path / "results.tsv")
