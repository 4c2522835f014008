"""A subject's maps, read off the main thread and made into layers on it."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_myelin.core.data.subject import FREE, Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Skipped, StopRequest
from napari_myelin.widgets.layers import Frame, grid_of
from napari_myelin.widgets.styles import WITH_BAR, image_style, label_colours, layer_name

MARK = "napari_myelin"  # key of our metadata in a layer's
# bottom to top; modalities come after the images to look at, masks last
CHOSEN = "chosen-lesion"  # role of the line round the chosen lesions
MASKS_UP = ("brain", "wm", "lesion", CHOSEN)
LOOK_FIRST = ("flair", "t1w", "MTR", "dvr")
FIRST, LAST = ("t1w", "t2w", "flair"), ("noisefree", "dvr", "brain", "wm", "lesion")


@dataclass(frozen=True, eq=False)
class ShownMap:
    """An array ready to be a layer.

    ``array`` (superior, anterior, right); where it is shown (``placing``); the grid it is written on (``grid``); how it
    looks (``style``); ``resampled``, the grid in words that it was on before, where it was brought to the subject's.
    """

    role: str
    array: np.ndarray
    placing: dict[str, Any]
    grid: Volume
    style: dict[str, Any]
    resampled: str = ""

    @property
    def mask(self) -> bool:
        """Whether it is a mask, or a map of a few labels (uint8): a `Labels` layer."""
        return self.array.dtype in (bool, np.uint8)


def shown_map(frame: Frame, role: str, volume: Volume, resampled: str = "") -> ShownMap:
    """Return a volume as a layer of a subject's frame shows it; best called in a job, for it looks at every voxel."""
    array, placing, grid = frame.layer(volume)
    if array.dtype in (bool, np.uint8):
        style: dict[str, Any] = {"opacity": 0.6, "colormap": label_colours(role)}
    else:
        style = image_style(role, array)
    return ShownMap(role, array, placing, grid, style, resampled)


def own_grid(subject: Subject) -> Volume:
    """Return the grid that a subject is shown on: its own, else that of its first image.

    Raises
    ------
    MyelinError
        If it has no image, or its header cannot be read.
    """
    images = [role for role in subject.files if role != "to_template"]
    if not subject.modalities and not subject.has("dvr") and images:
        return grid_of(subject.grid(images[0]))
    return grid_of(subject.grid())


def roles_to_show(subject: Subject) -> list[str]:
    """Return the roles and modalities that become layers, bottom to top."""
    there = [role for role in subject.files if role != "to_template"]
    middle = [role for role in there if role not in FIRST and role not in LAST]
    return [*(r for r in FIRST if r in there), *middle, *(r for r in LAST if r in there)]


def load_maps(
    subject: Subject, frame: Frame, roles: Sequence[str], resample: bool, stop: StopRequest
) -> Iterator[ShownMap | Skipped]:
    """Read maps of a subject; one that cannot be used is named in a `Skipped` and the others go on.

    Parameters
    ----------
    subject, frame
        The subject, and how its own grid is shown.
    roles
        That are read.
    resample
        As for `Subject.volume`. Images to look at are shown wherever they lie.
    stop
        Read between two maps.
    """
    for role in roles:
        if stop:
            return
        try:
            volume = subject.raw(role) if role in FREE else subject.volume(role, resample)
            lay = subject.grid(role)
            moved = role not in FREE and not lay.same_grid(volume)
            yield shown_map(frame, role, volume, in_brief(lay) if moved else "")
        except MyelinError as error:
            yield Skipped(subject.key, str(error))


def in_brief(grid: Volume) -> str:
    """Return a grid in words: ``64 x 80 x 64, 2.4 mm, LAS``."""
    sizes = [f"{edge:.3g}" for edge in grid.spacing]
    spacing = sizes[0] if len(set(sizes)) == 1 else " x ".join(sizes)
    return f"{' x '.join(map(str, grid.shape))}, {spacing} mm, {grid.orientation}"


def layer_data(shown: ShownMap, subject: Subject, *, visible: bool = False) -> tuple[np.ndarray, dict[str, Any], str]:
    """Return a map as napari's readers return layers: array, attributes, type.

    Parameters
    ----------
    shown
        The map; a mask becomes a `Labels` layer of 0 and 1, a map of labels one of these, anything else an `Image`
        layer.
    subject
        Whose it is; its key, the map's true grid and where it is shown go into the layer's metadata.
    visible
        Whether it is switched on.
    """
    mark = {
        "role": shown.role,
        "subject": subject.key,
        "shape": [int(edge) for edge in shown.grid.shape],
        "affine": shown.grid.affine.tolist(),
        "scale": [float(size) for size in shown.placing["scale"]],
        "translate": [float(place) for place in shown.placing["translate"]],
    }
    name = layer_name(shown.role) + (" (resampled)" if shown.resampled else "")
    attributes = {"name": name, "metadata": {MARK: mark}, "visible": visible, **shown.placing, **shown.style}
    array = shown.array.view(np.uint8) if shown.array.dtype == bool else shown.array
    return array, attributes, "labels" if shown.mask else "image"


def add_layer(viewer: Any, shown: ShownMap, subject: Subject, *, visible: bool = False) -> Any:
    """Add a map to the viewer, or put it into the layer of its role that is there already; return the layer.

    Parameters
    ----------
    viewer
        napari's.
    shown, subject, visible
        As for `layer_data`; a layer that is there already is switched neither on nor off.
    """
    array, attributes, kind = layer_data(shown, subject, visible=visible)
    layer = find_layer(viewer, shown.role)
    if layer is not None and layer.metadata[MARK] == attributes["metadata"][MARK] and layer.data.shape == array.shape:
        layer.data = array
        return layer
    if layer is not None:
        viewer.layers.remove(layer)
    if kind == "labels":
        return viewer.add_labels(array, **attributes)
    layer = viewer.add_image(array, **attributes)
    layer.colorbar.visible = shown.role in WITH_BAR
    return layer


def role_of(layer: Any) -> str | None:
    """Return the role of one of our layers, None for any other."""
    mark = layer.metadata.get(MARK)
    return None if mark is None else str(mark["role"])


def find_layer(viewer: Any, role: str) -> Any:
    """Return the layer of a role, or None."""
    return next((layer for layer in viewer.layers if role_of(layer) == role), None)


def remove_layers(viewer: Any, *, keep: tuple[str, ...] = ()) -> None:
    """Remove our layers, but for the roles in ``keep``."""
    take_away(viewer, [layer for layer in viewer.layers if role_of(layer) not in (None, *keep)])


def take_away(viewer: Any, layers: Sequence[Any]) -> None:
    """Remove several layers, and look through the garbage once afterwards.

    napari does so at each of them, which takes as long as the process has objects: with torch loaded, longer than all
    the rest. So what lives before is kept out of it until the last one is gone.
    """
    if not layers:
        return
    gc.freeze()
    try:
        for layer in layers:
            viewer.layers.remove(layer)
    finally:
        gc.unfreeze()
    gc.collect()


def raise_masks(viewer: Any) -> None:
    """Bring the masks of the subject above its maps, the lesions and the line round the chosen ones to the top."""
    for role in MASKS_UP:
        layer = find_layer(viewer, role)
        if layer is not None and viewer.layers[-1] is not layer:
            viewer.layers.move(viewer.layers.index(layer), len(viewer.layers))


def show_one(viewer: Any) -> None:
    """Switch on the image that a reader looks at first."""
    for role in LOOK_FIRST:
        layer = find_layer(viewer, role)
        if layer is not None:
            layer.visible = True
            return
    if viewer.layers:
        viewer.layers[0].visible = True
