"""The libraries of the extra ``prepare``, imported when a step needs them and not before."""

from __future__ import annotations

import importlib
import importlib.util
from importlib import metadata
from typing import Any

from napari_myelin.core.errors import MyelinError

DISTRIBUTIONS = {"SimpleITK": "simpleitk", "dipy": "dipy"}


def library(module: str) -> Any:
    """Return a module of dipy or SimpleITK.

    Parameters
    ----------
    module
        ``SimpleITK``, ``dipy.reconst.dti`` and so on.

    Raises
    ------
    MyelinError
        If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        name = module.split(".")[0]
        raise MyelinError(
            f"this step needs {name}, which is not installed: pip install napari-myelin[prepare]"
        ) from error


def missing() -> str:
    """Return in one sentence what has to be installed before anything can be prepared; empty where all is there.

    Nothing is imported.
    """
    names = [name for name in DISTRIBUTIONS if importlib.util.find_spec(name) is None]
    if not names:
        return ""
    verb = "are" if len(names) > 1 else "is"
    return f"{' and '.join(names)} {verb} not installed: pip install napari-myelin[prepare]"


def versions() -> dict[str, str]:
    """Return library -> installed version of all that a prepared map depends on."""
    found = {}
    for name in ("napari-myelin", "numpy", "scipy", "nibabel", *DISTRIBUTIONS.values()):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
