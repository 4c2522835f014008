"""Presets and options files: TOML in and out, over the paper's options."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from napari_myelin.core.errors import UsageError, nearest
from napari_myelin.core.options import OptionGroup, Options

GroupType = TypeVar("GroupType", bound=BaseModel)


def preset_names() -> list[str]:
    """Return the names of the presets that the package ships, sorted."""
    folder = resources.files("napari_myelin.core") / "presets"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def preset(name: str) -> Options:
    """Return the options of the preset ``name``.

    Raises
    ------
    UsageError
        If there is no preset of that name.
    """
    if name not in preset_names():
        raise UsageError(
            f'no preset "{name}"{nearest(name, preset_names())}: the presets are {", ".join(preset_names())}'
        )
    text = (resources.files("napari_myelin.core") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    return options_from(tomllib.loads(text), Options(preset=name), where=f'preset "{name}"')


def options_from(table: Mapping[str, Any], base: Options | None = None, where: str = "options") -> Options:
    """Return ``base`` with the values of ``table`` (groups of keys, as in the TOML file) put over it.

    Parameters
    ----------
    table
        Nested mapping: group, then option, then value.
    base
        What holds where ``table`` is silent; the paper's options by default.
    where
        Where the table came from, for error messages.

    Raises
    ------
    UsageError
        Unknown group or key (the nearest known one is named), wrong type, value out of bounds.
    """
    merged = (base or Options()).model_dump()
    for group, values in table.items():
        if group not in merged:
            raise UsageError(f'{where}: unknown key "{group}"{nearest(group, merged)}')
        if isinstance(merged[group], dict) and isinstance(values, Mapping):
            for key, value in values.items():
                if key not in merged[group]:
                    raise UsageError(f'{where}: unknown key "{group}.{key}"{nearest(key, merged[group])}')
                merged[group][key] = None if value == "none" and key in ("spacing", "shape") else value
        else:
            merged[group] = values
    try:
        return Options.model_validate(merged)
    except ValidationError as error:
        raise UsageError(f"{where}: {explain(error)}") from error


def checked(kind: type[GroupType], table: Mapping[str, Any]) -> GroupType:
    """Return options of a class from a table of their values.

    Raises
    ------
    UsageError
        If one is out of bounds; its cause is pydantic's error.
    """
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        raise UsageError(explain(error)) from error


def explain(error: ValidationError) -> str:
    """Return pydantic's findings as one line: option, what was expected, what was given."""
    return "; ".join(f"{name} {sentence}".strip() for name, sentence in findings(error))


def findings(error: ValidationError) -> list[tuple[str, str]]:
    """Return pydantic's findings: the option (``group.key``), what was expected and given.

    The option is the group's name, or empty, where several options are at odds.
    """
    found = []
    for item in error.errors(include_url=False):
        message = item["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        got = "" if isinstance(item["input"], dict | BaseModel) else f", got {item['input']!r}"
        found.append((".".join(str(part) for part in item["loc"]), message + got))
    return found


def read_toml(path: Path) -> dict[str, Any]:
    """Return an options file as nested tables, unchecked.

    Raises
    ------
    UsageError
        If the file is missing, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the options file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the options file {path} is not TOML: {error}") from error


def read_options(path: Path, base: Options | None = None) -> Options:
    """Read a TOML options file over ``base`` (the preset it names, or the paper's options).

    Raises
    ------
    UsageError
        If the file is missing, is not TOML, or holds unknown keys or values out of bounds.
    """
    table = read_toml(path)
    if base is None and "preset" in table:
        base = preset(str(table["preset"]))
    return options_from(table, base, where=str(path))


def to_toml(options: Options) -> str:
    """Return the options as a TOML file, each with its help as a comment, that `read_options` reads back."""
    lines = [f'preset = "{options.preset}"']
    for name, group in options:
        if isinstance(group, OptionGroup):
            lines += ["", *group_to_toml(name, group)]
    return "\n".join(lines) + "\n"


def group_to_toml(name: str, group: OptionGroup) -> list[str]:
    """Return the lines of one group of options as a TOML table, each option with its help as a comment."""
    lines = [f"# {(type(group).__doc__ or '').splitlines()[0]}", f"[{name}]"]
    for key, field in type(group).model_fields.items():
        value = getattr(group, key)
        if value is None and key not in ("spacing", "shape"):
            continue
        lines += [f"# {field.description}", f"{key} = {toml_value(value)}"]
    return lines


def toml_value(value: object) -> str:
    """Return a value of an option as TOML writes it."""
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value)
