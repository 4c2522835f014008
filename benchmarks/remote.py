"""A script in a process of its own that does one thing at a time, when it is asked to."""

from __future__ import annotations

import json
import subprocess
import sys


class Remote:
    """Such a process: it is asked with a line and answers with a line of JSON; it ends when nobody can ask any more.

    Parameters
    ----------
    words
        Script and arguments.
    """

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, *words: object) -> dict[str, float]:
        """Have something done, and return what it says.

        Raises
        ------
        RuntimeError
            If it has ended.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            print(*words, file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise RuntimeError("its process has ended, see above")
        return dict(json.loads(answer))

    def end(self) -> None:
        """Let it go."""
        self.process.kill()
        self.process.wait()
