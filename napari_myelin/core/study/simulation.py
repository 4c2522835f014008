"""What a phantom cohort was simulated with, which its practical ceiling needs and its readers want to know."""

from __future__ import annotations

import json

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.phantom.options import PhantomOptions


def simulation(cohort: Cohort) -> PhantomOptions | None:
    """Return what a cohort was simulated with, as its ``dataset_description.json`` says; None where it does not."""
    folder = cohort.root if cohort.root.is_dir() else cohort.root.parent
    try:
        description = json.loads((folder / "dataset_description.json").read_text(encoding="utf-8"))
        return PhantomOptions.model_validate(description["Phantom"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
