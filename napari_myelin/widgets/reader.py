"""What napari calls for a dropped or opened folder, table or NIfTI file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_myelin.core.data.cohort import open_cohort
from napari_myelin.core.events import StopRequest

NOTHING: list[tuple[None]] = [(None,)]  # npe2's word for: read, but there is no layer to add
IMAGES = (".nii", ".nii.gz")
TABLE, PEOPLE = "cohort.tsv", "participants.tsv"


def get_reader(path: str | list[str]) -> Callable[..., list[Any]] | None:
    """Return what reads a path, or None for what is not ours; looks at names only, never raises.

    Parameters
    ----------
    path
        A BIDS derivatives folder (or a subject's folder in one), a table with a column ``subject``, a NIfTI file, or
        a list of NIfTI files.
    """
    try:
        paths = [Path(each) for each in ([path] if isinstance(path, str) else path)]
        if paths and all(each.name.lower().endswith(IMAGES) and each.is_file() for each in paths):
            return read_images
        if len(paths) == 1 and cohort_at(paths[0]) is not None:
            return read_cohort
    except (OSError, TypeError, ValueError):  # not a path at all, or not ours to look into
        return None
    return None


def cohort_at(path: Path) -> tuple[Path, str] | None:
    """Return the cohort that a dropped path means and the subject to show (empty for none), or None.

    Parameters
    ----------
    path
        A dataset, a subject's folder inside one, a table, or a dataset's ``participants.tsv``.
    """
    if path.is_dir():
        if (path / TABLE).is_file() or any(child.is_dir() for child in path.glob("sub-*")):
            return path, ""
        if path.name.startswith("sub-") and any(path.rglob("*.nii*")):
            return path.parent, path.name
        return None
    if path.suffix.lower() != ".tsv" or not path.is_file():
        return None
    if path.name == PEOPLE:
        return path.parent, ""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        columns = [word.strip() for word in file.readline(10_000).replace(",", "\t").split("\t")]
    return (path, "") if "subject" in columns else None


def read_cohort(path: str | list[str], stack: bool = False) -> list[Any]:
    """Open a cohort in the viewer's session and its Subject panel; without a viewer, return its first subject's layers.

    Raises
    ------
    MyelinError
        Without a viewer: if the cohort cannot be opened.
    """
    from napari import current_viewer

    found = cohort_at(Path(path if isinstance(path, str) else path[0]))
    if found is None:
        return NOTHING
    folder, show = found
    viewer = current_viewer()
    if viewer is None:
        cohort = open_cohort(folder)
        return subject_layers(cohort.select([show]).subjects[0] if show else cohort.subjects[0])
    from napari_myelin.widgets.docking import open_panel
    from napari_myelin.widgets.opening import open_later
    from napari_myelin.widgets.session import session_of

    open_later(session_of(viewer), folder, show=show)
    open_panel(viewer, "Subject")
    return NOTHING


def read_images(path: str | list[str], stack: bool = False) -> list[Any]:
    """Show NIfTI files where they belong, as `open_file`; without a viewer, return them as layers of their own.

    Raises
    ------
    MyelinError
        If a file is no NIfTI that can be read.
    """
    from napari import current_viewer

    from napari_myelin.core.data.volume import read_volume

    paths = [Path(each) for each in ([path] if isinstance(path, str) else path)]
    viewer = current_viewer()
    if viewer is not None:
        from napari_myelin.widgets.docking import open_panel
        from napari_myelin.widgets.opening import open_file
        from napari_myelin.widgets.session import session_of

        for each in paths:
            open_file(session_of(viewer), each)
        open_panel(viewer, "Subject")
        return NOTHING
    from napari_myelin.core.data.subject import Subject
    from napari_myelin.widgets.layers import Frame
    from napari_myelin.widgets.maps import layer_data, shown_map
    from napari_myelin.widgets.styles import IMAGE

    frame = Frame(read_volume(paths[0]))
    nobody = Subject("file")
    maps = [shown_map(frame, IMAGE + each.name.split(".nii")[0], read_volume(each)) for each in paths]
    return [layer_data(shown, nobody, visible=True) for shown in maps]


def subject_layers(subject: Any) -> list[Any]:
    """Return every map of a subject as napari's layer tuples, for who works without a viewer."""
    from napari_myelin.widgets.layers import Frame
    from napari_myelin.widgets.maps import LOOK_FIRST, ShownMap, layer_data, load_maps, own_grid, roles_to_show

    frame = Frame(own_grid(subject))
    events = load_maps(subject, frame, roles_to_show(subject), False, StopRequest())
    maps = [event for event in events if isinstance(event, ShownMap)]
    first = next((role for role in LOOK_FIRST if any(each.role == role for each in maps)), "")
    return [layer_data(each, subject, visible=each.role in (first, "lesion")) for each in maps]
