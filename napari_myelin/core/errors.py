"""Errors that a user sees: one sentence that says what, expected, got, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MyelinError(Exception):
    """Something asked for could not be done; ``str(error)`` is a sentence for the user.

    The command line prints the sentence without a traceback and exits with 1, the app shows
    it in the panel.
    """

    exit_code = 1


class UsageError(MyelinError):
    """The request itself is wrong (unknown key, value out of bounds): exit code 2."""

    exit_code = 2


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean "x"?)`` for the known word nearest to ``word``, or an empty string."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f' (did you mean "{matches[0]}"?)' if matches else ""
