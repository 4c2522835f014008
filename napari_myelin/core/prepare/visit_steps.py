"""The steps of a visit in their order: what cannot be done is reported, the rest is done."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path

from napari_myelin.core.data.bids import write_json
from napari_myelin.core.prepare import visit_anatomy, visit_maps
from napari_myelin.core.prepare.options import PrepareOptions
from napari_myelin.core.prepare.pace import wants_template
from napari_myelin.core.prepare.raw import RawSubject
from napari_myelin.core.prepare.visit import REPORT, Report, Visit, align_scan, bring_masks

Steps = Generator[tuple[str, int], None, bool]


def prepare_visit(raw: RawSubject, out: Path, options: PrepareOptions) -> Generator[tuple[str, int], None, Report]:
    """Prepare one visit; steps that were done on the same scans with the same options are not done again.

    Parameters
    ----------
    raw
        Its scans.
    out
        The cohort's folder.
    options
        Of the preparation.

    Yields
    ------
    tuple
        The name of the step that begins, and how many before it were worked on. Whoever does not go on from there
        stops the visit between two steps.

    Returns
    -------
    Report
        What came of it, which is written, too.
    """
    visit = Visit(raw, out, options)
    if not visit.has("t1w"):
        visit.report.failures.append("all: there is no T1w, over which everything is brought together")
    else:
        yield "brain", 0
        if visit_anatomy.structural(visit):
            yield from _whole(visit)
    visit.report.worked = visit.store.done
    write_json(visit.store.folder / REPORT, asdict(visit.report))
    return visit.report


def _begins(visit: Visit, name: str) -> tuple[str, int]:
    return name, len(visit.store.done)


def _whole(visit: Visit) -> Generator[tuple[str, int], None, None]:
    if visit.has("lesion"):
        yield _begins(visit, "lesions")
        if not visit_anatomy.lesions(visit):
            visit.note("the lesion mask cannot be used: tissue and maps are made as if there were no lesion")
            visit.raw.files.pop("lesion")
    warped = False
    if wants_template(visit.raw, visit.options):
        yield _begins(visit, "template")
        warped = visit_anatomy.template(visit)
    if not (yield from _reference(visit)):
        return
    yield _begins(visit, "white-matter")
    if not visit_anatomy.tissue(visit):
        return
    yield _begins(visit, "masks")
    if bring_masks(visit):
        yield from _maps(visit, warped)


def _reference(visit: Visit) -> Steps:
    if visit.has("pet"):
        yield _begins(visit, "pet")
        if visit_maps.pet_reference(visit):
            yield _begins(visit, "align-reference")
            if visit_maps.align_reference(visit):
                return True
        visit.note("the PET cannot be used: a grid of the T1w's own stands in for its")
        visit.raw.files.pop("pet")
    yield _begins(visit, "reference")
    return visit_anatomy.stand_in(visit)


def _maps(visit: Visit, warped: bool) -> Generator[tuple[str, int], None, None]:
    if visit.has("pet"):
        if warped or visit.has("region") or visit.has("labels"):
            yield _begins(visit, "dvr")
            visit_maps.dvr(visit)
        else:
            visit.report.failures.append("dvr: no reference region: the template could not be registered")
    if visit.has("mt_on", "mt_off"):
        yield _begins(visit, "align-mt_off")
        if align_scan(visit, "mt_off"):
            yield _begins(visit, "mtr")
            visit_maps.mtr(visit)
    elif visit.has("mt_on") or visit.has("mt_off"):
        visit.report.failures.append("mtr: one image of the MT pair is missing")
    if visit.has("dwi"):
        yield _begins(visit, "diffusion")
        visit_maps.diffusion(visit)
    if visit.options.anatomy.ratio and visit.has("t2w"):
        yield _begins(visit, "ratio")
        visit_anatomy.ratio_map(visit)
    if warped and visit.options.anatomy.template:
        yield _begins(visit, "to-template")
        visit_anatomy.to_template(visit)
    yield _begins(visit, "for-looking")
    visit_anatomy.for_looking(visit)
