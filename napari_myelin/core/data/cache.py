"""Subjects on the network's grid, on disk, scored: mapped into memory one at a time, never all held."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_myelin.core.data.grid import Grid
from napari_myelin.core.data.normalisation import Moments, Normalisation, normalisation
from napari_myelin.core.data.regions import LESION, NAWM, region_labels
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.usable import refuse_unusable
from napari_myelin.core.data.volume import Volume, content_digest, write_atomically
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Progress

Summary = Callable[[np.ndarray, np.ndarray], Any]
ENDINGS = {"maps": ".npy", "labels": "_labels.npy", "table": ".json", "half": "_half.npy"}


@dataclass(frozen=True)
class Scored:
    """A subject's arrays, mapped from the disk: what is not looked at is not read.

    ``mri`` (M, I, J, K) in channels-last memory and ``dvr`` (I, J, K), z-scored, float32; ``regions`` (I, J, K) uint8;
    ``brain`` bool (I, J, K), where any map is not 0.
    """

    mri: np.ndarray
    dvr: np.ndarray
    regions: np.ndarray
    brain: np.ndarray


class CohortCache:
    """Maps, target and regions of each subject as arrays on the network's grid.

    `build` writes them in their own units and finds the moments that the constants come from; `score` replaces the maps
    by their z-scores, in the memory order that a step wants. All ranks map the same files, and the system holds of
    them what fits.

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
    summary
        Of a subject's maps (M, I, J, K) and target (I, J, K) in their own units, for JSON; kept in `summaries`.
    """

    def __init__(
        self,
        folder: Path,
        subjects: Sequence[Subject],
        modalities: Sequence[str],
        grid: Grid,
        resample: bool = False,
        summary: Summary | None = None,
    ) -> None:
        self.folder, self.modalities, self.grid, self.resample = folder, tuple(modalities), grid, resample
        self.subjects = {subject.key: subject for subject in subjects}
        self.summary = summary
        self.digests: dict[str, str] = {}  # of each subject's measured DVR, once `build` has been there
        self.summaries: dict[str, Any] = {}
        self._moments: dict[str, dict[str, tuple[Moments, Moments]]] = {}
        self._constants = ""  # digest of those that the arrays were scored with
        self._scored: dict[str, set[Path]] | None = None  # arrays that are there, of each subject

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

    def score(self, normalisation: Normalisation, harmonise: bool = False) -> Iterator[Progress]:
        """Put the z-scores in place of the maps that `build` wrote.

        Parameters
        ----------
        normalisation, harmonise
            As for `Normalisation.z`.

        Raises
        ------
        MyelinError
            If the folder cannot be written to.
        """
        self.scored_with(normalisation, harmonise)
        for number, key in enumerate(self.subjects):
            if not self._scores(key).exists():
                self._score(key, normalisation, harmonise)
            yield Progress("normalising the cohort", number + 1, len(self.subjects), key)

    def scored_with(self, normalisation: Normalisation, harmonise: bool = False) -> None:
        """Let `load` return what `score`, here or in another process, made with these constants."""
        text = json.dumps([normalisation.to_dict(), harmonise])
        self._constants = hashlib.sha256(text.encode()).hexdigest()[:12]

    def load(self, key: str) -> Scored:
        """Return a subject's arrays, once `score` has made them.

        Raises
        ------
        MyelinError
            If they are not there, or not whole.
        """
        i, j, k = self.grid.shape
        maps = len(self.modalities)
        try:
            # a private mapping: torch wants to be allowed to write, and whoever does writes to memory of its own
            flat = np.load(self._scores(key), mmap_mode="c")
            regions, brain = np.load(self._file(key, "labels"), mmap_mode="c")
            mri, dvr = flat[: maps * i * j * k], flat[maps * i * j * k :]
            mri, dvr = mri.reshape(i, j, k, maps), dvr.reshape(i, j, k)
        except (OSError, ValueError) as error:
            raise MyelinError(
                f"the cached arrays of {key} in {self.folder} are gone or damaged: resume the run"
            ) from error
        return Scored(np.moveaxis(mri, -1, 0), dvr, regions, brain.view(bool))

    def normalisation(self, keys: Sequence[str]) -> Normalisation:
        """Return the constants of these subjects, which `build` has been through."""
        return normalisation(self._moments[key] for key in keys)

    def clear(self) -> None:
        """Delete the arrays, and the folder unless it holds something else."""
        for key in self.subjects:
            for path in (*(self._file(key, kind) for kind in ENDINGS), *self._all_scores(key)):
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _file(self, key: str, kind: str) -> Path:
        return self.folder / f"{key}{ENDINGS[kind]}"

    def _scores(self, key: str) -> Path:
        # the name says with which constants: a file of that name is whole, and right
        return self.folder / f"{key}_scored-{self._constants}.npy"

    def _all_scores(self, key: str) -> set[Path]:
        if self._scored is None:  # the folder is looked through once, not for each subject
            self._scored = {}
            for path in self.folder.glob("*_scored-*.npy"):
                self._scored.setdefault(path.name.rpartition("_scored-")[0], set()).add(path)
        return self._scored.setdefault(key, set())

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
            table = json.loads(self._file(key, "table").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        arrays = self._file(key, "maps").exists() or self._all_scores(key)
        if table.get("fingerprint") != fingerprint or "summary" not in table or not arrays:
            return False
        self.digests[key], self.summaries[key] = table["digest"], table["summary"]
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
        labels = np.zeros((2, *self.grid.shape), dtype=np.uint8)
        for label in (NAWM, LESION):
            labels[0][placement.to_network(Volume(regions == label, placement.reference.affine))] = label
        labels[1] = (stack[:-1] != 0).any(axis=0)
        moments = {
            name: (Moments.of(channel), Moments.of(channel[channel != 0]))
            for name, channel in zip(names, stack, strict=True)
        }
        self.summaries[key] = None if self.summary is None else self.summary(stack[:-1], stack[-1])
        self._file(key, "table").unlink(missing_ok=True)
        for scores in self._all_scores(key):  # of other files of the subject
            scores.unlink(missing_ok=True)
        self._all_scores(key).clear()
        self._save(self._file(key, "maps"), stack)
        self._save(self._file(key, "labels"), labels)
        # last, because its presence says that the arrays are whole
        table = {
            "fingerprint": fingerprint,
            "digest": self.digests[key],
            "moments": {name: [asdict(whole), asdict(brain)] for name, (whole, brain) in moments.items()},
            "summary": self.summaries[key],
        }
        write_atomically(self._file(key, "table"), json.dumps(table).encode())
        self._moments[key] = moments

    def _score(self, key: str, normalisation: Normalisation, harmonise: bool) -> None:
        if not self._file(key, "maps").exists():  # scored with other constants before
            self._write(key, self.subjects[key], self._fingerprint(self.subjects[key]))
        stack = np.load(self._file(key, "maps"))
        scored = np.empty(stack.size, dtype=np.float32)
        maps = len(self.modalities)
        mri = scored[: maps * stack[0].size].reshape(*self.grid.shape, maps)
        for number, name in enumerate(self.modalities):
            mri[..., number] = normalisation.z(name, stack[number], harmonise)
        scored[mri.size :] = normalisation.z("dvr", stack[-1]).ravel()
        self._save(self._file(key, "half"), scored)
        self._file(key, "half").replace(self._scores(key))
        self._all_scores(key).add(self._scores(key))
        self._file(key, "maps").unlink()

    def _save(self, path: Path, array: np.ndarray) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            np.save(path, array)
        except OSError as error:
            # numpy says how much was written, not why it stopped
            reason = error.strerror or f"no space left? {error}"
            raise MyelinError(f"cannot write the cache {self.folder}: {reason}; free some space") from error
