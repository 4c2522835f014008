"""Steps that are done once: each is known by the checksums of its inputs and its options."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_myelin.core.data.bids import write_json
from napari_myelin.core.prepare.provenance import checksum

REVISION = 2  # of the steps themselves: raised when one changes what it writes


class Store:
    """The record of a subject's steps.

    Parameters
    ----------
    folder
        Where it is kept, with whatever steps hand to each other.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: list[str] = []  # steps that were worked on, not taken from the record
        self._checksums: dict[Path, str] = {}

    def step(
        self,
        name: str,
        inputs: Sequence[Path],
        options: Mapping[str, Any],
        outputs: Sequence[Path],
        work: Callable[[], dict[str, Any]],
    ) -> dict[str, Any]:
        """Do a step unless it was done before on the same inputs with the same options, and return its facts.

        Parameters
        ----------
        name
            Of the step.
        inputs
            Files whose content it depends on.
        options
            It depends on too.
        outputs
            Files that it writes. They count as there if they are what the step wrote.
        work
            Does it, and returns facts that JSON can hold.

        Raises
        ------
        MyelinError
            Whatever the step raises.
        """
        told = [
            name,
            REVISION,
            [self._checksum(path) for path in inputs],
            dict(options),
            [self._relative(each) for each in outputs],
        ]
        key = hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()
        record = self.folder / f"{name}.json"
        facts = self._known(record, key)
        if facts is not None:
            return facts
        facts = work()
        self._checksums.update({path: checksum(path) for path in outputs})
        made = {self._relative(path): self._checksums[path] for path in outputs}
        # last, because its presence says that the step is whole
        write_json(record, {"key": key, "outputs": made, "facts": facts})
        self.done.append(name)
        return facts

    def _relative(self, path: Path) -> str:
        # so that a cohort may be called by another path, or be moved
        return Path(os.path.relpath(path, self.folder)).as_posix()

    def _checksum(self, path: Path) -> str:
        if path not in self._checksums:
            self._checksums[path] = checksum(path)
        return self._checksums[path]

    def _known(self, record: Path, key: str) -> dict[str, Any] | None:
        try:
            table = json.loads(record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if table.get("key") != key:
            return None
        for name, digest in table["outputs"].items():
            path = self.folder / name
            if not path.exists() or checksum(path) != digest:
                return None
        facts: dict[str, Any] = table["facts"]
        return facts
