"""How each kind of map looks: colour map, window, name."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from napari.utils.colormaps import Colormap, ensure_colormap
from napari.utils.theme import get_theme

from napari_myelin.core.data.subject import in_words

# window (low, high) in the map's own unit: what a reader expects, not what one subject happens to span
WINDOWS = {"MTR": (0.0, 60.0), "FA": (0.0, 0.8), "RD": (0.0, 2.0), "AD": (0.0, 2.5)}
DVR_COLOURS = "DVR"
DVR_WINDOW = (0.5, 1.5)  # CSF to more than the callosum; a colour bar has a number at both ends
DVR_ROLES = ("dvr", "noisefree", "dvr-predicted", "dvr-sketch")
WITH_BAR = (*DVR_ROLES, "dvr-uncertainty", "error")  # shown with a colour bar, where they are switched on
IMAGE = "image:"  # before the name of a file that is shown beside a subject and belongs to nothing
NAMES = {
    "dvr-predicted": "predicted DVR",
    "dvr-sketch": "sketch",
    "dvr-uncertainty": "uncertainty",
    "error": "error (predicted - measured)",
    "demyelinated": "demyelinated",
    "agreement": "agreement",
}
LESION_COLOUR = "#ff4d4d"
# of sentences, on a dark and on a light theme: 4.5 to 1 and more against napari's own (WCAG AA), which no colour has on
# both; ``caution`` is of words to be read before something is done
INKS = {
    "dark": {"good": "#3aa868", "problem": "#ee6a62", "caution": "#d08010"},
    "light": {"good": "#1b6f3e", "problem": "#b3261e", "caution": "#8a5200"},
}
MASK_COLOURS = {"lesion": LESION_COLOUR, "wm": "#4da6ff", "brain": "#b3b3b3"}
# what each label of a map of labels means, and its colour; agreement as in the paper's figure 8
LABELS: dict[str, dict[int, tuple[str, str]]] = {
    "demyelinated": {1: ("#ff3df2", "demyelinated"), 2: ("#ffb8fa", "unsure: within the uncertainty")},
    "agreement": {
        1: ("#ffffff", "in neither map"),
        2: ("#ffd60a", "in both"),
        3: ("#e01e26", "in the measured map only"),
        4: ("#ff8c1a", "in the predicted map only"),
    },
}


def inks(theme: str) -> dict[str, str]:
    """Return the colours of sentences, by what they say, on one of napari's themes (its name)."""
    red, green, blue = get_theme(theme).background.as_rgb_tuple(alpha=False)
    return INKS["light" if red + green + blue > 3 * 127 else "dark"]


def layer_name(role: str) -> str:
    """Return what a layer of a role is called."""
    if role.startswith("saliency-"):
        _, target, modality = role.split("-", 2)
        return f"saliency {modality} ({'loss' if target == 'loss' else 'mean DVR'})"
    if role.startswith(IMAGE):
        return role.removeprefix(IMAGE)
    return NAMES.get(role, in_words(role))


@cache
def dvr_colours() -> Colormap:
    """Return viridis for DVR, black outside the brain as every other map is."""
    viridis = ensure_colormap("viridis")
    # a name of its own: napari keeps colour maps by their names, and everybody's viridis stays as it is
    return Colormap(viridis.colors, name=DVR_COLOURS, controls=viridis.controls, low_color="black")


def image_style(role: str, array: np.ndarray) -> dict[str, Any]:
    """Return colour map and contrast limits for a map of a role.

    Parameters
    ----------
    role
        Modality, role or output: ``MTR``, ``dvr``, ``dvr-predicted``, ``error``, ``saliency-loss-MTR``.
    array
        Its values, for the roles that have no usual window.
    """
    if role in DVR_ROLES:
        return {"colormap": dvr_colours(), "contrast_limits": DVR_WINDOW}
    if role == "error":
        edge = max(0.1, _high(np.abs(array)))
        return {"colormap": "RdBu_r", "contrast_limits": (-edge, edge)}
    if role == "dvr-uncertainty":
        return {"colormap": "magma", "contrast_limits": (0.0, _high(array))}
    if role.startswith("saliency-"):
        return {"colormap": "inferno", "contrast_limits": (0.0, _high(array))}
    return {"colormap": "gray", "contrast_limits": WINDOWS.get(role, (0.0, _high(array)))}


def label_colours(role: str) -> dict[int | None, str]:
    """Return the colour of each label of a mask or a map of labels; None is for every other label."""
    if role in LABELS:
        colours = {label: colour for label, (colour, _) in LABELS[role].items()}
        return {0: "transparent", None: "transparent", **colours}
    return {0: "transparent", None: MASK_COLOURS.get(role, "#ff9f1c")}


def _high(array: np.ndarray) -> float:
    """Return the 99.5th percentile of what is not 0, at least a little above 0."""
    some = array[array != 0]
    # a sample is enough for a window, and costs no time on a large map
    value = float(np.percentile(some[:: max(1, some.size // 100_000)], 99.5)) if some.size else 1.0
    return value if value > 0 else 1.0
