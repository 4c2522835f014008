"""How long a preparation has still to go, told from the steps that are through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from napari_myelin.core.prepare.options import PrepareOptions
from napari_myelin.core.prepare.raw import RawSubject

# s of processor time of a simulated patient (MRI of about 1 mm, a PET of 33 frames and 1.22 mm): only ratios matter
SHARES = {
    "brain": 30.0,
    "lesions": 1.0,
    "template": 60.0,
    "pet": 10.0,
    "align-reference": 5.0,
    "reference": 1.0,
    "white-matter": 30.0,
    "masks": 1.0,
    "dvr": 20.0,
    "align-mt_off": 5.0,
    "mtr": 5.0,
    "diffusion": 100.0,
    "ratio": 10.0,
    "to-template": 5.0,
    "for-looking": 5.0,
}


@dataclass(frozen=True)
class Begins:
    """A step of a visit begins; ``seconds`` is what the one before it took, None where that was unchanged."""

    key: str
    step: str
    seconds: float | None


def wants_template(raw: RawSubject, options: PrepareOptions) -> bool:
    """Return whether a visit is registered to the template: asked for, or needed for the DVR's reference region."""
    needs = "pet" in raw.files and not ({"region", "labels"} & set(raw.files))
    return options.anatomy.template or needs


def planned(raw: RawSubject, options: PrepareOptions) -> list[str]:
    """Return the names of a visit's steps, as far as they take time."""
    there = set(raw.files)
    wanted = {
        "brain": True,
        "lesions": "lesion" in there,
        "template": wants_template(raw, options),
        "pet": "pet" in there,
        "align-reference": "pet" in there,
        "reference": "pet" not in there,
        "white-matter": True,
        "masks": True,
        "dvr": "pet" in there,
        "align-mt_off": {"mt_on", "mt_off"} <= there,
        "mtr": {"mt_on", "mt_off"} <= there,
        "diffusion": "dwi" in there,
        "ratio": options.anatomy.ratio and "t2w" in there,
        "to-template": options.anatomy.template,
        "for-looking": True,
    }
    return [step for step, given in wanted.items() if given and "t1w" in there]


class Pace:
    """Counts the steps of all visits.

    Parameters
    ----------
    plans
        Visit -> its steps, `planned`.
    jobs
        Visits side by side.
    """

    def __init__(self, plans: Mapping[str, Sequence[str]], jobs: int = 1) -> None:
        self._left = {key: list(steps) for key, steps in plans.items()}
        self._now: dict[str, str] = {}
        self._spent = self._expected = 0.0
        self._jobs = jobs

    def begins(self, event: Begins) -> None:
        """Take in that a step of a visit begins, and what the one before took."""
        before = self._now.get(event.key, "")
        if before in self._left[event.key]:
            self._left[event.key].remove(before)
            if event.seconds is not None:
                self._spent += event.seconds
                self._expected += SHARES[before]
        self._now[event.key] = event.step

    def through(self, key: str) -> None:
        """Take in that nothing more comes of a visit, whether all its steps were done or not."""
        self._left[key] = []

    @property
    def seconds_left(self) -> float | None:
        """Seconds left, from what the steps so far took against their usual shares; None before the first one."""
        if not self._expected:
            return None
        shares = [sum(SHARES[step] for step in steps) for steps in self._left.values()]
        busy = min(self._jobs, sum(share > 0 for share in shares)) or 1
        return sum(shares) * self._spent / self._expected / busy
