"""The engine's sentences, and places on the disk, as the panels say them."""

from __future__ import annotations

import re
from pathlib import Path

from napari_myelin.core.events import Failed

CALLED = {"resume": "Resume", "out": "run folder", "jobs": "side by side"}


def in_panel_words(sentence: str) -> str:
    """Return a sentence of the engine with the command line's flags called as the panels call them."""
    sentence = sentence.replace("pass --resample", "resample it in the Subject panel")
    return re.sub(r"--([a-z][a-z-]*)", lambda flag: CALLED.get(flag[1], flag[1].replace("-", " ")), sentence)


def in_home(path: Path) -> str:
    """Return a path in words: ``~/...`` where it lies in the home, as a field for a folder takes it, too."""
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except ValueError:
        return str(path)


def notify(failed: Failed) -> None:
    """Show why something could not be done as napari's notification, wherever the user is looking."""
    from napari.utils.notifications import show_error

    show_error(in_panel_words(failed.sentence))
