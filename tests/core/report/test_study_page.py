"""Figures, page and Markdown of a study from a table of results made by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from study_rows import ALL, PATIENTS, named

from napari_myelin.core.errors import MyelinError
from napari_myelin.core.evaluation.results import Results, read_results, write_results
from napari_myelin.core.report.study_curves import falls, training_curves
from napari_myelin.core.report.study_figures import study_figures
from napari_myelin.core.report.study_markdown import write_markdown
from napari_myelin.core.report.study_page import write_study_page


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
