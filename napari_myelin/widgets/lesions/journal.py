"""The autosave journal of a mask under work: every stroke is on disk before the next one, and survives a crash.

A file a mask: a line that says what it is, then records. A record is length, checksum and content; the first is the
whole mask, each further one the voxels that a stroke changed. Records are only ever appended and flushed to the disk;
a last one that a crash tore in two is left out when the journal is read.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import time
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.widgets.lesions.journal_records import CHANGE, WHOLE, packed_change, record, records, unpacked_change
from napari_myelin.widgets.owner import Owner

FORMAT = "napari-myelin mask journal 1"
SUFFIX = ".mask-journal"
COMPACT = 1 << 20  # bytes of changes after which the whole mask is written anew

_open: set[Path] = set()  # journals that this process writes
_count = itertools.count()


@dataclass(frozen=True, eq=False)
class Found:
    """A journal that nobody writes any more, and the mask it holds.

    ``path``; ``key`` of the subject; ``dataset`` it belongs to (a folder or table, empty where there was none);
    ``mask`` on the subject's own grid, bool; ``when`` the last stroke was, seconds since 1970.
    """

    path: Path
    key: str
    dataset: str
    mask: Volume
    when: float

    def fits(self, key: str, grid: Volume) -> bool:
        """Return whether it was drawn for a subject of that key on that grid."""
        return self.key == key and self.mask.same_grid(grid)

    def remove(self) -> None:
        """Delete the journal."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


class Journal:
    """Writes a mask's changes, in a thread of its own, in order.

    Parameters
    ----------
    folder
        Where journals are kept; it is made.
    key
        The subject's.
    mask
        As it is before the first change; bool, on the subject's own grid.
    dataset
        Folder or table that the subject belongs to.
    failed
        Called, in the thread, with a sentence where a change could not be written; the next one tries again.
    """

    def __init__(
        self, folder: Path, key: str, mask: Volume, dataset: str = "", failed: Callable[[str], None] | None = None
    ) -> None:
        name = f"{key}_{time.strftime('%Y%m%dT%H%M%S')}_{os.getpid()}_{next(_count)}"
        self.path = folder / (re.sub(r"[^\w.-]", "-", name) + SUFFIX)
        owner = Owner.me()
        self._head = {
            "format": FORMAT,
            "subject": key,
            "dataset": dataset,
            "shape": list(mask.shape),
            "affine": mask.affine.tolist(),
            "pid": owner.pid,
            "process_started": owner.started,
        }
        self._mask = mask.array.copy()
        self._failed = failed
        self._grown = 0
        self._whole = True  # whether the next record has to be the whole mask
        self._closed = False
        _open.add(self.path)
        self._thread = ThreadPoolExecutor(1, "mask journal")
        self._last: Future[None] | None = None

    def record(self, voxels: np.ndarray, values: np.ndarray) -> None:
        """Append a change; return at once.

        Parameters
        ----------
        voxels
            int (n,), indices into the flattened mask (C order, the subject's own grid).
        values
            bool (n,), what they are now.
        """
        self._last = self._thread.submit(self._append, np.array(voxels), np.array(values), time.time())

    def wait(self, seconds: float = 10.0) -> bool:
        """Wait until everything recorded is on the disk (and the file gone, if so ended); return whether it is."""
        if self._last is not None:
            self._last.result(seconds)
        return not self._whole

    def close(self, *, keep: bool) -> None:
        """End the journal; delete it unless it is to be kept for another time."""
        if self._closed:
            return
        self._closed = True
        self._last = self._thread.submit(self._end, keep)
        self._thread.shutdown(wait=False)

    def _end(self, keep: bool) -> None:
        _open.discard(self.path)
        if not keep:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)

    def _append(self, voxels: np.ndarray, values: np.ndarray, when: float) -> None:
        flat = self._mask.reshape(-1)
        old = flat[voxels]
        try:
            if self._whole:  # the state before the change first, so that a torn change leaves that one
                self._rewrite(when)
            flat[voxels] = values
            change = record(CHANGE, when, packed_change(voxels, old, values))
            with self.path.open("ab") as file:
                file.write(change)
                _to_disk(file)
            self._grown += len(change)
            if self._grown > COMPACT:
                self._rewrite(when)
        except OSError as error:
            flat[voxels] = values
            self._whole = True
            if self._failed is not None:
                self._failed(
                    f"the autosave of the mask cannot be written to {self.path.parent}: {error.strerror}; "
                    "save the mask, or free some space"
                )

    def _rewrite(self, when: float) -> None:
        """Write the mask as it stands now as a new file in place of the old."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".new")
        try:
            with temporary.open("wb") as file:
                file.write(json.dumps(self._head).encode() + b"\n")
                file.write(record(WHOLE, when, zlib.compress(np.packbits(self._mask).tobytes(), 1)))
                _to_disk(file)
            temporary.replace(self.path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        self._whole, self._grown = False, 0


def read_journal(path: Path) -> Found:
    """Return the mask that a journal holds, up to its last whole record.

    Raises
    ------
    MyelinError
        If it is no journal, or not even its first record is whole.
    """
    try:
        head, _, rest = path.read_bytes().partition(b"\n")
        about: dict[str, Any] = json.loads(head)
        if about["format"] != FORMAT:
            raise MyelinError(f"{path} was written by another version of napari-myelin: {about['format']}")
        shape = tuple(about["shape"])
        mask: np.ndarray | None = None
        written = list(records(rest))
        for kind, _, content in written:
            if kind == WHOLE:
                bits = np.frombuffer(zlib.decompress(content), dtype=np.uint8)
                mask = np.unpackbits(bits, count=int(np.prod(shape))).astype(bool)
            elif mask is not None:
                voxels, _, values = unpacked_change(content)
                mask[voxels] = values
        if mask is None:
            raise MyelinError(f"{path} holds no mask: it was torn at its very beginning")
        affine = np.asarray(about["affine"], dtype=np.float64)
        return Found(path, about["subject"], about["dataset"], Volume(mask.reshape(shape), affine), written[-1][1])
    except (OSError, ValueError, KeyError, TypeError, IndexError, zlib.error) as error:
        raise MyelinError(f"{path} cannot be read as a mask journal: {error}") from error


def find_journals(*folders: Path) -> list[Found]:
    """Return the journals in folders that no living process writes, newest first; what is no journal is left out."""
    found = []
    for path in {path for folder in folders if folder.is_dir() for path in folder.glob(f"*{SUFFIX}")}:
        with contextlib.suppress(MyelinError):
            if path not in _open and not _owner(path).alive:
                found.append(read_journal(path))
    return sorted(found, key=lambda each: -each.when)


def _owner(path: Path) -> Owner:
    try:
        with path.open("rb") as file:
            about = json.loads(file.readline())
        return Owner(int(about["pid"]), float(about["process_started"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MyelinError(f"{path} is no mask journal") from error


def _to_disk(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
