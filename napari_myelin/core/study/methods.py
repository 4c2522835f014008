"""The methods that a study compares, each a set of options over what all share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from napari_myelin.core.options import Options
from napari_myelin.core.options_file import options_from, preset, preset_names

Kind = Literal["network", "linear", "boosting", "ceiling", "noise"]


@dataclass(frozen=True)
class Method:
    """One row of the tables.

    Parameters
    ----------
    name
        In files; `method_title` is what readers see.
    kind
        ``network`` is trained by `fit`; ``linear`` and ``boosting`` are the voxelwise baselines; ``ceiling`` and
        ``noise`` the rows that a phantom alone can have.
    changes
        Group -> option -> value over what all methods share.
    family
        Methods of a family are stages of one cascade: they share a run of the longest one, whose first stages are
        what a shorter one would have trained.
    preset
        Networks, losses and schedule come from this preset instead of what all methods share.
    widen
        Feature maps, in multiples of what all methods share.
    """

    name: str
    kind: Kind = "network"
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    family: str = ""
    preset: str = ""
    widen: int = 1

    @property
    def refiners(self) -> int:
        """Refiners after the Sketcher."""
        return int(self.changes.get("network", {}).get("refiners", 0))


def _cascade(name: str, refiners: int, family: str = "cascade", sketcher_l1: str = "plain") -> Method:
    loss = {"adversarial": True, "sketcher_l1": sketcher_l1, "refiner_l1": "region"}
    network = {"generator": "unet", "refiners": refiners}
    return Method(name, changes={"network": network, "loss": loss}, family=family)


def _plain(name: str, generator: str = "unet", l1: str = "plain", widen: int = 1) -> Method:
    loss, network = {"adversarial": False, "sketcher_l1": l1}, {"generator": generator, "refiners": 0}
    return Method(name, changes={"network": network, "loss": loss}, family=name, widen=widen)


METHODS = (
    Method("linear", "linear", family="linear"),
    Method("boosting", "boosting", family="boosting"),
    # the paper's 64 maps are twice those of its U-Net
    _plain("two_layer", generator="two_layer", widen=2),
    _plain("unet"),
    _plain("unet_weighted", l1="region"),
    _cascade("sketcher", 0),
    _cascade("sketcher_weighted", 0, family="sketcher_weighted", sketcher_l1="region"),
    _cascade("refiner", 1),
    _cascade("refiner2", 2),
    _cascade("refiner3", 3),
    Method("accurate", family="accurate", preset="accurate"),
)
CEILING = Method("ceiling", "ceiling", family="ceiling")
NOISE = Method("noise-free", "noise", family="noise-free")


def known_methods() -> dict[str, Method]:
    """Return the methods by name; one that needs a preset is there if the preset is."""
    return {each.name: each for each in METHODS if not each.preset or each.preset in preset_names()}


def method_options(
    method: Method, base: Options, inputs: str, changes: Mapping[str, Mapping[str, Any]] | None = None
) -> Options:
    """Return the options that a method is trained with.

    Parameters
    ----------
    method
        A network.
    base
        What all methods share.
    inputs
        Names of the maps with + between.
    changes
        What the study's file has differently for this method; it comes last.

    Raises
    ------
    UsageError
        If a value is out of bounds.
    """
    own: dict[str, dict[str, Any]] = {group: dict(values) for group, values in method.changes.items()}
    if method.preset:
        options = preset(method.preset)
        shared = {name: getattr(base, name).model_dump() for name in ("data", "runtime", "demyelination")}
        # what the preset says of the data itself (a crop, say) is part of the method, and its arithmetic is, unless
        # the study has one of its own
        usual = Options()
        for name, value in options.data.model_dump().items():
            if value != getattr(usual.data, name):
                shared["data"][name] = value
        if shared["runtime"]["precision"] == usual.runtime.precision:
            shared["runtime"]["precision"] = options.runtime.precision
        shared["demyelination"]["threshold_probability"] = options.demyelination.threshold_probability
        own = {**own, **shared, "training": {"seed": base.training.seed}}
    else:
        options = base
        own.setdefault("network", {}).setdefault("maps", base.network.maps * method.widen)
    where = f"method {method.name}"
    options = options_from({**own, "data": {**own.get("data", {}), "modalities": inputs.split("+")}}, options, where)
    return options_from(changes or {}, options, where)
