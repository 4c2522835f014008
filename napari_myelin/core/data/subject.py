"""A subject: its maps and masks, loaded when asked for, and what is missing, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from napari_myelin.core.data.bids import subject_id
from napari_myelin.core.data.volume import Volume, read_grid, read_volume
from napari_myelin.core.errors import MyelinError

Group = Literal["MS", "HC"]
MASKS = ("lesion", "wm", "brain")
FREE = ("to_template", "t1w", "t2w", "flair")  # may lie on any grid
ROLES = ("dvr", "noisefree", *MASKS, *FREE)  # every other key is a modality
WORDS = {
    "dvr": "measured DVR",
    "noisefree": "noise-free DVR",
    "lesion": "lesion mask",
    "wm": "white-matter mask",
    "brain": "brain mask",
    "to_template": "transform to the template",
    "t1w": "T1w",
    "t2w": "T2w",
    "flair": "FLAIR",
}


def in_words(role: str) -> str:
    """Return what a user calls a role: ``measured DVR``, ``FA map``."""
    return WORDS.get(role, f"{role} map")


@dataclass(frozen=True)
class Subject:
    """One visit of one person.

    Parameters
    ----------
    name, session
        Labels without ``sub-`` and ``ses-``.
    group
        ``MS`` or ``HC``; None where nobody said.
    age
        In years.
    sex
        As given.
    files
        Role or modality -> file, or a `Volume` in memory (what a viewer shows). Roles are ``dvr``, ``noisefree``,
        ``lesion``, ``wm``, ``brain``, ``to_template``, ``t1w``, ``t2w``, ``flair``; any other key is a modality.
    """

    name: str
    session: str | None = None
    group: Group | None = None
    age: float | None = None
    sex: str | None = None
    files: Mapping[str, Path | Volume] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """``sub-XX`` or ``sub-XX_ses-YY``: unique in a cohort."""
        return subject_id(self.name, self.session)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the MR maps that are there."""
        return tuple(name for name in self.files if name not in ROLES)

    def has(self, role: str) -> bool:
        """Return whether there is a file (or volume) for a role or modality."""
        return role in self.files

    def missing(self, modalities: Sequence[str], target: bool = False) -> list[str]:
        """Return what is missing of ``modalities`` (and the measured DVR, if ``target``), in words."""
        wanted = (*modalities, "dvr") if target else tuple(modalities)
        return [f"no {in_words(role)}" for role in wanted if role not in self.files]

    def with_files(self, **files: Path | Volume) -> Subject:
        """Return the subject with more or other files."""
        return replace(self, files={**self.files, **files})

    def held(self, roles: Iterable[str]) -> Subject:
        """Return the subject with these maps and masks in memory, read once; those that are not there stay away.

        Raises
        ------
        MyelinError
            If one of them cannot be read.
        """
        return self.with_files(**{role: self.raw(role) for role in roles if role in self.files})

    def raw(self, role: str) -> Volume:
        """Return a map or mask as it is, whatever its grid and values.

        Raises
        ------
        MyelinError
            If it is not there, or cannot be read.
        """
        if role not in self.files:
            raise MyelinError(f"{self.key} has no {in_words(role)}")
        source = self.files[role]
        mask = role in MASKS
        if isinstance(source, Volume):
            return Volume(source.array != 0, source.affine) if mask and source.array.dtype != bool else source
        return read_volume(source, mask=mask)

    def reference(self, modalities: Sequence[str] = ()) -> Volume:
        """Return the volume whose grid is the subject's own: the measured DVR, else the first map.

        Raises
        ------
        MyelinError
            If there is neither.
        """
        return self.raw(self._first(modalities))

    def grid(self, role: str | None = None) -> Volume:
        """Return where a map lies from its header alone (its values are zeros): the `reference`, or that of a role.

        Raises
        ------
        MyelinError
            If there is neither a measured DVR nor an MR map, or the header cannot be read.
        """
        source = self.files[role or self._first()]
        return source if isinstance(source, Volume) else read_grid(source)

    def _first(self, modalities: Sequence[str] = ()) -> str:
        for role in ("dvr", *modalities, *self.modalities):
            if role in self.files:
                return role
        raise MyelinError(f"{self.key} has neither a measured DVR nor an MR map")

    def volume(self, role: str, resample: bool = False) -> Volume:
        """Return a map (float32, finite) or mask (bool) on the subject's own grid.

        Parameters
        ----------
        role
            Role or modality.
        resample
            Resample it where it lies on another grid, instead of refusing it.

        Raises
        ------
        MyelinError
            If it is not there, cannot be read, holds NaN or infinity, or lies on another grid.
        """
        volume = self.raw(role)
        where = f"{in_words(role)} of {self.key}"
        if volume.array.dtype != bool:
            bad = volume.array.size - int(np.isfinite(volume.array).sum())
            if bad:
                raise MyelinError(f"the {where} holds {bad} voxels of NaN or infinity: set them to 0 or repair the map")
        first = "dvr" if "dvr" in self.files else next(iter(self.modalities), role)
        if role in FREE or role == first:
            return volume
        reference = self.grid()
        if volume.same_grid(reference):
            return volume
        if resample:
            return volume.resampled_to(reference)
        raise MyelinError(_other_grid(where, volume, in_words(first), reference))

    def brain(self, resample: bool = False) -> Volume:
        """Return the brain mask: the one given, unless it is empty, else where any MR map (or the DVR) is not 0.

        Raises
        ------
        MyelinError
            As `volume`.
        """
        if self.has("brain") and (given := self.volume("brain", resample)).array.any():
            return given
        maps = [self.volume(name, resample) for name in self.modalities or ("dvr",)]
        return Volume(np.any([each.array != 0 for each in maps], axis=0), maps[0].affine)


def _other_grid(where: str, volume: Volume, first: str, reference: Volume) -> str:
    def grid(each: Volume) -> str:
        spacing = " x ".join(f"{edge:.3g}" for edge in each.spacing)
        return f"shape {each.shape}, {spacing} mm, {each.orientation}"

    same = volume.shape == reference.shape and volume.orientation == reference.orientation
    shifted = (
        f", shifted by {np.abs(volume.world((0, 0, 0)) - reference.world((0, 0, 0))).max():.1f} mm" if same else ""
    )
    return (
        f"the {where} lies on another grid ({grid(volume)}{shifted}) than its {first} ({grid(reference)}): "
        "pass --resample, or register the maps first"
    )


def persons_by_group(subjects: Iterable[Subject]) -> dict[str, list[str]]:
    """Return the names of each group's persons, each once whatever the visits, in order; ``""`` where none is said."""
    groups: dict[str, dict[str, None]] = {}  # a dict's keys: in order, each once
    for subject in subjects:
        groups.setdefault(subject.group or "", {})[subject.name] = None
    return {group: list(names) for group, names in groups.items()}
