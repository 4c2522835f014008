"""Command-line flags from the engine's option classes, so that no option is listed twice."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro
from pydantic import BaseModel, Field, create_model

from napari_myelin.core.options import OptionGroup, Options
from napari_myelin.core.options_file import checked, options_from, preset, read_options

ArgumentsType = TypeVar("ArgumentsType", bound="CommonArguments")
GroupType = TypeVar("GroupType", bound=OptionGroup)
CohortPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="COHORT")]
COHORT_HELP = "Folder of BIDS derivatives, or a cohort.tsv table."


class CommonArguments(BaseModel):
    """What every command understands."""

    quiet: bool = Field(False, description="Say nothing but errors.")
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = Field(
        False, description="Write JSON lines to standard output instead of sentences."
    )
    debug: bool = Field(False, description="Show the traceback of an error.")


def parse(kind: type[ArgumentsType], command: str, argv: Sequence[str]) -> ArgumentsType:
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
        description=inspect.cleandoc(kind.__doc__ or ""),
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


def with_options(kind: type[ArgumentsType], **groups: OptionGroup) -> type[ArgumentsType]:
    """Return ``kind`` with a field for each group: the flags of all its options, the group's values their defaults."""
    fields: dict[str, Any] = {}
    for name, group in groups.items():
        nested = loose(group)
        fields[name] = (nested, nested())
    return create_model(kind.__name__, __base__=kind, __doc__=kind.__doc__, **fields)


def starting_options(argv: Sequence[str], run: Path | None = None) -> Options:
    """Return the options that flags are put over: those of ``--options``, over ``--preset`` or the run to resume."""
    file, name = flag_value(argv, "--options"), flag_value(argv, "--preset")
    base = preset(name) if name is not None else None
    if run is not None:
        base = read_options(run)
    return read_options(Path(file), base) if file is not None else (base or preset("paper"))


def checked_options(settings: BaseModel) -> Options:
    """Return the options that the flags ask for.

    Raises
    ------
    UsageError
        If one is out of bounds.
    """
    return options_from(settings.model_dump(), where="options")


def validated(kind: type[GroupType], settings: BaseModel) -> GroupType:
    """Return one group of options that the flags ask for.

    Raises
    ------
    UsageError
        If one is out of bounds.
    """
    return checked(kind, settings.model_dump())


def flag_value(argv: Sequence[str], flag: str) -> str | None:
    """Return what follows ``flag`` in ``argv``, read before the rest because it decides the other flags' defaults."""
    for index, word in enumerate(argv):
        if word == flag and index + 1 < len(argv):
            return argv[index + 1]
        if word.startswith(flag + "="):
            return word.removeprefix(flag + "=")
    return None
