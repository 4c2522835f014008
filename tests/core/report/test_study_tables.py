"""Tables of a study from a table of results made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from study_rows import ALL, MSE, TRUE, WOBBLE, named, rows

from napari_myelin.core.evaluation.comparison import compare, correlations, group_tests
from napari_myelin.core.evaluation.results import Results, Row
from napari_myelin.core.evaluation.significance import unpaired
from napari_myelin.core.report.study_tables import tables, way_to_ceiling


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
