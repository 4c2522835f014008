"""One self-contained page of a study: its tables, its figures and what they come from; figures as files too."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from importlib import resources
from io import BytesIO
from pathlib import Path

import matplotlib as mpl

from napari_myelin.core.data.volume import write_atomically
from napari_myelin.core.evaluation.results import Results
from napari_myelin.core.report.curves import to_svg
from napari_myelin.core.report.study_canvas import LOOK, StudyFigure
from napari_myelin.core.report.study_cells import Table
from napari_myelin.core.report.study_figures import study_figures
from napari_myelin.core.report.study_names import count
from napari_myelin.core.report.study_tables import tables

PAGE, FIGURES = "study.html", "figures"
FACTS = {
    "cohort": "Cohort",
    "simulation": "Simulated with",
    "preset": "Preset",
    "maps": "Feature maps",
    "epochs": "Epochs of a stage",
    "folds": "Folds",
    "software": "Software",
    "commit": "Commit",
    "computer": "Computer",
}


def write_study_page(out: Path, results: Results, pictures: Sequence[StudyFigure] = ()) -> Path:
    """Write ``study.html`` and every figure as PNG and SVG below ``figures/``; return the page.

    Parameters
    ----------
    out
        Folder.
    results
        All numbers come from here.
    pictures
        Figures that need the maps themselves (Fig. 4, 8 B, 9 A), where those are at hand.

    Raises
    ------
    MyelinError
        If a file cannot be written.
    """
    figures = sorted([*study_figures(results), *pictures], key=lambda each: _number(each.name))
    drawn = [(figure, write_figure(out / FIGURES, figure)) for figure in figures]
    style = (resources.files("napari_myelin.core.report") / "page.css").read_text(encoding="utf-8")
    body = "\n".join(_sections(results, drawn))
    document = (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width, initial-scale=1"><title>{_title(results)}</title>\n<style>{style}\n{STYLE}'
        f"</style></head>\n<body><main>\n{body}\n</main></body>\n</html>\n"
    )
    path = out / PAGE
    write_atomically(path, document.encode())
    return path


# a figure keeps the size at which its text can be read, and scrolls on a narrow screen
STYLE = """
.study { margin: 1.2rem 0; } .study h3 { margin-bottom: .4rem; } .study .scroll { padding: .6rem; }
.study svg { display: block; max-width: none; margin: 0 auto; } .study figcaption { max-width: 90ch; }
.marks { font-size: .82rem; max-width: 100ch; }
@media (max-width: 520px) { .study td:first-child { white-space: normal; max-width: 7rem; } }
"""


def write_figure(folder: Path, figure: StudyFigure) -> str:
    """Write a figure as PNG (200 dots an inch, white) and SVG; return the SVG for the page, in its text colour.

    Raises
    ------
    MyelinError
        If a file cannot be written.
    """
    buffer = BytesIO()
    with mpl.rc_context(LOOK):
        # laid out once for both files, which is most of the work
        figure.figure.draw_without_rendering()
        figure.figure.set_layout_engine("none")
        figure.figure.savefig(buffer, format="png", dpi=200, facecolor="white", metadata={"Software": None})
        svg = to_svg(figure.figure)
    write_atomically(folder / f"{figure.name}.png", buffer.getvalue())
    write_atomically(folder / f"{figure.name}.svg", svg.replace("currentColor", "#000000").encode())
    return svg


def _number(name: str) -> tuple[int, str]:
    digits = "".join(each for each in name if each.isdigit())
    return int(digits), name


def _title(results: Results) -> str:
    return "Study on a phantom" if results.phantom else "Study"


def _sections(results: Results, drawn: Sequence[tuple[StudyFigure, str]]) -> Iterator[str]:
    yield f"<h1>{_title(results)}</h1>"
    yield (
        '<p class="soft">Myelin maps (PET distribution volume ratio, DVR) predicted from multimodal MRI: methods and '
        f"inputs compared by cross-validation, {count(results)}.</p>"
    )
    yield '<div class="banner">Research software, not a medical device.</div>'
    if results.phantom:
        yield '<div class="banner">Phantom: these subjects are simulated. Nobody was scanned.</div>'
    parts = results.facts.get("parts", {})
    if parts and parts["done"] < parts["planned"]:
        yield f'<div class="banner">Unfinished: {parts["done"]} of {parts["planned"]} parts are done.</div>'
    yield _facts(results)
    yield "<h2>Tables</h2>"
    yield from (table_html(table) for table in tables(results))
    yield "<h2>Figures</h2>"
    yield from (_figure(figure, svg) for figure, svg in drawn)


def _facts(results: Results) -> str:
    facts = {title: str(results.facts[key]) for key, title in FACTS.items() if results.facts.get(key) not in (None, "")}
    seeds = results.facts.get("seeds", {})
    if seeds:
        facts["Seeds"] = ", ".join(f"{name} {value}" for name, value in seeds.items())
    training = [each for each in results.facts.get("training", {}).values() if "stages" in each]
    if training:
        grid = " x ".join(map(str, training[0]["grid"]))
        facts["Grid"] = f"{grid} voxels of {training[0]['spacing'][0]:g} mm"
        minutes = sum(max(each["stages"].values()) for each in training) / 60
        devices = ", ".join(sorted({each["device"] for each in training}))
        facts["Training"] = f"{minutes:.1f} min over {len(training)} runs on {devices}"
    if results.facts.get("command"):
        facts["To do it again"] = str(results.facts["command"])
    items = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in facts.items())
    return f'<dl class="facts">{items}</dl>'


def table_html(table: Table) -> str:
    """Return a table as HTML."""
    head = "".join(f"<th>{html.escape(title)}</th>" for title in table.header)
    rows = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    return (
        f'<section class="study"><h3>{html.escape(table.title)}</h3><div class="scroll"><table><thead><tr>{head}</tr>'
        f'</thead><tbody>{rows}</tbody></table></div><p class="soft marks">{html.escape(table.caption)}</p></section>'
    )


def _figure(figure: StudyFigure, svg: str) -> str:
    return (
        f'<section class="study"><h3>{html.escape(figure.title)}</h3><figure><div class="scroll">{svg}</div>'
        f"<figcaption>{html.escape(figure.caption)}</figcaption></figure></section>"
    )
