"""Simulated subjects and cohorts on disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_myelin.core.data.bids import bids_path, sidecar, write_description, write_json
from napari_myelin.core.data.export import SPATIAL_REFERENCE, write_participants
from napari_myelin.core.data.subject import Group, Subject
from napari_myelin.core.data.transform import PointTransform, write_transform
from napari_myelin.core.data.volume import Volume, write_atomically, write_volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Progress
from napari_myelin.core.phantom.anatomy import make_anatomy
from napari_myelin.core.phantom.lesions import make_lesions, no_lesions
from napari_myelin.core.phantom.options import SITES, PhantomOptions
from napari_myelin.core.phantom.signals import make_diffusion, make_dvr, make_flair, make_mtr
from napari_myelin.core.phantom.tissue import Tissue, make_tissue

WRITTEN = ("README", "participants.tsv", "participants.json", ".bidsignore")
GENERATOR = "napari-myelin phantom"
# steps of the stored 16-bit integers, far below each map's noise, so that files stay small
STEPS = {"MTR": 0.02, "FA": 2e-4, "RD": 1e-3, "AD": 1e-3, "dvr": 1e-3, "noisefree": 2e-4, "flair": 0.1}
UNITS = {"MTR": "%", "FA": "1", "RD": "10^-3 mm2/s", "AD": "10^-3 mm2/s", "dvr": "1", "noisefree": "1"}
NOTICE = """This cohort is simulated (napari-myelin phantom): no person was scanned. Its anatomy derives from the MNI152
template: Copyright (C) 1993-2004 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute,
McGill University. Permission to use, copy, modify, and distribute this software and its documentation for any
purpose and without fee is hereby granted, provided that the above copyright notice appear in all copies. The
authors and McGill University make no representations about the suitability of this software for any purpose. It is
provided "as is" without express or implied warranty. The authors are not responsible for any data loss, equipment
damage, property loss, or injury to subjects or patients resulting from the use or misuse of this software package.
"""


@dataclass(frozen=True, eq=False)
class PhantomSubject:
    """A simulated subject: what a scanner would give, and the truth behind it.

    ``volumes`` holds the modalities, ``dvr``, ``noisefree``, ``wm``, ``brain``, ``flair`` and for a patient ``lesion``;
    ``tissue`` the latents, whose ``myelin`` is the ground truth.
    """

    name: str
    group: Group
    age: float
    sex: str
    volumes: dict[str, Volume]
    tissue: Tissue
    to_template: PointTransform

    def subject(self) -> Subject:
        """Return it as a subject in memory."""
        return Subject(self.name, None, self.group, self.age, self.sex, dict(self.volumes))


def make_subject(index: int, options: PhantomOptions) -> PhantomSubject:
    """Simulate one subject; it depends on the seed and its index alone, not on the others.

    Parameters
    ----------
    index
        From 0; the first ``options.patients`` are patients.
    options
        Of the cohort.
    """
    random = np.random.default_rng((options.seed, index))
    patient = index < options.patients
    # age and sex as in the paper's cohort: 31.4 (5.6) and 12 of 18 women; 29.4 (6.3) and 8 of 10
    age = float(np.clip(round(random.normal(31.4, 5.6) if patient else random.normal(29.4, 6.3)), 18, 60))
    sex = "F" if random.random() < (12 / 18 if patient else 8 / 10) else "M"
    anatomy = make_anatomy(random, options.shape, options.spacing)
    lesions = make_lesions(random, anatomy) if patient else no_lesions(anatomy)
    tissue = make_tissue(random, anatomy, lesions, patient)
    site = SITES[options.site]
    maps = {"MTR": make_mtr(random, anatomy, tissue, site), **make_diffusion(random, anatomy, tissue, site)}
    maps["dvr"], maps["noisefree"] = make_dvr(random, anatomy, tissue)
    maps["flair"] = make_flair(random, anatomy, tissue)
    brain = anatomy.gm + anatomy.wm + anatomy.csf > 0.5
    arrays = {name: np.where(brain, array, np.float32(0)) for name, array in maps.items()}
    arrays |= {"wm": (anatomy.wm > 0.5) & brain, "brain": brain}
    if patient:
        arrays["lesion"] = lesions.mask & brain
        arrays["wm"] |= arrays["lesion"]
    volumes = {name: Volume(array, anatomy.affine) for name, array in arrays.items()}
    total = options.patients + options.controls
    name = f"{index + 1:0{max(2, len(str(total)))}d}"
    return PhantomSubject(name, "MS" if patient else "HC", age, sex, volumes, tissue, anatomy.to_template)


def write_subject(phantom: PhantomSubject, out: Path) -> Subject:
    """Write a simulated subject under its BIDS names and return it as read from there."""
    files: dict[str, Path | Volume] = {}
    for role, volume in phantom.volumes.items():
        path = bids_path(out, phantom.name, None, role)
        write_volume(path, volume, step=STEPS.get(role), intent=role, description=GENERATOR)
        table: dict[str, str | bool] = {"SpatialReference": SPATIAL_REFERENCE, "Simulated": True}
        if role in UNITS:
            table["Units"] = UNITS[role]
        if role == "flair":
            table["SkullStripped"] = True
        write_json(sidecar(path), table)
        files[role] = path
    path = bids_path(out, phantom.name, None, "to_template")
    write_transform(path, phantom.to_template)
    note = "ITK displacement field (LPS, mm) on the subject; maps its points to template points"
    write_json(sidecar(path), {"Description": note})
    files["to_template"] = path
    return Subject(phantom.name, None, phantom.group, phantom.age, phantom.sex, files)


def command(options: PhantomOptions) -> str:
    """Return the command line that writes a cohort of these options to ``OUT``."""
    return (
        f"napari-myelin-train phantom OUT --patients {options.patients} --controls {options.controls} "
        f"--shape {' '.join(map(str, options.shape))} --spacing {options.spacing:g} --seed {options.seed}"
        f"{'' if options.site == 'A' else f' --site {options.site}'}"
    )


def write_cohort(out: Path, options: PhantomOptions) -> Iterator[Progress]:
    """Write a simulated cohort as BIDS derivatives, subject after subject.

    Raises
    ------
    MyelinError
        If the folder holds a cohort already or a file that would be written over, or cannot be written to.
    """
    if (out / "dataset_description.json").exists() or any(out.glob("sub-*")):
        raise MyelinError(f"{out} holds a dataset already: choose another folder")
    if others := [name for name in WRITTEN if (out / name).exists()]:
        raise MyelinError(f"{out} holds a {others[0]}, which would be written over: choose another folder")
    write_description(out, f"napari-myelin phantom, seed {options.seed}", GENERATOR, {"Phantom": options.model_dump()})
    write_atomically(out / "README", (NOTICE + f"\nMade with: {command(options)}\n").encode())
    subjects = []
    for index in range(total := options.patients + options.controls):
        subjects.append(write_subject(make_subject(index, options), out))
        yield Progress("simulating", index + 1, total, subjects[-1].key)
    write_participants(out, subjects)
