"""One self-contained HTML page of an evaluation: what was run, on what, how it came out, and pictures."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.volume import write_atomically
from napari_myelin.core.evaluation.table import Evaluation, Summary
from napari_myelin.core.events import Event
from napari_myelin.core.inference.outputs import Predictions
from napari_myelin.core.report.curves import lesion_scatter, loss_curves
from napari_myelin.core.report.subject import subject_section

PAGE = "page.html"
NAMES = {
    "predicted": "Prediction",
    "sketch": "Sketch",
    "linear": "Voxelwise linear model",
    "noise-free": "Noise-free truth",
}
COLUMNS = {
    "mse": "MSE, DVR²",
    "psnr": "PSNR, dB",
    "psnr_2.89": "PSNR (2.89), dB",
    "ssim": "SSIM",
    "discrepancy_wm": "WM in controls, discrepancy",
    "discrepancy_nawm": "NAWM, discrepancy",
    "discrepancy_lesion": "Lesions, discrepancy",
    "lesion_voxel_error": "Lesion voxels, error",
    "dice": "Demyelination, Dice",
    "share_true": "Demyelinated share, measured",
    "share_predicted": "Demyelinated share, in the map",
    "correlation_lesions": "r, lesions",
    "correlation_patients": "r, patients",
}
DIGITS = {"mse": 4, "psnr": 2, "psnr_2.89": 2}


@dataclass(frozen=True)
class PageInput:
    """All that the page shows.

    ``events`` are the training run's, if it is known; ``facts`` more lines for the head of the page; ``commands``
    how to do it again; ``notice`` an attribution that the data ask for.
    """

    title: str
    cohort: Cohort
    predictions: Predictions
    evaluation: Evaluation
    events: Sequence[Event] = ()
    facts: dict[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ()
    notice: str = ""
    subjects: int = 3


def write_page(path: Path, given: PageInput) -> Path:
    """Write the page and return its path.

    Raises
    ------
    MyelinError
        If a map cannot be read, or the page cannot be written.
    """
    style = (resources.files("napari_myelin.core.report") / "page.css").read_text(encoding="utf-8")
    body = "\n".join(_sections(given))
    title = html.escape(given.title)
    document = (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width, initial-scale=1"><title>{title}</title>\n<style>{style}</style></head>\n'
        f"<body><main>\n{body}\n</main></body>\n</html>\n"
    )
    write_atomically(path, document.encode())
    return path


def _sections(given: PageInput) -> Iterator[str]:
    evaluation = given.evaluation
    yield f"<h1>{html.escape(given.title)}</h1>"
    what = "Maps" if given.predictions.cards[0].target_note else "Myelin maps (PET distribution volume ratio, DVR)"
    yield f'<p class="soft">{what} predicted from multimodal MRI.</p>'
    yield '<div class="banner">Research software, not a medical device.</div>'
    if evaluation.phantom or given.predictions.phantom:
        yield '<div class="banner">Phantom: these subjects are simulated. Nobody was scanned.</div>'
    for warning in evaluation.warnings:
        yield f'<div class="banner">{html.escape(warning[:1].upper() + warning[1:])}.</div>'
    yield _facts(given)
    yield "<h2>How it came out</h2>"
    yield from (f"<p>{html.escape(sentence)}</p>" for sentence in verdict(evaluation))
    yield _table(evaluation)
    yield f'<p class="soft">{_legend(evaluation)}</p>'
    yield from _plots(given)
    yield from _subjects(given)
    yield _rows(evaluation)
    if given.commands:
        yield "<h2>To do it again</h2>"
        yield "".join(f"<p><code>{html.escape(command)}</code></p>" for command in given.commands)
    if given.notice:
        yield f'<h2>Data</h2><p class="soft">{html.escape(given.notice)}</p>'


def _legend(evaluation: Evaluation) -> str:
    text = (
        "Mean (SD) over subjects. Discrepancy: |mean measured - mean predicted DVR|; error: mean absolute error over "
        "voxels; r over lesions above 106 mm³ and over patients."
    )
    if "noise-free" in evaluation.methods:
        text += " The noise-free column is what a perfect prediction scores against the noisy measurement."
    return text


def _facts(given: PageInput) -> str:
    card = given.predictions.cards[0]
    training, network = card.training, card.options.network
    grid = " x ".join(map(str, card.grid["shape"])) + f" voxels of {card.grid['spacing'][0]:g} mm"
    evaluated = len({score.subject for score in given.evaluation.scores})
    threshold = given.evaluation.threshold
    facts = {
        "Model": f"{' and '.join(given.evaluation.models)}, preset {card.options.preset}: "
        f"{', '.join(training.stages)}; {network.generator}, {network.maps} feature maps, {grid}",
        "Inputs": ", ".join(f"{name} ({card.units[name]})" for name in card.modalities),
        "Trained on": f"{_subjects_in_words(len(training.subjects))}, {len(training.validation)} held out, "
        f"{' + '.join(map(str, training.epochs))} epochs, {training.seconds / 60:.1f} min on {training.place}",
        "Evaluated on": f"{_subjects_in_words(evaluated)} of {given.cohort.root.name or given.cohort.root}",
        "Demyelinated below": "no threshold"
        if threshold is None
        else f"DVR {threshold['value']:.3f} ({threshold['kind']})",
        **({"Said while training": "; ".join(card.notes)} if card.notes else {}),
        "Software": f"napari-myelin {card.version}",
        **given.facts,
    }
    items = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in facts.items())
    return f'<dl class="facts">{items}</dl>'


def _subjects_in_words(count: int) -> str:
    return f"{count} subject{'' if count == 1 else 's'}"


def verdict(evaluation: Evaluation) -> list[str]:
    """Return in sentences whether the network beats the voxelwise linear model, whichever way it falls."""
    sentences = []
    for measure, what in (("mse", "mean squared error"), ("lesion_voxel_error", "error in lesion voxels")):
        ours, linear = evaluation.of("predicted", measure), evaluation.of("linear", measure)
        if ours is None or linear is None or linear.mean == 0:
            continue
        ratio = ours.mean / linear.mean
        relation = "beats" if ratio < 0.995 else "does not beat" if ratio > 1.005 else "equals"
        sentences.append(
            f"On the {what} the network {relation} the voxelwise linear model: {_number(ours.mean, 4)} against "
            f"{_number(linear.mean, 4)} ({ratio:.2f} times as large)."
        )
    return sentences


def _table(evaluation: Evaluation) -> str:
    head = "".join(f"<th>{NAMES.get(method, method)}</th>" for method in evaluation.methods)
    rows = []
    for name, title in COLUMNS.items():
        cells = [_cell(evaluation.of(method, name)) for method in evaluation.methods]
        if any(cells):
            rows.append(f"<tr><td>{title}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    table = f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div class="scroll">{table}</div>'


def _cell(row: Summary | None) -> str:
    if row is None:
        return ""
    digits = DIGITS.get(row.measure, 3)
    sd = f' <span class="sd">({_number(row.sd, digits)})</span>' if math.isfinite(row.sd) else ""
    return f"{_number(row.mean, digits)}{sd}"


def _number(value: float, digits: int) -> str:
    # a target in a unit of its own may be hundreds: four decimals of it say nothing
    return f"{value:.{digits if abs(value) < 10 else min(digits, 2)}f}"


def _plots(given: PageInput) -> Iterator[str]:
    plots = [
        f"<figure>{svg}<figcaption>Training of the {html.escape(stage)}: every loss term.</figcaption></figure>"
        for stage, svg in loss_curves(given.events)
    ]
    scatter = lesion_scatter(given.evaluation, "predicted")
    if scatter is not None:
        caption = "Mean DVR of each lesion above 106 mm³; dashed: equal."
        plots.append(f"<figure>{scatter}<figcaption>{caption}</figcaption></figure>")
    if plots:
        yield f'<h2>Training and lesions</h2><div class="plots">{"".join(plots)}</div>'


def _subjects(given: PageInput) -> Iterator[str]:
    keys = {score.subject for score in given.evaluation.scores}
    subjects = [subject for subject in given.cohort.subjects if subject.key in keys]
    # patients first: their lesions are what a reader looks for
    for subject in sorted(subjects, key=lambda each: (each.group == "HC", not each.has("lesion")))[: given.subjects]:
        yield subject_section(subject, given.predictions)


def _rows(evaluation: Evaluation) -> str:
    measures = [name for name in COLUMNS if name in evaluation.scores[0].values]
    head = "".join(f"<th>{COLUMNS[name]}</th>" for name in measures)
    rows = []
    for score in evaluation.scores:
        cells = []
        for name in measures:
            value = score.values[name]
            cells.append(f"<td>{_number(value, DIGITS.get(name, 3))}</td>" if math.isfinite(value) else "<td></td>")
        name = f"{score.subject} ({score.group or 'no group'}), {NAMES.get(score.method, score.method).lower()}"
        rows.append(f"<tr><td>{html.escape(name)}</td>{''.join(cells)}</tr>")
    table = f"<table><thead><tr><th>Subject and map</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<h2>Every subject</h2><details><summary>Show the rows</summary><div class="scroll">{table}</div></details>'
