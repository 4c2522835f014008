"""What a study runs: an options file with a ``[study]`` table, and what single methods have differently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from napari_myelin.core.errors import UsageError, nearest
from napari_myelin.core.options import OptionGroup, Options
from napari_myelin.core.options_file import explain, group_to_toml, options_from, preset, read_toml, to_toml, toml_value
from napari_myelin.core.prediction_options import refuse_one_draw
from napari_myelin.core.study.methods import known_methods

STUDY = "study.toml"


class StudyOptions(OptionGroup):
    """Which methods and inputs a study compares, and over which folds."""

    folds: int = Field(3, ge=2, le=100, description="Folds of the cross-validation, stratified by group.")
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of the folds, the voxelwise baselines and the draws.")
    methods: tuple[str, ...] = Field(
        default_factory=lambda: tuple(known_methods()),
        min_length=1,
        description="Methods to compare, on all inputs together; by default every one there is.",
    )
    inputs: tuple[str, ...] = Field(
        ("MTR", "MTR+RD", "FA+RD+AD"),
        description="Other inputs that some methods are trained on too: names of maps with + between.",
    )
    inputs_methods: tuple[str, ...] = Field(("refiner",), description="Methods that are trained on the other inputs.")
    reference: str = Field("refiner", description="Method that the others are tested against.")
    uncertainty: int = Field(8, ge=0, le=10_000, description="Draws for the uncertainty's calibration; 0: none.")
    attention: bool = Field(True, description="Measure how much each network looks at lesions (Eq. 7).")
    ceiling_patients: int = Field(
        200,
        ge=0,
        le=100_000,
        description="Further noise-free patients that a phantom's practical ceiling is trained on; 0: no such row.",
    )
    voxels: int = Field(
        20_000, ge=100, description="Brain voxels of each subject that gradient boosting is trained on, beside lesions."
    )

    @field_validator("methods", "inputs_methods")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in known_methods():
                known = ", ".join(known_methods())
                raise ValueError(f'there is no method "{name}"{nearest(name, known_methods())}: they are {known}')
        return tuple(dict.fromkeys(names))

    @field_validator("reference")
    @classmethod
    def _a_method(cls, name: str) -> str:
        return cls._known((name,))[0]

    _two_draws = field_validator("uncertainty")(refuse_one_draw)


@dataclass(frozen=True)
class Study:
    """A study as its file says it.

    Parameters
    ----------
    options
        What all methods share: preset, grid, maps, epochs, seed.
    study
        Methods, inputs and folds.
    changes
        Method -> group -> option -> value that this method has differently.
    """

    options: Options
    study: StudyOptions = field(default_factory=StudyOptions)
    changes: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    @property
    def main(self) -> str:
        """The inputs of the main tables: every modality, ``MTR+FA+RD+AD``."""
        return "+".join(self.options.data.modalities)

    def to_toml(self) -> str:
        """Return the file that `read_study` reads back."""
        lines = ["", *group_to_toml("study", self.study)]
        for method, groups in self.changes.items():
            for group, values in groups.items():
                lines += ["", f"[methods.{method}.{group}]"]
                lines += [f"{key} = {toml_value(value)}" for key, value in values.items()]
        return to_toml(self.options) + "\n".join(lines) + "\n"


def read_study(path: Path) -> Study:
    """Read a ``study.toml``: an options file, a ``[study]`` table, and ``[methods.NAME.GROUP]`` tables.

    Raises
    ------
    UsageError
        If the file is missing, is not TOML, or holds unknown keys or values out of bounds.
    """
    table = read_toml(path)
    own, changes = table.pop("study", {}), table.pop("methods", {})
    base = preset(str(table.get("preset", "paper")))
    options = options_from(table, base, where=str(path))
    study = study_options(own, where=str(path))
    for name in changes:
        if name not in known_methods():
            raise UsageError(f'{path}: there is no method "{name}"{nearest(name, known_methods())}')
    return Study(options, study, changes)


def study_options(table: Mapping[str, Any], where: str = "study") -> StudyOptions:
    """Return the ``[study]`` options of a table.

    Raises
    ------
    UsageError
        Unknown key (the nearest known one is named), wrong type, value out of bounds, unknown method.
    """
    for key in table:
        if key not in StudyOptions.model_fields:
            raise UsageError(f'{where}: unknown key "study.{key}"{nearest(key, StudyOptions.model_fields)}')
    try:
        return StudyOptions.model_validate(dict(table))
    except ValidationError as error:
        raise UsageError(f"{where}: {explain(error)}") from error


def check_same_study(old: Study, new: Study) -> None:
    """Raise where a study would go on as another one; where it runs may differ.

    Raises
    ------
    UsageError
        Naming the first option that differs, with both values.
    """
    before, after = _flat(old), _flat(new)
    for key in {**before, **after}:
        if before.get(key) != after.get(key):
            raise UsageError(
                f"the study was started with {key} = {before.get(key)}, now it is {after.get(key)}: go on with the "
                "same options (leave --options out), or choose another --out; --subset chooses parts"
            )


def _flat(study: Study) -> dict[str, object]:
    groups = {
        **study.options.model_dump(exclude={"runtime"}, mode="json"),
        "study": study.study.model_dump(mode="json"),
    }
    groups |= {f"methods.{name}": dict(change) for name, change in study.changes.items()}
    flat: dict[str, object] = {}
    for name, group in groups.items():
        if isinstance(group, dict):
            flat |= {f"{name}.{key}": value for key, value in group.items()}
        else:
            flat[name] = group
    return flat
