"""Work that says how far it is, done where nobody asks."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar, cast

Result = TypeVar("Result")


def result_of(work: Generator[object, None, Result]) -> Result:
    """Do what a generator does to its end, showing nobody what it yields, and return its value."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return cast("Result", end.value)
