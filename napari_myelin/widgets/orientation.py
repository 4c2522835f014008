"""Which way is which on the screen: radiological or not, and a letter at each edge that stays right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import ref

from napari_myelin.widgets.settings import on_change, setting

# what each shown axis (superior, anterior, right) leads away from, and to
ENDS = (("I", "S"), ("P", "A"), ("L", "R"))
PLANES = ("axial", "coronal", "sagittal")  # by the axis that is walked
EDGES = ("left", "right", "top", "bottom")
POSITIONS = {"left": "middle_left", "right": "middle_right", "top": "top_center", "bottom": "bottom_center"}


def letters(displayed: Sequence[int], vertical: str, horizontal: str) -> dict[str, str]:
    """Return the anatomical letter at each edge of the screen.

    Parameters
    ----------
    displayed
        The two axes shown, downwards and across: 0 is superior, 1 anterior, 2 right.
    vertical, horizontal
        Where coordinates grow on the screen: ``up`` or ``down``, ``left`` or ``right``.
    """
    (low_v, high_v), (low_h, high_h) = (ENDS[axis] for axis in displayed)
    top, bottom = (high_v, low_v) if vertical == "up" else (low_v, high_v)
    left, right = (high_h, low_h) if horizontal == "left" else (low_h, high_h)
    return {"left": left, "right": right, "top": top, "bottom": bottom}


class Letters:
    """Keeps the letters at the canvas's edges right, whichever axes are shown and however the view is flipped.

    Parameters
    ----------
    viewer
        napari's.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = ref(viewer)
        self.subject = ""  # whose letters they are; empty hides them
        camera = viewer.scene.camera
        dims = viewer.dims.events
        for event in (dims.ndim, dims.order, dims.ndisplay, camera.events.orientation):
            event.connect(self._write)
        on_change("radiological", self.turn)

    @property
    def viewer(self) -> Any:
        """Return napari's viewer."""
        return self._viewer()

    def show(self, subject: str) -> None:
        """Turn the view axial and write the letters and the name of a subject; an empty name hides them."""
        self.subject = subject
        if subject:
            self.viewer.dims.ndisplay = 2
            self.viewer.dims.order = tuple(range(self.viewer.dims.ndim))
            self._orient()
        self._write()

    def turn(self) -> None:
        """Take a changed preference; a viewer that was closed has no layer left, and nothing to turn."""
        if self.viewer is not None and self.subject and self.viewer.layers:
            self._orient()

    def _orient(self) -> None:
        """Put the right on the left of the screen (radiological), or as Preferences say; anterior or superior is up."""
        side = "left" if setting("radiological") else "right"
        self.viewer.scene.camera.orientation = ("towards", "up", side)

    def _write(self, event: Any = None) -> None:
        """Write what holds now."""
        dims, overlays = self.viewer.dims, self.viewer.canvas.overlays
        # a layer of more axes has them in front
        axes = [axis - (dims.ndim - 3) for axis in dims.displayed]
        flat = bool(self.subject) and dims.ndisplay == 2 and dims.ndim >= 3 and min(axes) >= 0
        orientation = [str(getattr(each, "value", each)) for each in self.viewer.scene.camera.orientation]
        shown = letters(axes, orientation[1], orientation[2]) if flat else dict.fromkeys(EDGES, "")
        for edge in EDGES:
            _text(overlays, f"myelin_{edge}", POSITIONS[edge], 14).text = shown[edge]
        caption = ""
        if flat:
            (plane,) = (PLANES[axis] for axis in range(3) if axis not in axes)
            side = "" if plane == "sagittal" else f", {'radiological' if orientation[2] == 'left' else 'neurological'}"
            caption = f"{self.subject}\n{plane}{side}"  # two lines: one would run into the letter below
        _text(overlays, "myelin_caption", "bottom_left", 10).text = caption
        for name in (*(f"myelin_{edge}" for edge in EDGES), "myelin_caption"):
            overlays[name].visible = bool(overlays[name].text)


def _text(overlays: Any, name: str, position: str, size: int) -> Any:
    """Return a text of the canvas, made at the first call."""
    if name not in overlays:
        from napari.components.overlays import TextOverlay

        overlays[name] = TextOverlay(text="", position=position, font_size=size, box=True)
    return overlays[name]
