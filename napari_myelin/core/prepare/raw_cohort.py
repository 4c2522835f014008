"""A raw BIDS dataset of simulated subjects, to try the preparation on: what it should give is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_myelin.core.data.bids import sidecar, write_json
from napari_myelin.core.data.export import write_participants
from napari_myelin.core.data.volume import Volume, write_atomically, write_volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Progress
from napari_myelin.core.phantom.cohort import GENERATOR, NOTICE, PhantomSubject, make_subject
from napari_myelin.core.phantom.options import PhantomOptions
from napari_myelin.core.prepare.raw_phantom import Head, Scan, diffusion, flair, make_scan, mt_pair, t1w, t2w
from napari_myelin.core.prepare.series import Series, write_series
from napari_myelin.core.prepare.simulated_pet import pib_frames, simulate_pet

B, DIRECTIONS = 1000.0, 24
PET_NOISE = 0.05  # SD of a voxel of the last frame, relative to the reference region


def write_raw_cohort(out: Path, options: PhantomOptions, *, pet_noise: float = PET_NOISE) -> Iterator[Progress]:
    """Write simulated subjects as raw BIDS: T1w, T2w, FLAIR with its lesion mask, MT pair, DWI and dynamic PET.

    The PET lies on the phantom's own grid in the phantom's own pose, so what the preparation makes can be compared
    with ``phantom`` of the same options voxel by voxel.

    Parameters
    ----------
    out
        Where to.
    options
        As for the phantom; the other scans' voxels follow its spacing.
    pet_noise
        See `simulate_pet`.

    Raises
    ------
    MyelinError
        If the folder holds a dataset already, or cannot be written to.
    """
    if (out / "dataset_description.json").exists() or any(out.glob("sub-*")):
        raise MyelinError(f"{out} holds a dataset already: choose another folder")
    description = {
        "Name": f"napari-myelin raw phantom, seed {options.seed}",
        "BIDSVersion": "1.10.0",
        "DatasetType": "raw",
        "GeneratedBy": [{"Name": GENERATOR}],
        "Phantom": options.model_dump(),
    }
    write_json(out / "dataset_description.json", description)
    write_atomically(out / "README", NOTICE.encode())
    subjects = []
    for index in range(total := options.patients + options.controls):
        phantom = make_subject(index, options)
        write_raw_subject(phantom, out, np.random.default_rng((options.seed, index, 1)), pet_noise)
        subjects.append(phantom.subject())
        yield Progress("simulating", index + 1, total, subjects[-1].key)
    write_participants(out, subjects)


def write_raw_subject(phantom: PhantomSubject, out: Path, random: np.random.Generator, pet_noise: float) -> None:
    """Write one subject's scans."""
    head = Head(phantom)
    key = f"sub-{phantom.name}"
    folder, voxel = out / key, head.spacing
    fine, coarse = 0.85 * voxel, 1.64 * voxel

    def scan(spacing: tuple[float, float, float], left_first: bool, oblique: float = 0.0) -> Scan:
        return make_scan(random, head, spacing, left_first, oblique)

    def write(name: str, array: np.ndarray, where: Scan) -> None:
        write_volume(folder / "anat" / f"{key}_{name}.nii.gz", Volume(array, where.affine), dtype=np.int16)
        write_json(folder / "anat" / f"{key}_{name}.json", {"Simulated": True})

    place = scan((fine, fine, fine), left_first=True)
    write("T1w", t1w(random, head, place), place)
    place = scan((fine, fine, 2 * fine), left_first=False)
    write("T2w", t2w(random, head, place), place)
    place = scan((fine, fine, 1.5 * fine), left_first=True, oblique=12)
    image, lesion = flair(random, head, place)
    write("FLAIR", image, place)
    if phantom.group == "MS":
        path = out / "derivatives" / "lesions" / key / "anat" / f"{key}_label-L_mask.nii.gz"
        write_volume(path, Volume(lesion, place.affine))
        write_json(sidecar(path), {"Sources": [f"bids::{key}/anat/{key}_FLAIR.nii.gz"]})
    off = scan((voxel, voxel, voxel), left_first=False, oblique=8)
    moved = Scan(off.shape, off.affine, scan((voxel,) * 3, left_first=False).pose)
    for name, array in zip(("mt-on_MTR", "mt-off_MTR"), mt_pair(random, head, (moved, off)), strict=True):
        write(name, array, off)
    _write_diffusion(random, head, scan((coarse, coarse, coarse), left_first=True), folder / "dwi" / f"{key}_dwi")
    frames = pib_frames()
    dynamic = simulate_pet(random, phantom.volumes["noisefree"].array, frames, pet_noise)
    path = folder / "pet" / f"{key}_trc-11CPIB_pet.nii.gz"
    write_series(path, Series(dynamic, head.affine))
    table = {
        "TracerName": "PIB",
        "TracerRadionuclide": "C11",
        "Units": "kBq/mL",
        "TimeZero": "10:00:00",
        "InjectionStart": 0,
        "ScanStart": 0,
        "FrameTimesStart": frames.start.tolist(),
        "FrameDuration": frames.duration.tolist(),
        "ImageDecayCorrected": True,
        "Simulated": True,
    }
    write_json(sidecar(path), table)


def _write_diffusion(random: np.random.Generator, head: Head, scan: Scan, path: Path) -> None:
    index = np.arange(DIRECTIONS) + 0.5
    polar, azimuth = np.arccos(1 - index / DIRECTIONS), np.pi * (1 + 5**0.5) * index
    ring = np.sin(polar)
    directions = np.stack([ring * np.cos(azimuth), ring * np.sin(azimuth), np.cos(polar)], axis=1)
    volumes = list(diffusion(random, head, scan, directions, B))
    write_series(path.with_name(path.name + ".nii.gz"), Series(np.stack(volumes, axis=-1), scan.affine))
    write_json(path.with_name(path.name + ".json"), {"Simulated": True})
    table = np.vstack([np.zeros(3), directions]) * [-1, 1, 1]  # FSL's axes: the scan runs from right to left
    for ending, numbers in ((".bval", np.array([[0.0] + [B] * DIRECTIONS])), (".bvec", table.T)):
        lines = "\n".join(" ".join(f"{number:.6g}" for number in row) for row in numbers)
        write_atomically(path.with_name(path.name + ending), (lines + "\n").encode())
