"""Single steps from files to files: what the commands ``prepare-mtr``, ``prepare-dti``, ``prepare-dvr`` do."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_myelin.core.data.volume import Volume, read_volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.prepare.diffusion import diffusion_maps, ready
from napari_myelin.core.prepare.dvr import dvr_maps, realigned
from napari_myelin.core.prepare.frames import read_frames
from napari_myelin.core.prepare.gradients import read_gradients
from napari_myelin.core.prepare.made import Made, mask_on, notes_of, stem, write_maps
from napari_myelin.core.prepare.mtr import foreground, mtr_map
from napari_myelin.core.prepare.options import DtiOptions, DvrOptions, MtrOptions
from napari_myelin.core.prepare.registration import align
from napari_myelin.core.prepare.resampling import resample
from napari_myelin.core.prepare.series import Series, read_series
from napari_myelin.core.prepare.transforms import Chain

PAIR = 2  # volumes of a file that holds an MT pair


def make_mtr(images: tuple[Path, ...], folder: Path, options: MtrOptions, mask: Path | None = None) -> Made:
    """Write an MTR map on the grid of the image without MT pulse.

    Parameters
    ----------
    images
        With and without MT pulse; or one file that holds both volumes, in this order.
    folder
        Where to.
    options
        Of the step.
    mask
        Brain mask; by default the image's foreground.

    Raises
    ------
    MyelinError
        If a file cannot be read, the pair is swapped, or nothing can be written.
    """
    notes = notes_of(*images)
    on, off = _pair(images)
    # one slice has no direction to register along
    if options.register_pair and min(off.shape) > 1:
        alignment = align(off, on)
        moved = np.linalg.norm(
            alignment.matrix[:3, 3] + (alignment.matrix[:3, :3] - np.eye(3)) @ off.world(np.array(off.shape) / 2)
        )
        on = resample(on, off, Chain((alignment.matrix,)))
        notes.append(f"the image with MT pulse was moved by {moved:.2f} mm")
    elif not on.same_grid(off):
        raise MyelinError("the two images lie on different grids and are not registered: leave out --no-register-pair")
    if mask is None:
        inside = foreground(off)
        notes.append("no mask was given: the map covers the foreground, which is not the brain alone")
    else:
        inside = mask_on(mask, off)
    made = mtr_map(on.array, off.array, inside)
    notes.append(f"{made.clipped} of {inside.sum()} voxels were clipped to 0 or 100 %")
    name = stem(images[-1], "_MTR").replace("_mt-off", "")
    sources = [*images, *([mask] if mask else [])]
    volume = Volume(made.array, off.affine)
    return write_maps(folder, {"MTR": f"{name}_MTRmap.nii.gz"}, {"MTR": volume}, (sources, options.model_dump()), notes)


def _pair(images: tuple[Path, ...]) -> tuple[Volume, Volume]:
    if len(images) == PAIR:
        return read_volume(images[0]), read_volume(images[1])
    both = read_series(images[0])
    if both.count != PAIR:
        raise MyelinError(f"{images[0]} holds {both.count} volumes, expected two: with MT pulse, then without")
    return both.volume(0), both.volume(1)


def make_dti(
    image: Path,
    folder: Path,
    options: DtiOptions,
    tables: tuple[Path | None, Path | None] = (None, None),
    mask: Path | None = None,
) -> Made:
    """Write FA, MD, RD and AD on the grid of the diffusion series.

    Parameters
    ----------
    image
        4D; its ``.bval`` and ``.bvec`` lie beside it unless given.
    folder
        Where to.
    options
        Of the step.
    tables
        The files of b values and of b-vectors.
    mask
        Brain mask; by default the foreground of the first b = 0 volume.

    Raises
    ------
    MyelinError
        If a file cannot be read or does not fit, or nothing can be written.
    """
    beside = image.with_name(stem(image))
    bval, bvec = (
        given or beside.with_name(beside.name + end) for given, end in zip(tables, (".bval", ".bvec"), strict=True)
    )
    series = read_series(image)
    gradients = read_gradients(bval, bvec, series.count)
    head = None if mask is None else mask_on(mask, series.volume(0))
    made = ready(series, gradients, options, head)
    notes = [*notes_of(image), *made.notes]
    if options.dwi_motion:
        notes += made.motion.notes()
    maps = diffusion_maps(made)
    names = {name: f"{stem(image, '_dwi')}_model-tensor_param-{name.lower()}_dwimap.nii.gz" for name in maps}
    sources = [image, bval, bvec, *([mask] if mask else [])]
    return write_maps(folder, names, maps, (sources, options.model_dump()), notes)


def make_dvr(
    image: Path, region: Path, folder: Path, options: DvrOptions, timing: Path | None = None, mask: Path | None = None
) -> Made:
    """Write the DVR map of a dynamic PET, and the R2 of its fits.

    Parameters
    ----------
    image
        4D; its BIDS JSON lies beside it unless given as ``timing``.
    region
        Mask of the reference region, or an image of labels, in the PET's space.
    folder
        Where to.
    options
        Of the step.
    timing
        JSON with ``FrameTimesStart`` and ``FrameDuration``.
    mask
        Brain mask in the PET's space.

    Raises
    ------
    MyelinError
        If a file cannot be read or does not fit, the fit is impossible, or nothing can be written.
    """
    timing = timing or image.with_name(stem(image) + ".json")
    series = read_series(image)
    frames, factor = read_frames(timing, series.count)
    notes = notes_of(image)
    if (factor != 1).any():
        notes.append("the image was not corrected for decay: it is now")
        series = Series(series.array * factor.astype(np.float32), series.affine)
    if options.pet_motion:
        series, motion = realigned(series, frames, options)
        notes += motion.notes()
    where = reference_region(read_volume(region), options.reference_labels, series.volume(0))
    inside = None if mask is None else mask_on(mask, series.volume(0))
    made = dvr_maps(series, frames, where, options, inside)
    name = f"{stem(image, '_pet')}_model-Logan"
    names = {"DVR": f"{name}_meas-DVR_mimap.nii.gz", "R2": f"{name}_meas-R2_mimap.nii.gz"}
    sources = [image, timing, region, *([mask] if mask else [])]
    maps = {"DVR": made.dvr, "R2": made.r2}
    return write_maps(folder, names, maps, (sources, options.model_dump()), [*notes, *made.notes])


def reference_region(image: Volume, labels: tuple[int, ...], grid: Volume) -> np.ndarray:
    """Return the reference region on a grid (nearest neighbour), bool, from a mask or an image of labels.

    Raises
    ------
    MyelinError
        If none of the labels is there.
    """
    values = np.unique(np.round(image.array))
    inside = image.array > 0.5 if len(values) <= PAIR else np.isin(np.round(image.array), labels)
    if not inside.any():
        found = ", ".join(f"{value:g}" for value in values[:8])
        raise MyelinError(
            f"the reference region's image holds none of the labels {', '.join(map(str, labels))} (it holds {found}"
            f"{', ...' if len(values) > 8 else ''}): name its own with --reference-labels"
        )
    mask = Volume(inside, image.affine)
    return (mask if mask.same_grid(grid) else mask.resampled_to(grid)).array
