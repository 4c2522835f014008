"""What the user chose in Preferences: read where it is used, never kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

PLUGIN = "napari-myelin"
DEFAULTS: dict[str, Any] = {"device": "auto", "radiological": True, "autosave_folder": "", "threads": 0}


def setting(name: str) -> Any:
    """Return a setting of the manifest's ``configurations``: its value in Preferences, else its default.

    Parameters
    ----------
    name
        ``device``, ``radiological``, ``autosave_folder`` or ``threads``.
    """
    try:
        from napari.settings import get_plugin_settings

        return getattr(get_plugin_settings(PLUGIN).general, name)
    except (ImportError, AttributeError, KeyError):  # an older napari, or the plugin is not registered (a script)
        return DEFAULTS[name]


def autosave_folder() -> Path:
    """Return where masks under work are kept until they are saved: the chosen folder, else one in the home."""
    chosen = str(setting("autosave_folder"))
    return Path(chosen).expanduser() if chosen else home_autosave()


def home_autosave() -> Path:
    """Return the folder in the home that masks under work are kept in where none is chosen."""
    return Path.home() / ".napari-myelin" / "autosave"


def threads() -> int:
    """Return how many CPU threads the engine may use: as chosen, else all cores but one, which the window keeps."""
    return int(setting("threads")) or max(1, (os.cpu_count() or 2) - 1)


def on_change(name: str, told: Callable[[], None]) -> None:
    """Call ``told`` whenever a setting is changed in Preferences; nothing where napari has none of ours.

    Parameters
    ----------
    name
        As for `setting`.
    told
        A method is forgotten with its object.
    """
    try:
        from napari.settings import get_plugin_settings

        getattr(get_plugin_settings(PLUGIN).general.events, name).connect(told)
    except (ImportError, AttributeError, KeyError):
        return
