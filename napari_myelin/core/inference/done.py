"""Which subjects are predicted already: a prediction of many that was stopped or killed goes on with the others.

A subject is done when the sidecar of its predicted DVR carries the fingerprint of what was asked for: the same models,
options and threshold, and the same files, by size and time of change. It is put there last.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import napari_myelin
from napari_myelin.core.data.bids import sidecar, write_json
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.inference.outputs import Predictions

KEY = "Fingerprint"
BESIDE = ("brain", "lesion", "to_template", "dvr")  # what a prediction looks at besides the maps


def fingerprint(out: Predictions, subject: Subject, precision: str) -> str | None:
    """Return what tells a subject's prediction from any other; None where a map is in memory, and nobody can say.

    Parameters
    ----------
    out
        Models, threshold and options.
    subject
        Its files need not be there.
    precision
        Of the arithmetic.
    """
    files = []
    modalities = [name for card in out.cards for name in card.modalities]
    for role in dict.fromkeys((*modalities, *BESIDE)):
        source = subject.files.get(role)
        if source is None:
            continue
        if not isinstance(source, Path):
            return None
        try:
            stat = source.stat()
        except OSError:
            return None
        files.append([role, stat.st_size, stat.st_mtime_ns])
    asked = {
        "models": [card.uid for card in out.cards],
        "threshold": None if out.threshold is None else out.threshold.to_dict(),
        "options": out.options.model_dump(mode="json"),
        "precision": precision,
        "version": napari_myelin.__version__,
        "files": files,
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def is_done(out: Predictions, subject: Subject, precision: str) -> bool:
    """Return whether a subject's prediction is there, whole, as it is asked for now.

    Parameters
    ----------
    out, subject, precision
        As for `fingerprint`.
    """
    maps = ["dvr-predicted", "dvr-sketch", *(["dvr-uncertainty"] if out.options.uncertainty else [])]
    maps += ["lesion-table"] if subject.has("lesion") else []
    try:
        table = json.loads(sidecar(out.path(subject, "dvr-predicted")).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    wanted = fingerprint(out, subject, precision)
    if wanted is None or table.get(KEY) != wanted:
        return False
    return all(out.path(subject, what).exists() for what in maps)


def mark_done(out: Predictions, subject: Subject, precision: str) -> None:
    """Say that everything of a subject is written, once it is.

    Parameters
    ----------
    out, subject, precision
        As for `fingerprint`.

    Raises
    ------
    MyelinError
        If the sidecar cannot be written.
    """
    mark = fingerprint(out, subject, precision)
    if mark is not None:
        path = sidecar(out.path(subject, "dvr-predicted"))
        write_json(path, {**json.loads(path.read_text(encoding="utf-8")), KEY: mark})
