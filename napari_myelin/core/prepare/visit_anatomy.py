"""The steps of a visit on its structural images: brain, lesions, white matter, template, reference grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_myelin.core.data.bids import sidecar, write_json
from napari_myelin.core.data.transform import read_transform, write_transform
from napari_myelin.core.data.volume import Volume, read_grid, read_volume, write_volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.prepare.anatomy import brain_mask, ratio, template_t1w, unbiased
from napari_myelin.core.prepare.grids import covering
from napari_myelin.core.prepare.nonlinear import coarse, warp_to_template
from napari_myelin.core.prepare.registration import align
from napari_myelin.core.prepare.resampling import resample, resample_mask
from napari_myelin.core.prepare.tissue import fill_lesions, segment, white_matter, white_matter_of_labels
from napari_myelin.core.prepare.transforms import Chain, read_matrix, write_matrix
from napari_myelin.core.prepare.visit import Facts, Visit, align_scan, onto_reference, spatial

ROUND = 6.0  # mm round the brain, of the grid that stands in for a PET's


def structural(visit: Visit) -> bool:
    """Find the brain in the T1w and correct its bias field: ``t1w.nii.gz`` and ``brain.nii.gz``."""
    source, given = visit.raw.files["t1w"], visit.raw.files.get("brain")
    t1w, brain = visit.file("t1w.nii.gz"), visit.file("brain.nii.gz")

    def work() -> Facts:
        image = read_volume(source)
        if given is None:
            mask = brain_mask(image)
        else:
            mask = read_volume(given, mask=True)
            mask = mask if mask.same_grid(image) else mask.resampled_to(image)
        corrected, field = unbiased(image, mask.array)
        write_volume(t1w, corrected)
        write_volume(brain, mask)
        volume = float(mask.array.sum()) * mask.voxel_volume / 1000
        notes = [] if 700 < volume < 2200 else [f"the brain mask has {volume:.0f} ml: look at it, or give one"]
        return {"brain_ml": volume, "bias_sd": float(field[mask.array].std()), "notes": notes}

    return visit.do("brain", [source, *([given] if given else [])], {}, [t1w, brain], work)


def lesions(visit: Visit) -> bool:
    """Find which scan the lesions were drawn on, register that one, and bring them to the T1w: ``lesion.nii.gz``."""
    drawn, out = visit.raw.files["lesion"], visit.file("lesion.nii.gz")
    matrix_file = visit.file("from-t1w_to-lesion_xfm.txt")
    try:
        scan = _drawn_on(visit, drawn)
    except MyelinError as error:
        visit.report.failures.append(f"lesions: {error}")
        return False
    if scan not in ("t1w", "") and not align_scan(visit, scan):
        return False
    inputs = [drawn, visit.file("t1w.nii.gz")]
    if scan not in ("t1w", ""):
        inputs.append(visit.file(f"from-t1w_to-{scan}_xfm.txt"))

    def work() -> Facts:
        matrix = read_matrix(inputs[2]) if len(inputs) > 2 else np.eye(4)
        write_matrix(matrix_file, matrix)
        t1w = read_volume(visit.file("t1w.nii.gz"))
        write_volume(out, resample_mask(read_volume(drawn, mask=True), t1w, Chain((matrix,))))
        notes = [] if scan else ["the lesion mask lies on no scan's grid: it is taken to be aligned with the T1w"]
        return {"drawn_on": scan, "notes": notes}

    return visit.do("lesions", inputs, {"scan": scan}, [out, matrix_file], work)


def _drawn_on(visit: Visit, drawn: Path) -> str:
    # the grid tells; where several scans share it, any of them will do
    mask = read_grid(drawn)
    for scan in ("flair", "t2w", "t1w"):
        if visit.has(scan) and read_grid(visit.raw.files[scan]).same_grid(mask):
            return scan
    return ""


def tissue(visit: Visit) -> bool:
    """Find the white matter: ``wm.nii.gz`` on the T1w's grid, lesions in it."""
    t1w, brain, lesion = (visit.file(f"{name}.nii.gz") for name in ("t1w", "brain", "lesion"))
    labels, out = visit.raw.files.get("labels"), visit.file("wm.nii.gz")
    known = visit.has("lesion") and lesion.exists()
    inputs = [t1w, brain, *([lesion] if known else []), *([labels] if labels else [])]
    fill = visit.options.anatomy.fill_lesions

    def work() -> Facts:
        image, inside = read_volume(t1w), read_volume(brain, mask=True).array
        marked = read_volume(lesion, mask=True).array if known else None
        if labels is not None:
            found = read_volume(labels)
            white = Volume(white_matter_of_labels(found.array), found.affine)
            array = (white if white.same_grid(image) else white.resampled_to(image)).array
            array = array if marked is None else array | marked
        else:
            filled = image if marked is None or not fill else fill_lesions(image, marked & inside, inside)
            array = white_matter(segment(filled, inside), marked)
        write_volume(out, Volume(array & inside, image.affine))
        return {"wm_share": float((array & inside).sum() / inside.sum())}

    return visit.do("white-matter", inputs, {"fill": fill}, [out], work)


