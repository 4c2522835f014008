"""What a prepared file was made from: sidecars with checksums, options and versions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_myelin.core.data.bids import sidecar, write_json
from napari_myelin.core.data.header import readable
from napari_myelin.core.prepare.libraries import versions

CHUNK = 1 << 20


def checksum(path: Path) -> str:
    """Return a file's SHA-256.

    Raises
    ------
    MyelinError
        If it cannot be read.
    """
    digest = hashlib.sha256()
    with readable(path), path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write_provenance(
    path: Path, sources: Sequence[Path], options: Mapping[str, Any], extra: Mapping[str, Any] | None = None
) -> None:
    """Write the JSON sidecar of an image: what it was made from, how, and by which versions.

    Parameters
    ----------
    path
        The image.
    sources
        Its inputs, whose checksums are taken.
    options
        Of the step.
    extra
        More for the sidecar: the unit, notes, what was measured.

    Raises
    ------
    MyelinError
        If an input cannot be read, or the sidecar not be written.
    """
    table = {
        **(extra or {}),
        "Sources": [source.name for source in sources],
        "SourceChecksums": {source.name: f"sha256:{checksum(source)}" for source in sources},
        "Options": dict(options),
        "Software": versions(),
    }
    write_json(sidecar(path), table)
