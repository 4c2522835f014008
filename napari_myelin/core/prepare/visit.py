"""One visit, from its scans to the cohort's files: steps that are cached, each a failure of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_myelin.core.data.bids import bids_path
from napari_myelin.core.data.volume import Volume, read_volume, write_volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.prepare.geometry import header_notes
from napari_myelin.core.prepare.options import PrepareOptions
from napari_myelin.core.prepare.provenance import write_provenance
from napari_myelin.core.prepare.raw import WORK, RawSubject
from napari_myelin.core.prepare.registration import align
from napari_myelin.core.prepare.resampling import resample_mask
from napari_myelin.core.prepare.store import Store
from napari_myelin.core.prepare.transforms import Chain, read_matrix, write_matrix

REPORT = "report.json"
Facts = dict[str, Any]


@dataclass
class Report:
    """What came of a visit: ``facts`` by step, ``notes`` and ``failures`` in sentences, ``worked`` steps by name."""

    key: str
    facts: dict[str, Facts] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    worked: list[str] = field(default_factory=list)


class Visit:
    """A visit that is being prepared: its scans, its files in the cohort, and the record of its steps.

    Parameters
    ----------
    raw
        Its scans.
    out
        The cohort's folder.
    options
        Of the preparation.
    """

    def __init__(self, raw: RawSubject, out: Path, options: PrepareOptions) -> None:
        self.raw, self.out, self.options = raw, out, options
        self.store = Store(out / WORK / raw.key)
        self.report = Report(raw.key, notes=list(raw.notes))

    def file(self, name: str) -> Path:
        """Return where a step leaves a file for another step."""
        return self.store.folder / name

    def target(self, role: str) -> Path:
        """Return where a map or mask of the cohort is written."""
        return bids_path(self.out, self.raw.name, self.raw.session, role)

    def has(self, *roles: str) -> bool:
        """Return whether all these scans are there."""
        return all(role in self.raw.files for role in roles)

    def do(
        self,
        name: str,
        inputs: Sequence[Path],
        options: Facts,
        outputs: Sequence[Path],
        work: Callable[[], Facts],
    ) -> bool:
        """Do a step, or take it from the record; a failure is reported, and False returned."""
        try:
            for path in inputs:
                if path.name.endswith(IMAGES) and path in self.raw.files.values():
                    self.note(*(f"{path.name}: {note}" for note in header_notes(path)))
            facts = self.store.step(name, inputs, options, outputs, work)
        except MyelinError as error:
            return self._failed(name, str(error), outputs)
        except MemoryError:
            return self._failed(name, "out of memory: fewer --jobs, or close other programs", outputs)
        except (RuntimeError, ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            last = (str(error).strip() or "no reason given").splitlines()[-1]
            return self._failed(name, f"{type(error).__name__}: {last}", outputs)
        self.report.facts[name] = facts
        self.note(*facts.get("notes", []))
        return True

    def _failed(self, name: str, reason: str, outputs: Sequence[Path]) -> bool:
        old = [
            path.name
            for path in outputs
            if path.exists() and path.is_relative_to(self.out) and path.parent != self.store.folder
        ]
        more = f"; {', '.join(old)} of an earlier run still there: delete what you do not trust" if old else ""
        self.report.failures.append(f"{name}: {reason}{more}")
        return False

    def note(self, *sentences: str) -> None:
        """Say something of the visit, once."""
        self.report.notes.extend(each for each in sentences if each not in self.report.notes)

    def write(self, role: str, volume: Volume, sources: Sequence[Path], options: Facts, extra: Facts) -> None:
        """Write a map or mask of the cohort with its sidecar."""
        path = self.target(role)
        write_volume(path, volume, intent=role)
        write_provenance(path, sources, options, extra)


IMAGES = (".nii", ".nii.gz")


def align_scan(visit: Visit, name: str, kind: str = "rigid") -> bool:
    """Register a 3D scan to the T1w: ``NAME_to_t1w`` holds the matrix from points of the T1w to points of the scan."""
    path, out = visit.raw.files[name], visit.file(f"from-t1w_to-{name}_xfm.txt")
    t1w, brain = visit.file("t1w.nii.gz"), visit.file("brain.nii.gz")

    def work() -> Facts:
        fixed = read_volume(t1w)
        mask = read_volume(brain, mask=True).array
        found = align(fixed, read_volume(path), "affine" if kind == "affine" else "rigid", mask=mask, centre=True)
        write_matrix(out, found.matrix)
        return {"before": found.before, "after": found.after}

    return visit.do(f"align-{name}", [path, t1w, brain], {"kind": kind}, [out], work)


def onto_reference(visit: Visit, name: str) -> Chain:
    """Return the chain from points of the reference grid, over the T1w, to points of a scan."""
    return Chain(
        (
            read_matrix(visit.file("from-reference_to-t1w_xfm.txt")),
            read_matrix(visit.file(f"from-t1w_to-{name}_xfm.txt")),
        )
    )


def reference_grid(visit: Visit) -> Volume:
    """Return the reference image: the PET's late average, or the T1w on the grid that stands in for it."""
    return read_volume(visit.file("reference.nii.gz"))


def bring_masks(visit: Visit) -> bool:
    """Bring brain, white matter and lesions to the reference grid, each by one interpolation from where it was made."""
    grid_file, xfm = visit.file("reference.nii.gz"), visit.file("from-reference_to-t1w_xfm.txt")
    inputs = [grid_file, xfm, visit.file("brain.nii.gz"), visit.file("wm.nii.gz")]
    roles = ["brain", "wm"]
    if (lesion := visit.raw.files.get("lesion")) and visit.file("from-t1w_to-lesion_xfm.txt").exists():
        inputs += [lesion, visit.file("from-t1w_to-lesion_xfm.txt")]
        roles.append("lesion")

    def work() -> Facts:
        grid, facts = reference_grid(visit), dict[str, Any]()
        chain = Chain((read_matrix(xfm),))
        masks = {
            role: resample_mask(read_volume(visit.file(f"{role}.nii.gz"), mask=True), grid, chain) for role in roles[:2]
        }
        if "lesion" in roles:
            assert lesion is not None
            drawn = read_volume(lesion, mask=True)
            masks["lesion"] = resample_mask(drawn, grid, onto_reference(visit, "lesion"))
            masks["wm"] = Volume(masks["wm"].array | masks["lesion"].array, grid.affine)
            before, after = (float(each.array.sum()) * each.voxel_volume / 1000 for each in (drawn, masks["lesion"]))
            facts["lesion_ml"] = [before, after]
        for role, mask in masks.items():
            visit.write(role, mask, inputs, {}, {"SpatialReference": spatial(visit)})
            facts[f"{role}_ml"] = facts.get(f"{role}_ml", float(mask.array.sum()) * mask.voxel_volume / 1000)
        return facts

    return visit.do("masks", inputs, {}, [visit.target(role) for role in roles], work)


def spatial(visit: Visit) -> str:
    """Return what the visit's common grid is, for sidecars."""
    return "the subject's PET" if visit.has("pet") else "the T1w, on a grid of its own: there is no PET"


def read_reports(out: Path) -> list[Report]:
    """Return what came of every visit that was ever prepared into a cohort, by key.

    Raises
    ------
    MyelinError
        If a report is damaged.
    """
    reports = []
    for path in sorted((out / WORK).glob(f"sub-*/{REPORT}")):
        try:
            reports.append(Report(**json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError) as error:
            raise MyelinError(f"{path} cannot be read: delete it and prepare {path.parent.name} again") from error
    return reports
