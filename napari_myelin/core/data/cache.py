"""Subjects on the network's grid, on disk: read one at a time, never all held."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from napari_myelin.core.data.grid import Grid
from napari_myelin.core.data.normalisation import Moments, Normalisation, normalisation
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.usable import refuse_unusable
from napari_myelin.core.data.volume import Volume, content_digest, write_atomically
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Progress

OTHER, NAWM, LESION = 0, 1, 2


def region_labels(subject: Subject, resample: bool = False) -> np.ndarray:
    """Return the disjoint regions of Eq. 5 as uint8 on the subject's own grid: 0 other, 1 NAWM, 2 lesion.

    NAWM is white matter outside lesions. A mask that is not there leaves its region empty.
    """
    regions = np.zeros(subject.reference().shape, dtype=np.uint8)
    for role, label in (("wm", NAWM), ("lesion", LESION)):
        if subject.has(role):
            regions[subject.volume(role, resample).array] = label
    return regions


class CohortCache:
    """Maps, target and regions of each subject as arrays on the network's grid, in their own units.

    Parameters
    ----------
    folder
        Where the arrays are kept.
    subjects
        Each has every modality and a measured DVR.
    modalities
        In the network's order.
    grid
        The network's.
    resample
        As for `Subject.volume`.
    """

    def __init__(
        self, folder: Path, subjects: Sequence[Subject], modalities: Sequence[str], grid: Grid, resample: bool = False
    ) -> None:
        self.folder, self.modalities, self.grid, self.resample = folder, tuple(modalities), grid, resample
        self.subjects = {subject.key: subject for subject in subjects}
        self.digests: dict[str, str] = {}  # of each subject's measured DVR, once `build` has been there
        self._moments: dict[str, dict[str, tuple[Moments, Moments]]] = {}

    def build(self) -> Iterator[Progress]:
        """Fill the cache in one pass over the files; what is there and unchanged is not read again.

        Raises
        ------
        MyelinError
            If a map cannot be used, or the folder cannot be written to.
        """
        for number, (key, subject) in enumerate(self.subjects.items()):
            fingerprint = self._fingerprint(subject)
            if not self._unchanged(key, fingerprint):
                self._write(key, subject, fingerprint)
            yield Progress("reading the cohort", number + 1, len(self.subjects), key)

    def load(self, key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ``mri`` (M, I, J, K) and ``dvr`` (I, J, K), float32, and ``regions`` (I, J, K), uint8."""
        try:
            stack = np.load(self.folder / f"{key}.npy")
            regions = np.load(self.folder / f"{key}_regions.npy")
        except (OSError, ValueError) as error:
            raise MyelinError(
                f"the cached arrays of {key} in {self.folder} are gone or damaged: resume the run"
            ) from error
        return stack[:-1], stack[-1], regions

    def normalisation(self, keys: Sequence[str]) -> Normalisation:
        """Return the constants of these subjects, which `build` has been through."""
        return normalisation(self._moments[key] for key in keys)

    def clear(self) -> None:
        """Delete the arrays, and the folder unless it holds something else."""
        for key in self.subjects:
            for ending in (".npy", "_regions.npy", ".json"):
                (self.folder / f"{key}{ending}").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _fingerprint(self, subject: Subject) -> str:
        parts: list[object] = [self.grid.to_dict(), self.modalities, self.resample]
        for role in (*self.modalities, "dvr", "lesion", "wm", "brain"):
            source = subject.files.get(role)
            if isinstance(source, Path) and source.exists():
                stat = source.stat()
                parts.append([role, str(source), stat.st_size, stat.st_mtime_ns])
            else:
                parts.append([role, id(source) if isinstance(source, Volume) else None])
        return json.dumps(parts)

    def _unchanged(self, key: str, fingerprint: str) -> bool:
        try:
            table = json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        if table.get("fingerprint") != fingerprint:
            return False
        self.digests[key] = table["digest"]
        self._moments[key] = {
            name: (Moments(**whole), Moments(**brain)) for name, (whole, brain) in table["moments"].items()
        }
        return True

    def _write(self, key: str, subject: Subject, fingerprint: str) -> None:
        refuse_unusable(subject, self.modalities, target=True, resample=self.resample)
        placement = self.grid.place(subject.reference(self.modalities), subject.brain(self.resample))
        names = (*self.modalities, "dvr")
        self.digests[key] = content_digest(subject.volume("dvr", self.resample).array)
        stack = np.stack([placement.to_network(subject.volume(name, self.resample)) for name in names])
        regions = region_labels(subject, self.resample)
        on_grid = np.zeros(self.grid.shape, dtype=np.uint8)
        for label in (NAWM, LESION):
            on_grid[placement.to_network(Volume(regions == label, placement.reference.affine))] = label
        moments = {
            name: (Moments.of(channel), Moments.of(channel[channel != 0]))
            for name, channel in zip(names, stack, strict=True)
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            np.save(self.folder / f"{key}.npy", stack)
            np.save(self.folder / f"{key}_regions.npy", on_grid)
        except OSError as error:
            # numpy says how much was written, not why it stopped
            reason = error.strerror or f"no space left? {error}"
            raise MyelinError(f"cannot write the cache {self.folder}: {reason}; free some space") from error
        # last, because its presence says that the arrays are whole
        table = {name: [asdict(whole), asdict(brain)] for name, (whole, brain) in moments.items()}
        text = json.dumps({"fingerprint": fingerprint, "digest": self.digests[key], "moments": table})
        write_atomically(self.folder / f"{key}.json", text.encode())
        self._moments[key] = moments
