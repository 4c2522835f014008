"""Layers of one held-out subject that follow a training: inputs, sketch, refined, true, error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.events import Failed
from napari_myelin.widgets.jobs import Job
from napari_myelin.widgets.layers import Frame
from napari_myelin.widgets.maps import ShownMap, shown_map, take_away
from napari_myelin.widgets.styles import WITH_BAR

MARK = "napari_myelin_preview"  # not the mark of a subject's layers: these do not go when the subject changes
TITLE = "preview: "
LOOKS_LIKE = {"sketch": "dvr-sketch", "refined": "dvr-predicted", "true": "dvr", "error": "error"}
FIRST = "refined"  # the one that is switched on


def read_preview(path: Path) -> Iterator[tuple[str, ShownMap]]:
    """Yield name and map of everything in a run's ``preview.npz``: bottom to top.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    affine = arrays.pop("affine")
    frame: Frame | None = None
    for stored, array in arrays.items():
        name = stored.removeprefix("input_")
        volume = Volume(array.astype(np.float32), affine)  # stored as float16, which napari shows slowly
        frame = Frame(volume) if frame is None else frame
        yield name, shown_map(frame, LOOKS_LIKE.get(stored, name), volume)


class Previews:
    """The preview layers of one run in one viewer, changed in place.

    Parameters
    ----------
    session
        Of the viewer.
    shown
        Whether they are to be seen; hidden ones are not made before they are.
    """

    def __init__(self, session: Any, shown: bool) -> None:
        self.session, self.shown = session, shown
        self.subject = ""
        self.problem = ""
        self._path: Path | None = None
        self._made: dict[str, Any] = {}
        self._seen: set[str] = {FIRST}  # switched on when they were last shown
        self._job: Job | None = None
        self._again = False

    def update(self, path: Path, subject: str) -> None:
        """Read a run's preview in the background and show it."""
        self._path, self.subject = path, subject
        if not self.shown:
            return
        if self._job is not None:  # one file at a time; the newest is read when this one is through
            self._again = True
            return
        self._again, self.problem = False, ""
        job = Job("preview", lambda stop: read_preview(path), self.session)
        self._job = job.start(self._put, self._failed, self._read)

    def show(self, shown: bool) -> None:
        """Switch all of them on, as they last were, or off."""
        if shown == self.shown:
            return
        self.shown = shown
        if shown:
            self._made = {name: layer for name, layer in self._made.items() if layer in self.session.viewer.layers}
            for name, layer in self._made.items():
                layer.visible = name in self._seen
            if self._path is not None:
                self.update(self._path, self.subject)
        else:
            self._seen = {name for name, layer in self._made.items() if layer.visible} or {FIRST}
            for layer in self._made.values():
                layer.visible = False

    def remove(self) -> None:
        """Take the layers away."""
        layers = self.session.viewer.layers
        take_away(self.session.viewer, [layer for layer in self._made.values() if layer in layers])
        self._made, self._path = {}, None
        if not layers:
            self.session.letters.show("")

    def _put(self, item: tuple[str, ShownMap]) -> None:
        if self._path is None:  # removed meanwhile
            return
        name, shown = item
        layer = self._made.get(name)
        viewer = self.session.viewer
        if layer is None:
            self._made[name] = self._add(viewer, name, shown)
        elif layer in viewer.layers:  # one that the user deleted stays away
            layer.data = shown.array
            layer.scale, layer.translate = shown.placing["scale"], shown.placing["translate"]
            layer.metadata[MARK]["subject"] = self.subject

    def _add(self, viewer: Any, name: str, shown: ShownMap) -> Any:
        empty = not viewer.layers
        layer = Image(
            shown.array,
            name=TITLE + name,
            visible=self.shown and name in self._seen,
            metadata={MARK: {"name": name, "subject": self.subject}},
            **shown.style,
            **shown.placing,
        )
        layer.colorbar.visible = shown.role in WITH_BAR
        # above the images, below the masks; and whoever is painting goes on with the layer they paint on
        active = viewer.layers.selection.active
        masks = [index for index, each in enumerate(viewer.layers) if isinstance(each, Labels)]
        viewer.layers.insert(masks[0] if masks else len(viewer.layers), layer)
        if active is not None:
            viewer.layers.selection.active = active
        if empty:
            self.session.letters.show(self.subject)  # nobody else has turned the view
            viewer.reset_view()
        return layer

    def _failed(self, failed: Failed) -> None:
        self.problem = f"no preview: {failed.cause}"

    def _read(self) -> None:
        self._job = None
        if self._again and self._path is not None:
            self.update(self._path, self.subject)
