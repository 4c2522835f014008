"""Files that were used lately, remembered from one start of napari to the next."""

from __future__ import annotations

import json
from pathlib import Path

from napari_myelin.core.data.volume import write_atomically
from napari_myelin.core.errors import MyelinError

KEPT = 8


def _file(kind: str) -> Path:
    return Path.home() / ".napari-myelin" / f"recent-{kind}.json"


def recent(kind: str) -> list[Path]:
    """Return the files of a kind (``models``) that were used lately and are still there, the last one first."""
    try:
        names = json.loads(_file(kind).read_text(encoding="utf-8"))
        return [path for path in map(Path, names) if path.exists()]
    except (OSError, ValueError, TypeError):
        return []


def remember(kind: str, path: Path) -> None:
    """Put a file first among those of its kind; where that cannot be written it is forgotten, which does no harm."""
    path = path.absolute()
    names = [str(path), *(str(each) for each in recent(kind) if each != path)]
    try:
        write_atomically(_file(kind), json.dumps(names[:KEPT], indent=1).encode())
    except MyelinError:
        return
