"""The sample cohort and model that come with the package."""

from __future__ import annotations

from pathlib import Path

import napari_myelin
from napari_myelin.core.errors import MyelinError

SAMPLE = "sample_data"
MODEL = "model.safetensors"


def sample_folder() -> Path:
    """Return the folder of the sample cohort: a phantom of 4 patients and 2 controls as BIDS derivatives.

    Raises
    ------
    MyelinError
        If the installation is incomplete.
    """
    package = Path(napari_myelin.__file__).parent
    # inside the package in a wheel, beside it in a checkout
    for folder in (package / SAMPLE, package.parent / SAMPLE):
        if (folder / "dataset_description.json").exists():
            return folder
    raise MyelinError(f"the sample cohort is not in {package}: install napari-myelin again")


def sample_model() -> Path:
    """Return the file of the model that comes with the package, trained on phantom subjects.

    Raises
    ------
    MyelinError
        If the installation is incomplete.
    """
    path = sample_folder() / MODEL
    if not path.exists():
        raise MyelinError(f"the sample model is not in {path.parent}: install napari-myelin again")
    return path
