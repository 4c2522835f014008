"""Reading a cohort's files while the subject before is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from napari_myelin.core.data.subject import Subject

Read = TypeVar("Read")


def read_ahead(subjects: Sequence[Subject], read: Callable[[Subject], Read]) -> Iterator[tuple[Subject, Future[Read]]]:
    """Yield each subject with what was read of it; meanwhile a thread reads the next one, and no further.

    Parameters
    ----------
    subjects
        In order.
    read
        What to read of a subject. What it raises is raised by the future's ``result``, so that one subject that cannot
        be read is no concern of the next.
    """
    if not subjects:
        return
    with ThreadPoolExecutor(max_workers=1) as reader:
        ahead = reader.submit(read, subjects[0])
        for number, subject in enumerate(subjects):
            here = ahead
            here.exception()  # waits
            if number + 1 < len(subjects):
                ahead = reader.submit(read, subjects[number + 1])
            yield subject, here
