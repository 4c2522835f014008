"""What to look at before a prepared cohort is trusted: a page a visit, and one of the cohort with outliers on top."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from napari_myelin.core.data.bids import bids_path
from napari_myelin.core.data.cohort import read_folder
from napari_myelin.core.data.volume import Volume, read_volume, write_atomically
from napari_myelin.core.prepare.raw import WORK
from napari_myelin.core.prepare.visit import Report, read_reports
from napari_myelin.core.report.curves import STYLE, to_svg
from napari_myelin.core.report.pictures import Cut, Window, canonical, map_picture

PAGE = "preparation.html"
MAPS = {
    "MTR": Window(0, 60, "gray", "%"),
    "FA": Window(0, 0.8, "gray"),
    "RD": Window(0, 2, "gray", "10⁻³ mm²/s"),
    "AD": Window(0, 2.5, "gray", "10⁻³ mm²/s"),
    "dvr": Window(0.5, 1.6, "inferno"),
    "T1T2": Window(0, 2, "gray"),
}
OUTLIER = 3.5  # robust standard deviations from the cohort's median
FEWEST = 5  # visits that make outliers meaningful


def write_pages(out: Path) -> Path:
    """Write the page of each visit and that of the cohort, and return the latter.

    Parameters
    ----------
    out
        The cohort's folder; every visit ever prepared into it is on the page.

    Raises
    ------
    MyelinError
        If a map cannot be read, or a page cannot be written.
    """
    reports = read_reports(out)
    simulated = read_folder(out).phantom
    measures = {report.key: _measures(out, report) for report in reports}
    for report in reports:
        body = "\n".join(_visit(out, report, measures[report.key]))
        write_atomically(out / WORK / report.key / PAGE, _document(f"Preparation of {report.key}", body, simulated))
    body = "\n".join(_cohort(reports, measures))
    write_atomically(out / PAGE, _document("Preparation of the cohort", body, simulated))
    return out / PAGE


def _document(title: str, body: str, simulated: bool) -> bytes:
    style = (resources.files("napari_myelin.core.report") / "page.css").read_text(encoding="utf-8")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}'
    text = f'<!doctype html>\n<html lang="en">\n<head>{head}</title>\n<style>{style}</style></head>\n<body><main>\n'
    banner = '<div class="banner">Research software, not a medical device.</div>'
    if simulated:
        banner += '<div class="banner">Phantom: these subjects are simulated. Nobody was scanned.</div>'
    return f"{text}<h1>{html.escape(title)}</h1>\n{banner}\n{body}\n</main></body>\n</html>\n".encode()


def _path(out: Path, report: Report, role: str) -> Path:
    match = re.fullmatch(r"sub-([^_]+)(?:_ses-(.+))?", report.key)
    assert match is not None
    return bids_path(out, match[1], match[2], role)


def _volumes(out: Path, report: Report) -> dict[str, Volume]:
    found = {}
    for role in (*MAPS, "brain", "wm", "lesion"):
        path = _path(out, report, role)
        if path.exists():
            found[role] = canonical(read_volume(path, mask=role in ("brain", "wm", "lesion")))
    reference = out / WORK / report.key / "reference.nii.gz"
    if reference.exists():
        found["reference"] = canonical(read_volume(reference))
    return found


def _measures(out: Path, report: Report) -> dict[str, float]:
    """Return what is compared between visits: medians in normal-appearing white matter, volumes, motion, alignment."""
    volumes, facts, found = _volumes(out, report), report.facts, dict[str, float]()
    if "wm" in volumes:
        white = volumes["wm"].array.copy()
        if "lesion" in volumes:
            white &= ~volumes["lesion"].array
        for name in MAPS:
            if name in volumes and white.any():
                found[f"{'DVR' if name == 'dvr' else name} in NAWM"] = float(np.median(volumes[name].array[white]))
    for role in ("brain", "wm", "lesion"):
        if role in volumes:
            found[f"{role}, ml"] = float(volumes[role].array.sum()) * volumes[role].voxel_volume / 1000
    for step, name in (("diffusion", "DWI"), ("pet", "PET")):
        if shifts := facts.get(step, {}).get("shift"):
            found[f"{name} motion, mm"] = float(np.max(shifts))
    if "dvr" in facts:
        found["Logan R²"] = float(facts["dvr"]["r2"])
    if "template" in facts:
        found["r with the template"] = float(facts["template"]["correlation"])
    return found


def _visit(out: Path, report: Report, measures: dict[str, float]) -> Iterator[str]:
    yield from (f'<div class="banner">{html.escape(text)}</div>' for text in report.failures)
    volumes = _volumes(out, report)
    if "brain" in volumes:
        brain, lesion = volumes["brain"], volumes.get("lesion")
        cut = Cut.through(brain, lesion.array if lesion is not None and lesion.array.any() else None)
        yield '<p class="soft">One axial slice of every map on the common grid.</p>'
        for title, role in (
            ("Outline: white matter", "wm"),
            ("Outline: lesions", "lesion"),
            ("Outline: brain", "brain"),
        ):
            if role in volumes:
                yield f'<h3>{title}</h3><div class="maps">{"".join(_pictures(volumes, cut, role))}</div>'
    yield "<h2>Measures</h2>" + _table(["", ""], [[name, f"{value:.4g}"] for name, value in measures.items()])
    rows = [
        [step, f"{facts['before']:.3f}", f"{facts['after']:.3f}"]
        for step, facts in report.facts.items()
        if "after" in facts
    ]
    if rows:
        yield "<h2>Registration</h2>"
        yield '<p class="soft">Mutual information, in nats, by the headers alone and after registration.</p>'
        yield _table(["step", "before", "after"], rows)
    for step, name in (("diffusion", "DWI volumes"), ("pet", "PET frames")):
        if shifts := report.facts.get(step, {}).get("shift"):
            plot = _motion(report.facts[step])
            yield f'<h2>Motion of the {name}</h2><div class="plots"><figure>{plot}</figure></div>'
            yield f'<p class="soft">At most {max(shifts):.2f} mm.</p>'
    if report.notes:
        yield "<h2>To be known</h2>" + "".join(f"<p>{html.escape(note)}</p>" for note in report.notes)


def _pictures(volumes: dict[str, Volume], cut: Cut, outline: str) -> Iterator[str]:
    windows = dict(MAPS)
    if "reference" in volumes:
        inside = volumes["reference"].array[volumes["brain"].array]
        windows["reference"] = Window(0, float(np.percentile(inside, 99)) or 1.0)
    for name, window in windows.items():
        if name in volumes:
            source = map_picture(volumes[name].array, cut, window, volumes[outline].array)
            title = "DVR" if name == "dvr" else name
            caption = f"<b>{title}</b> {window.low:g} to {window.high:.3g} {window.unit}"
            image = f'<div class="frame"><img alt="{title}" src="{source}"></div>'
            yield f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _motion(facts: dict[str, Any]) -> str:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 2.6), layout="constrained")
        axes = figure.subplots()
        axes.plot(facts["shift"], "o-", ms=3, color="#1f77b4", label="shift, mm")
        axes.plot(facts["turn"], "o-", ms=3, color="#d6522c", label="rotation, degrees")
        axes.set_xlabel("volume")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=8)
        return to_svg(figure)


def _cohort(reports: Sequence[Report], measures: dict[str, dict[str, float]]) -> Iterator[str]:
    odd = outliers(measures)
    reports = sorted(reports, key=lambda report: (-len(report.failures), -len(odd[report.key]), report.key))
    failed = sum(bool(report.failures) for report in reports)
    yield f"<p>{len(reports)} visits, {failed} with something that failed. Those to look at first stand first.</p>"
    names = list(dict.fromkeys(name for each in measures.values() for name in each))
    rows = []
    for report in reports:
        own = measures[report.key]
        link = f'<a href="{WORK}/{report.key}/{PAGE}">{report.key}</a>'
        cells = [f"{own[name]:.4g}{' !' if name in odd[report.key] else ''}" if name in own else "" for name in names]
        rows.append([link, str(len(report.failures)), *cells])
    yield _table(["visit", "failed", *names], rows, escaped=True)
    if len(reports) >= FEWEST:
        yield f'<p class="soft">!: more than {OUTLIER:g} robust standard deviations from the median of the cohort.</p>'
    else:
        yield f'<p class="soft">Outliers are looked for from {FEWEST} visits on.</p>'
    for report in reports:
        if report.failures:
            yield f"<h3>{report.key}</h3>" + "".join(f"<p>{html.escape(each)}</p>" for each in report.failures)


def outliers(measures: dict[str, dict[str, float]]) -> dict[str, list[str]]:
    """Return visit -> measures in which it lies more than 3.5 robust SD (1.4826 MAD) from the median of all."""
    found: dict[str, list[str]] = {key: [] for key in measures}
    for name in dict.fromkeys(name for each in measures.values() for name in each):
        values = {key: each[name] for key, each in measures.items() if name in each}
        if len(values) < FEWEST:
            continue
        middle = float(np.median(list(values.values())))
        spread = 1.4826 * float(np.median([abs(value - middle) for value in values.values()]))
        for key, value in values.items():
            if spread > 0 and abs(value - middle) > OUTLIER * spread:
                found[key].append(name)
    return found


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], escaped: bool = False) -> str:
    def line(cells: Sequence[str], tag: str, done: bool) -> str:
        return f"<tr>{''.join(f'<{tag}>{cell if done else html.escape(cell)}</{tag}>' for cell in cells)}</tr>"

    body = "".join(line(row, "td", escaped) for row in rows)
    return f'<div class="scroll"><table><thead>{line(head, "th", False)}</thead><tbody>{body}</tbody></table></div>'
