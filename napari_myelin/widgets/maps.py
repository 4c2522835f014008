"""A subject's maps, read off the main thread and made into layers on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_myelin.core.data.subject import FREE, Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Skipped
from napari_myelin.widgets.layers import Frame
from napari_myelin.widgets.styles import image_style, label_colours, layer_name

MARK = "napari_myelin"  # key of our metadata in a layer's
# bottom to top; modalities come after the images to look at, masks last
FIRST, LAST = ("t1w", "t2w", "flair"), ("noisefree", "dvr", "brain", "wm", "lesion")


@dataclass(frozen=True, eq=False)
class ShownMap:
    """An array ready to be a layer: ``array`` (superior, anterior, right), where it lies, and what it is."""

    role: str
    array: np.ndarray
    placing: dict[str, Any]

    @property
    def mask(self) -> bool:
        """Whether it is a mask, or a map of a few labels (uint8): a `Labels` layer."""
        return self.array.dtype in (bool, np.uint8)


def shown_map(frame: Frame, role: str, volume: Volume) -> ShownMap:
    """Return a volume as a layer of a subject's frame shows it."""
    array, placing = frame.layer(volume)
    return ShownMap(role, array, placing)


def roles_to_show(subject: Subject) -> list[str]:
    """Return the roles and modalities that become layers, bottom to top."""
    there = [role for role in subject.files if role != "to_template"]
    middle = [role for role in there if role not in FIRST and role not in LAST]
    return [*(r for r in FIRST if r in there), *middle, *(r for r in LAST if r in there)]


def load_maps(subject: Subject, frame: Frame, resample: bool) -> Iterator[ShownMap | Skipped]:
    """Read every map of a subject; one that cannot be used is named in a `Skipped` and the others go on.

    Parameters
    ----------
    subject, frame
        The subject, and how its own grid is shown.
    resample
        As for `Subject.volume`. Images to look at are shown wherever they lie.
    """
    for role in roles_to_show(subject):
        try:
            volume = subject.raw(role) if role in FREE else subject.volume(role, resample)
            yield shown_map(frame, role, volume)
        except MyelinError as error:
            yield Skipped(subject.key, str(error))


def add_layer(viewer: Any, shown: ShownMap, subject: Subject, *, visible: bool = False) -> Any:
    """Add a map to the viewer, or put it into the layer of its role that is there already; return the layer.

    Parameters
    ----------
    viewer
        napari's.
    shown
        The map; a mask becomes a `Labels` layer of 0 and 1, a map of labels one of these, anything else an `Image`
        layer.
    subject
        Whose it is; its key and true affine go into the layer's metadata.
    visible
        Whether it is switched on, where the layer is new.
    """
    layer = find_layer(viewer, shown.role)
    array = shown.array.astype(np.uint8) if shown.mask else shown.array
    if layer is not None and layer.data.shape == array.shape:
        layer.data = array
        return layer
    if layer is not None:
        viewer.layers.remove(layer)
    name = layer_name(shown.role)
    metadata = {MARK: {"role": shown.role, "subject": subject.key}}
    given = {"name": name, "metadata": metadata, "visible": visible, **shown.placing}
    if shown.mask:
        return viewer.add_labels(array, opacity=0.6, colormap=label_colours(shown.role), **given)
    return viewer.add_image(array, **image_style(shown.role, array), **given)


def role_of(layer: Any) -> str | None:
    """Return the role of one of our layers, None for any other."""
    mark = layer.metadata.get(MARK)
    return None if mark is None else str(mark["role"])


def find_layer(viewer: Any, role: str) -> Any:
    """Return the layer of a role, or None."""
    return next((layer for layer in viewer.layers if role_of(layer) == role), None)


def remove_layers(viewer: Any, *, keep: tuple[str, ...] = ()) -> None:
    """Remove our layers, but for the roles in ``keep``."""
    for layer in list(viewer.layers):
        role = role_of(layer)
        if role is not None and role not in keep:
            viewer.layers.remove(layer)
