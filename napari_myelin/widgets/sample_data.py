"""File > Open Sample: the phantom cohort that comes with the package, or one of its subjects."""

from __future__ import annotations

from typing import Any

from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.data.samples import sample_folder
from napari_myelin.core.errors import MyelinError
from napari_myelin.widgets.reader import subject_layers

FIRST = "flair"  # the one layer that napari itself is handed: a sample has to have one


def phantom_patient() -> list[Any]:
    """Open the sample's first patient.

    Raises
    ------
    MyelinError
        If the sample is not installed, or the subject on show is not left (an unsaved mask).
    """
    cohort = open_cohort(sample_folder())
    return _open(cohort.select([_first(cohort, "MS")]))


def phantom_control() -> list[Any]:
    """Open the sample's first control.

    Raises
    ------
    MyelinError
        As `phantom_patient`.
    """
    cohort = open_cohort(sample_folder())
    return _open(cohort.select([_first(cohort, "HC")]))


def phantom_cohort() -> list[Any]:
    """Open the sample's four patients and two controls; the first patient is shown.

    Raises
    ------
    MyelinError
        As `phantom_patient`.
    """
    return _open(open_cohort(sample_folder()))


def _first(cohort: Cohort, group: str) -> str:
    return next(subject.key for subject in cohort.subjects if subject.group == group)


def _open(cohort: Cohort) -> list[Any]:
    from napari import current_viewer

    subject = cohort.subjects[0]
    viewer = current_viewer()
    if viewer is None:
        return subject_layers(subject)
    from napari_myelin.widgets.docking import open_panel
    from napari_myelin.widgets.maps import layer_data, shown_map
    from napari_myelin.widgets.session import session_of

    session = session_of(viewer)
    if not session.set_cohort(cohort):
        raise MyelinError("the sample was not opened: the subject on show has a mask that is not saved")
    session.show(subject)
    open_panel(viewer, "Subject")
    # the others follow from a thread; this one finds its place among them by its role
    return [layer_data(shown_map(session.frame, FIRST, subject.raw(FIRST)), subject, visible=True)]
