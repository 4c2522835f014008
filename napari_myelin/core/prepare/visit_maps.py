"""The steps of a visit on its quantitative scans: PET and DVR, MTR, diffusion, each onto the reference grid."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from scipy.ndimage import binary_dilation

from napari_myelin.core.data.bids import sidecar, write_json
from napari_myelin.core.data.transform import read_transform
from napari_myelin.core.data.volume import Volume, read_grid, read_volume, write_volume
from napari_myelin.core.prepare.diffusion import Diffusion, diffusion_maps, ready
from napari_myelin.core.prepare.dvr import HEAD, dvr_maps, realigned
from napari_myelin.core.prepare.frames import Frames, read_frames
from napari_myelin.core.prepare.gradients import read_gradients
from napari_myelin.core.prepare.logan import late_frames
from napari_myelin.core.prepare.motion import resample_series
from napari_myelin.core.prepare.mtr import mtr_map
from napari_myelin.core.prepare.region import cerebellar_grey
from napari_myelin.core.prepare.registration import align
from napari_myelin.core.prepare.resampling import resample, resample_mask
from napari_myelin.core.prepare.series import Series, read_series
from napari_myelin.core.prepare.single import reference_region
from napari_myelin.core.prepare.transforms import Chain, read_matrix, write_matrix
from napari_myelin.core.prepare.visit import Facts, Visit, onto_reference, spatial

DILATED = 2  # voxels of the DWI by which the brain is widened, for motion


def pet_reference(visit: Visit) -> bool:
    """Make the PET's late average the reference, realigning frames first where asked."""
    pet, timing = visit.raw.files["pet"], sidecar(visit.raw.files["pet"])
    reference, moves = visit.file("reference.nii.gz"), visit.file("pet-motion.json")
    options = visit.options.dvr

    def work() -> Facts:
        series, frames, notes = _pet(visit)
        facts: Facts = {"notes": notes}
        matrices: list[Any] = []
        if options.pet_motion:
            series, motion = realigned(series, frames, options)
            matrices = motion.matrices.tolist()
            facts["notes"] = [*notes, *motion.notes()]
            facts |= {"shift": motion.shift.tolist(), "turn": motion.turn.tolist()}
        write_volume(reference, series.mean(late_frames(frames, options.t_star)))
        write_json(moves, {"matrices": matrices})
        return facts

    asked = options.model_dump(include={"t_star", "pet_motion"})
    return visit.do("pet", [pet, timing], asked, [reference, moves], work)


def _pet(visit: Visit) -> tuple[Series, Frames, list[str]]:
    path = visit.raw.files["pet"]
    series = read_series(path)
    frames, factor = read_frames(sidecar(path), series.count)
    if (factor == 1).all():
        return series, frames, []
    corrected = Series(series.array * factor.astype(np.float32), series.affine)
    return corrected, frames, ["the PET was not corrected for decay: it is now"]


def align_reference(visit: Visit) -> bool:
    """Register the T1w to the PET's late average: ``from-reference_to-t1w_xfm.txt``."""
    reference, t1w, brain = (visit.file(f"{name}.nii.gz") for name in ("reference", "t1w", "brain"))
    xfm = visit.file("from-reference_to-t1w_xfm.txt")

    def work() -> Facts:
        fixed, image, inside = read_volume(reference), read_volume(t1w), read_volume(brain, mask=True).array
        stripped = Volume(np.where(inside, image.array, 0).astype(np.float32), image.affine)
        head = fixed.array > HEAD * float(np.percentile(fixed.array, 98))
        mask = binary_dilation(head, iterations=DILATED)
        found = align(fixed, stripped, mask=mask, centre=True)
        write_matrix(xfm, found.matrix)
        return {"before": found.before, "after": found.after}

    return visit.do("align-reference", [reference, t1w, brain], {}, [xfm], work)


def dvr(visit: Visit) -> bool:
    """Write the DVR map, its reference region from a mask, from labels, or else from the template."""
    pet, moves, options = visit.raw.files["pet"], visit.file("pet-motion.json"), visit.options.dvr
    given = visit.raw.files.get("region") or visit.raw.files.get("labels")
    warp, xfm = visit.file("from-t1w_to-template_xfm.nii.gz"), visit.file("from-reference_to-t1w_xfm.txt")
    r2, brain = visit.file("r2.nii.gz"), visit.target("brain")
    inputs = [pet, sidecar(pet), moves, xfm, brain, given or warp]

    def work() -> Facts:
        series, frames, _ = _pet(visit)
        grid, matrix = series.volume(0), read_matrix(xfm)
        if matrices := json.loads(moves.read_text(encoding="utf-8"))["matrices"]:
            series = resample_series(series, grid, [Chain((np.array(each),)) for each in matrices])
        inside = read_volume(brain, mask=True).array
        if given is None:
            region = cerebellar_grey(grid, Chain((matrix, read_transform(warp)))) & inside
            source = "the template's inferior cerebellar grey matter"
        else:
            image = read_volume(given)
            if not image.same_grid(grid):  # in the T1w's space
                image = Volume(image.array, np.linalg.inv(matrix) @ image.affine)
            region, source = reference_region(image, options.reference_labels, grid), given.name
        made = dvr_maps(series, frames, region, options, inside)
        asked = options.model_dump()
        extra = {"Units": "1", "SpatialReference": spatial(visit), "ReferenceRegion": source}
        visit.write("dvr", made.dvr, inputs, asked, extra)
        write_volume(r2, made.r2)
        size = float(region.sum()) * grid.voxel_volume / 1000
        notes = [*made.notes, f"reference region: {source}, {size:.1f} ml"]
        return {"region_ml": size, "r2": float(np.median(made.r2.array[inside])), "notes": notes}

    return visit.do("dvr", inputs, options.model_dump(), [visit.target("dvr"), r2], work)


