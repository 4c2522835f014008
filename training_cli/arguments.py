"""Command-line flags from the engine's option classes, so that no option is listed twice."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro
from pydantic import BaseModel, ConfigDict, Field, create_model

from napari_myelin.core.options import OptionGroup, Options

Arguments = TypeVar("Arguments", bound="CommonArguments")


class CommonArguments(BaseModel):
    """What every command understands."""

    model_config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())

    quiet: bool = Field(False, description="Say nothing but errors.")
    json_: tyro.conf.arg(name="json") | bool = Field(False, description="Write JSON to standard output.")  # type: ignore
    debug: bool = Field(False, description="Show the traceback of an error.")


def parse(kind: type[Arguments], command: str, argv: Sequence[str]) -> Arguments:
    """Return the arguments of ``command``; wrong usage ends the program with exit code 2.

    Parameters
    ----------
    kind
        Its fields are the flags, its docstring the help.
    command
        Name, for the help.
    argv
        What follows the command's name.
    """
    return tyro.cli(
        kind,
        prog=f"napari-myelin-train {command}",
        description=kind.__doc__,
        args=list(argv),
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
    )


def loose(options: OptionGroup) -> Any:
    """Return a class with the fields, defaults and help of ``options``, but without bounds.

    The flags are parsed into it; the bounds are checked afterwards by the option classes themselves,
    whose errors are sentences.
    """
    fields: dict[str, Any] = {}
    for name, field in type(options).model_fields.items():
        value = getattr(options, name)
        if isinstance(value, OptionGroup):
            nested = loose(value)
            fields[name] = (nested, nested())
        else:
            fields[name] = (field.annotation, Field(value, description=field.description))
    return create_model(type(options).__name__, __doc__=type(options).__doc__, **fields)


def flag_value(argv: Sequence[str], flag: str) -> str | None:
    """Return what follows ``flag`` in ``argv``, read before the rest: it decides the other flags' defaults."""
    for index, word in enumerate(argv):
        if word == flag and index + 1 < len(argv):
            return argv[index + 1]
        if word.startswith(flag + "="):
            return word.removeprefix(flag + "=")
    return None


def on_terminal() -> bool:
    """Return whether a person watches standard error."""
    return sys.stderr.isatty()


__all__ = ["CommonArguments", "Options", "flag_value", "loose", "on_terminal", "parse"]
