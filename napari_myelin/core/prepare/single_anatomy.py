"""Single steps on structural images: what ``prepare-brain``, ``-wm``, ``-ratio``, ``-register``, ``-template`` do."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from napari_myelin.core.data.transform import write_transform
from napari_myelin.core.data.volume import Volume, read_volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.prepare.anatomy import brain_mask, ratio, template_t1w, unbiased
from napari_myelin.core.prepare.made import Made, mask_on, notes_of, stem, write_maps
from napari_myelin.core.prepare.nonlinear import warp_to_template
from napari_myelin.core.prepare.registration import align
from napari_myelin.core.prepare.resampling import resample, resample_mask
from napari_myelin.core.prepare.tissue import fill_lesions, segment, white_matter, white_matter_of_labels
from napari_myelin.core.prepare.transforms import Chain, write_matrix


def _structural(t1w: Path, brain: Path | None) -> tuple[Volume, np.ndarray]:
    image = read_volume(t1w)
    inside = brain_mask(image).array if brain is None else mask_on(brain, image)
    return unbiased(image, inside)[0], inside


def make_brain(t1w: Path, folder: Path, mask: Path | None = None) -> Made:
    """Write the brain mask of a T1w (unless one is given) and the image corrected for its bias field.

    Raises
    ------
    MyelinError
        If a file cannot be read, no brain is found, or nothing can be written.
    """
    corrected, inside = _structural(t1w, mask)
    volume = float(inside.sum()) * corrected.voxel_volume / 1000
    name = stem(t1w, "_T1w")
    names = {"T1w": f"{name}_desc-n4_T1w.nii.gz", "brain": f"{name}_desc-brain_mask.nii.gz"}
    maps = {"T1w": corrected, "brain": Volume(inside, corrected.affine)}
    sources = [t1w, *([mask] if mask else [])]
    return write_maps(folder, names, maps, (sources, {}), [*notes_of(t1w), f"the brain has {volume:.0f} ml"])


def make_wm(
    t1w: Path, folder: Path, *, mask: Path | None = None, lesion: Path | None = None, labels: Path | None = None
) -> Made:
    """Write the white-matter mask of a T1w, lesions in it.

    Parameters
    ----------
    t1w
        The image.
    folder
        Where to.
    mask, lesion, labels
        Brain mask, lesion mask (filled before the segmentation) and another program's labels, in the T1w's space;
        with labels nothing is segmented.

    Raises
    ------
    MyelinError
        If a file cannot be read or its labels are unknown, or nothing can be written.
    """
    image = read_volume(t1w)
    marked = None if lesion is None else resample_mask(read_volume(lesion, mask=True), image, Chain()).array
    if labels is not None:
        found = read_volume(labels)
        white = Volume(white_matter_of_labels(found.array), found.affine).resampled_to(image).array
        white = white if marked is None else white | marked
    else:
        corrected, inside = _structural(t1w, mask)
        filled = corrected if marked is None else fill_lesions(corrected, marked & inside, inside)
        white = white_matter(segment(filled, inside), marked) & inside
    volume = float(white.sum()) * image.voxel_volume / 1000
    names = {"wm": f"{stem(t1w, '_T1w')}_label-WM_mask.nii.gz"}
    sources = [path for path in (t1w, mask, lesion, labels) if path is not None]
    notes = [*notes_of(t1w), f"white matter has {volume:.0f} ml, lesions in it"]
    return write_maps(folder, names, {"wm": Volume(white, image.affine)}, (sources, {}), notes)


def make_ratio(t1w: Path, t2w: Path, folder: Path, mask: Path | None = None) -> Made:
    """Write the ratio of T1w and T2w on the T1w's grid; see `ratio`.

    Raises
    ------
    MyelinError
        If a file cannot be read, or nothing can be written.
    """
    corrected, inside = _structural(t1w, mask)
    made = ratio(corrected, read_volume(t2w), inside)
    names = {"T1T2": f"{stem(t1w, '_T1w')}_T1T2map.nii.gz"}
    sources = [t1w, t2w, *([mask] if mask else [])]
    return write_maps(folder, names, {"T1T2": made}, (sources, {}), notes_of(t1w, t2w))


def make_registration(
    fixed: Path, moving: Path, folder: Path, kind: Literal["rigid", "affine"] = "rigid", masks: tuple[Path, ...] = ()
) -> Made:
    """Register an image to another and write it there, with the transform; masks drawn on it follow.

    Parameters
    ----------
    fixed, moving
        The image that stays, and the one that is brought to its grid.
    folder
        Where to.
    kind
        6 or 12 parameters.
    masks
        Of one label each, in the moving image's space: they keep their volume.

    Raises
    ------
    MyelinError
        If a file cannot be read, or nothing can be written.
    """
    target, source = read_volume(fixed), read_volume(moving)
    found = align(target, source, kind, centre=True)
    chain = Chain((found.matrix,))
    maps, names = {"image": resample(source, target, chain)}, {"image": f"{stem(moving)}_desc-registered.nii.gz"}
    for number, path in enumerate(masks):
        key = f"mask {number + 1}"
        maps[key] = resample_mask(read_volume(path, mask=True), target, chain)
        names[key] = f"{stem(path)}_desc-registered.nii.gz"
    notes = [*notes_of(fixed, moving), f"mutual information {found.before:.3f} by the headers, {found.after:.3f} now"]
    made = write_maps(folder, names, maps, ([fixed, moving, *masks], {"kind": kind}), notes)
    xfm = folder / f"from-{stem(fixed)}_to-{stem(moving)}_xfm.txt"
    write_matrix(xfm, found.matrix)
    return Made({**made.files, "transform": xfm}, made.notes, made.medians)


def make_template(t1w: Path, folder: Path, mask: Path | None = None) -> Made:
    """Register a T1w to the MNI template and write the fields there and back, and the template on the T1w's grid.

    Raises
    ------
    MyelinError
        If a file cannot be read, or nothing can be written.
    """
    corrected, inside = _structural(t1w, mask)
    model, _ = template_t1w()
    stripped = Volume(np.where(inside, corrected.array, 0).astype(np.float32), corrected.affine)
    if not stripped.array.any():
        raise MyelinError(f"{t1w} is 0 inside the brain mask: export it again")
    found = align(stripped, model, "affine", mask=inside, centre=True)
    warp = warp_to_template(corrected, inside, model, found.matrix)
    looks = resample(model, corrected, Chain((warp.to_template,)))
    alike = float(np.corrcoef(looks.array[inside], corrected.array[inside])[0, 1])
    name = stem(t1w, "_T1w")
    notes = [*notes_of(t1w), f"r with the template {alike:.3f} in the brain, {warp.folded:.3%} of the warp folds"]
    names = {"template": f"{name}_desc-template_T1w.nii.gz"}
    made = write_maps(folder, names, {"template": looks}, ([t1w, *([mask] if mask else [])], {}), notes)
    there, back = (folder / f"{name}_from-{way}_xfm.nii.gz" for way in ("T1w_to-template", "template_to-T1w"))
    write_transform(there, warp.to_template)
    write_transform(back, warp.from_template)
    return Made({**made.files, "to template": there, "from template": back}, made.notes, made.medians)