def mtr(visit: Visit) -> bool:
    """Write the MTR map: both images of the pair, `align_scan` done, brought to the reference by one interpolation."""
    on, off = visit.raw.files["mt_on"], visit.raw.files["mt_off"]
    xfm, reference = visit.file("from-reference_to-t1w_xfm.txt"), visit.file("reference.nii.gz")
    brain, options = visit.target("brain"), visit.options.mtr
    inputs = [on, off, xfm, visit.file("from-t1w_to-mt_off_xfm.txt"), brain, reference]

    def work() -> Facts:
        first, second, grid = read_volume(on), read_volume(off), read_volume(reference)
        chain, facts = onto_reference(visit, "mt_off"), dict[str, Any]()
        pair = np.eye(4)
        if options.register_pair:
            found = align(second, first)
            pair, facts = found.matrix, {"before": found.before, "after": found.after}
        images = resample(first, grid, chain.then(pair)).array, resample(second, grid, chain).array
        made = mtr_map(*images, read_volume(brain, mask=True).array)
        extra = {"Units": "%", "SpatialReference": spatial(visit)}
        visit.write("MTR", Volume(made.array, grid.affine), inputs, options.model_dump(), extra)
        return {**facts, "clipped": made.clipped, "median": float(np.median(made.array[made.array > 0]))}

    return visit.do("mtr", inputs, options.model_dump(), [visit.target("MTR")], work)


def diffusion(visit: Visit) -> bool:
    """Write FA, RD, AD and MD: every volume brought to the reference by one interpolation, then fitted there."""
    dwi = visit.raw.files["dwi"]
    stem = dwi.name.split(".nii")[0]
    bval, bvec = (dwi.with_name(stem + ending) for ending in (".bval", ".bvec"))
    xfm, reference, brain = (
        visit.file("from-reference_to-t1w_xfm.txt"),
        visit.file("reference.nii.gz"),
        visit.target("brain"),
    )
    t1w, t1w_brain, out = visit.file("t1w.nii.gz"), visit.file("brain.nii.gz"), visit.file("from-t1w_to-dwi_xfm.txt")
    inputs, names = [dwi, bval, bvec, xfm, reference, brain, t1w, t1w_brain], ("FA", "RD", "AD", "MD")
    options = visit.options.dti

    def work() -> Facts:
        series = read_series(dwi)
        gradients = read_gradients(bval, bvec, series.count)
        first = series.volume(int(np.flatnonzero(~gradients.weighted)[0]))
        inside = read_volume(t1w_brain, mask=True)
        found = align(read_volume(t1w), first, "affine", mask=inside.array, centre=True)
        write_matrix(out, found.matrix)
        head = resample_mask(inside, first, Chain((np.linalg.inv(found.matrix),))).array
        made = ready(series, gradients, options, binary_dilation(head, iterations=DILATED))
        maps = _onto(visit, made, read_matrix(xfm), found.matrix)
        for name in names:
            extra = {"Units": "1" if name == "FA" else "10^-3 mm2/s", "SpatialReference": spatial(visit)}
            visit.write(name, maps[name], inputs, options.model_dump(), extra)
        moved = made.motion.notes() if options.dwi_motion else []
        motion = {"shift": made.motion.shift.tolist(), "turn": made.motion.turn.tolist()}
        return {**motion, "before": found.before, "after": found.after, "notes": [*made.notes, *moved]}

    return visit.do("diffusion", inputs, options.model_dump(), [*map(visit.target, names), out], work)


def _onto(visit: Visit, made: Diffusion, to_t1w: np.ndarray, to_dwi: np.ndarray) -> dict[str, Volume]:
    grid = read_grid(visit.file("reference.nii.gz"))
    inside = read_volume(visit.target("brain"), mask=True).array
    return diffusion_maps(made, grid, Chain((to_t1w, to_dwi)), inside)