def template(visit: Visit) -> bool:
    """Register the T1w to the template: both directions, and the affine part."""
    t1w, brain = visit.file("t1w.nii.gz"), visit.file("brain.nii.gz")
    names = ("from-t1w_to-template_xfm.txt", "from-t1w_to-template_xfm.nii.gz", "from-template_to-t1w_xfm.nii.gz")
    affine, there, back = (visit.file(name) for name in names)

    def work() -> Facts:
        image, inside = read_volume(t1w), read_volume(brain, mask=True).array
        model, _ = template_t1w()
        stripped = Volume(np.where(inside, image.array, 0).astype(np.float32), image.affine)
        found = align(stripped, model, "affine", mask=inside, centre=True)
        warp = warp_to_template(image, inside, model, found.matrix)
        write_matrix(affine, found.matrix)
        write_transform(there, warp.to_template)
        write_transform(back, warp.from_template)
        looks = resample(model, stripped, Chain((warp.to_template,))).array
        alike = float(np.corrcoef(looks[inside], stripped.array[inside])[0, 1])
        notes = [f"{warp.folded:.2%} of the warp to the template folds"] if warp.folded > 1e-3 else []
        return {"before": found.before, "after": found.after, "correlation": alike, "notes": notes}

    return visit.do("template", [t1w, brain], {}, [affine, there, back], work)


def stand_in(visit: Visit) -> bool:
    """Make the grid that stands in for a PET's: the T1w's axes, cubic voxels, as large as the brain."""
    t1w, brain, out = visit.file("t1w.nii.gz"), visit.file("brain.nii.gz"), visit.file("reference.nii.gz")
    xfm, spacing = visit.file("from-reference_to-t1w_xfm.txt"), visit.options.anatomy.reference_spacing

    def work() -> Facts:
        grid = covering(read_volume(brain, mask=True), spacing, ROUND)
        write_volume(out, resample(read_volume(t1w), grid, Chain()))
        write_matrix(xfm, np.eye(4))
        return {"shape": list(grid.shape)}

    return visit.do("reference", [t1w, brain], {"spacing": spacing}, [out, xfm], work)


def to_template(visit: Visit) -> bool:
    """Write the cohort's transform from the reference grid to the template: both steps as one field."""
    xfm, warp = visit.file("from-reference_to-t1w_xfm.txt"), visit.file("from-t1w_to-template_xfm.nii.gz")
    reference, out = visit.file("reference.nii.gz"), visit.target("to_template")

    def work() -> Facts:
        chain = Chain((read_matrix(xfm), read_transform(warp)))
        write_transform(out, coarse(chain, read_grid(reference)))
        note = "ITK displacement field (LPS, mm) on the subject; maps its points to template points"
        write_json(sidecar(out), {"Description": note, "SpatialReference": spatial(visit)})
        return {}

    return visit.do("to-template", [xfm, warp, reference], {}, [out], work)


def for_looking(visit: Visit) -> bool:
    """Write the T1w and FLAIR where they lie on the reference: their headers are moved, no voxel is interpolated."""
    xfm, t1w = visit.file("from-reference_to-t1w_xfm.txt"), visit.file("t1w.nii.gz")
    scans = {"t1w": t1w}
    if visit.has("flair") and (visit.file("from-t1w_to-flair_xfm.txt")).exists():
        scans["flair"] = visit.raw.files["flair"]

    def work() -> Facts:
        for role, path in scans.items():
            chain = Chain((read_matrix(xfm),)) if role == "t1w" else onto_reference(visit, role)
            image, matrix = read_volume(path), chain.matrix
            assert matrix is not None
            stripped = bool((image.array == 0).mean() > 0.25)
            moved = Volume(image.array, np.linalg.inv(matrix) @ image.affine)
            visit.write(role, moved, [path], {}, {"SkullStripped": stripped, "SpatialReference": spatial(visit)})
        return {}

    inputs = [xfm, *scans.values()]
    return visit.do("for-looking", inputs, {}, [visit.target(role) for role in scans], work)


def ratio_map(visit: Visit) -> bool:
    """Write the T1w / T2w ratio on the reference grid, the modality T1T2."""
    t1w, brain, t2w = visit.file("t1w.nii.gz"), visit.file("brain.nii.gz"), visit.raw.files["t2w"]
    xfm, reference = visit.file("from-reference_to-t1w_xfm.txt"), visit.file("reference.nii.gz")

    def work() -> Facts:
        image, inside = read_volume(t1w), read_volume(brain, mask=True).array
        made = ratio(image, read_volume(t2w), inside)
        on_grid = resample(made, read_volume(reference), Chain((read_matrix(xfm),)))
        visit.write("T1T2", on_grid, [t1w, t2w], {}, {"Units": "1", "SpatialReference": spatial(visit)})
        return {"median": float(np.median(made.array[inside]))}

    return visit.do("ratio", [t1w, brain, t2w, xfm, reference], {}, [visit.target("T1T2")], work)
