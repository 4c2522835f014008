"""The one place that knows file names: BIDS derivatives, written strictly, read leniently."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import napari_myelin
from napari_myelin.core.data.volume import write_atomically
from napari_myelin.core.errors import MyelinError

TEMPLATE = "MNI152NLin2009aSym"
DIFFUSION = ("FA", "RD", "AD", "MD")  # modalities with a name of their own in BEP016
TRACER = "pet/{id}_trc-11CPIB_space-pet{desc}_model-Logan_meas-DVR_mimap.nii.gz"

_OUTPUTS = {
    "dvr": TRACER.replace("{desc}", ""),
    "noisefree": TRACER.replace("{desc}", "_desc-noisefree"),
    "dvr-predicted": TRACER.replace("{desc}", "_desc-predicted"),
    "dvr-sketch": TRACER.replace("{desc}", "_desc-sketch"),
    "dvr-uncertainty": TRACER.replace("{desc}", "_desc-uncertainty"),
    "lesion": "anat/{id}_space-pet_label-L_mask.nii.gz",
    "wm": "anat/{id}_space-pet_label-WM_mask.nii.gz",
    "brain": "anat/{id}_space-pet_desc-brain_mask.nii.gz",
    "demyelinated": "anat/{id}_space-pet_desc-demyelinated_mask.nii.gz",
    "unsure": "anat/{id}_space-pet_desc-unsure_mask.nii.gz",
    "saliency-check": "anat/{id}_space-pet_desc-saliencyCheck_table.tsv",
    "lesion-table": "anat/{id}_space-pet_desc-lesions_table.tsv",
    "to_template": "anat/{id}_from-pet_to-" + TEMPLATE + "_mode-points_xfm.nii.gz",
    "t1w": "anat/{id}_T1w.nii.gz",
    "t2w": "anat/{id}_T2w.nii.gz",
    "flair": "anat/{id}_FLAIR.nii.gz",
}

# what else a role may be called, tried in this order
_READ: dict[str, tuple[str, ...]] = {
    "dvr": (r"meas-DVR.*_(mimap|kinpar)\.nii", r"[_-]DVR(map)?\.nii"),
    "noisefree": (r"desc-noisefree.*\.nii",),
    "lesion": (r"label-(L|lesion)_mask\.nii", r"desc-lesions?_mask\.nii"),
    "wm": (r"label-WM_mask\.nii",),
    "brain": (r"desc-brain_mask\.nii", r"_brainmask\.nii"),
    "to_template": (r"from-pet_to-.*_xfm\.nii",),
    "t1w": (r"_T1w\.nii",),
    "t2w": (r"_T2w\.nii",),
    "flair": (r"_FLAIR\.nii",),
}
_DERIVED = re.compile(r"desc-(predicted|sketch|uncertainty|demyelinated|unsure|noisefree|\w*Saliency\w*)")


def subject_id(name: str, session: str | None = None) -> str:
    """Return ``sub-XX`` or ``sub-XX_ses-YY``."""
    return f"sub-{name}" + (f"_ses-{session}" if session else "")


def bids_path(folder: Path, name: str, session: str | None, what: str) -> Path:
    """Return where a file of a subject is written.

    Parameters
    ----------
    folder
        Root of the derivative dataset.
    name, session
        Labels without ``sub-`` and ``ses-``.
    what
        A role (``dvr``, ``lesion``, ``to_template``, ...), an output (``dvr-predicted``, ``demyelinated``,
        ``saliency-loss-MTR``, ``lesion-table``), or the name of a modality.
    """
    inside = folder / f"sub-{name}" / (f"ses-{session}" if session else "")
    if what in _OUTPUTS:
        relative = _OUTPUTS[what]
    elif what.startswith("saliency-"):
        _, target, modality = what.split("-", 2)
        relative = "anat/{id}_space-pet_desc-" + f"{target}Saliency{_label(modality)}_map.nii.gz"
    elif what in DIFFUSION:
        relative = "dwi/{id}_space-pet_model-tensor_param-" + f"{what.lower()}_dwimap.nii.gz"
    else:
        relative = "anat/{id}_space-pet_" + f"{_label(what)}map.nii.gz"
    return inside / relative.replace("{id}", subject_id(name, session))


def _label(name: str) -> str:
    # BIDS labels are alphanumeric
    label = re.sub(r"[^A-Za-z0-9]", "", name)
    if not label:
        raise MyelinError(f'the modality name "{name}" has no letter or digit: rename it')
    return label


def find_files(folder: Path, inside: Path) -> dict[str, Path]:
    """Return role or modality -> file for one subject (or session) of a derivatives folder.

    Parameters
    ----------
    folder
        Root of the dataset, for messages.
    inside
        The subject's or session's folder.

    Raises
    ------
    MyelinError
        If two files fit one role equally well.
    """
    files = sorted(path for path in inside.rglob("*.nii*") if path.name.endswith((".nii", ".nii.gz")))
    files = [path for path in files if not path.name.startswith(".")]
    found: dict[str, Path] = {}
    for role, patterns in _READ.items():
        for pattern in patterns:
            hits = [path for path in files if re.search(pattern, path.name)]
            if role != "noisefree":
                hits = [path for path in hits if not _DERIVED.search(path.name)]
            hits = _prefer_pet_space(hits)
            if len(hits) > 1:
                raise MyelinError(
                    f"{hits[0].relative_to(folder)} and {hits[1].relative_to(folder)} both look like the {role} of "
                    "one subject: keep one, or name the files in a cohort.tsv"
                )
            if hits:
                found[role] = hits[0]
                break
    taken = set(found.values())
    for path in files:
        modality = _modality(path.name)
        if modality is None or path in taken or _DERIVED.search(path.name):
            continue
        if modality not in found or "space-pet" in path.name:
            found[modality] = path
    return found


# files that are called by nothing but what they hold; "brain" would be a mask as often as an image
_PLAIN = {"t1": "t1w", "t2": "t2w", **{role: role for role in ("t1w", "t2w", "flair", "dvr", "lesion")}}
_PLAIN |= {modality.lower(): modality for modality in ("MTR", "FA", "RD", "AD", "MD")}


def identify(filename: str) -> tuple[str | None, str | None]:
    """Return whose file this is and what it holds, as far as its name alone tells.

    Parameters
    ----------
    filename
        ``sub-01_space-pet_MTRmap.nii.gz``.

    Returns
    -------
    subject
        ``sub-01`` or ``sub-01_ses-02``, None where the name has no such part.
    role
        Role or modality, None where it has none (a prediction of ours has none either).
    """
    plain = _PLAIN.get(filename.split(".nii")[0].lower())
    if plain is not None:
        return None, plain
    person = re.search(r"(sub-[A-Za-z0-9]+(?:_ses-[A-Za-z0-9]+)?)", filename)
    key = person[1] if person else None
    derived = _DERIVED.search(filename)
    for role, patterns in _READ.items():
        if (role == "noisefree" or not derived) and any(re.search(pattern, filename) for pattern in patterns):
            return key, role
    return key, None if derived else _modality(filename)


def _prefer_pet_space(hits: list[Path]) -> list[Path]:
    pet = [path for path in hits if "space-pet" in path.name]
    return pet or hits


def _modality(filename: str) -> str | None:
    stem = filename.split(".nii")[0]
    if match := re.search(r"param-([A-Za-z0-9]+)_dwimap$", stem):
        return match[1].upper()
    if match := re.search(r"_([A-Za-z0-9]+?)map$", stem):
        return match[1] if match[1] not in ("mi", "dwi") else None
    if match := re.search(r"_(MTR|FA|RD|AD|MD)$", stem):
        return match[1]
    return None


def write_json(path: Path, table: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    write_atomically(path, (json.dumps(table, indent=2, default=str) + "\n").encode())


def sidecar(path: Path) -> Path:
    """Return the path of an image's JSON sidecar."""
    return path.with_name(path.name.split(".nii")[0] + ".json")


def write_description(folder: Path, name: str, generator: str, extra: Mapping[str, Any] | None = None) -> None:
    """Write ``dataset_description.json`` and ``.bidsignore`` of a derivative dataset."""
    table = {
        "Name": name,
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "License": "see README",
        "GeneratedBy": [{"Name": generator, "Version": napari_myelin.__version__}],
        **(extra or {}),
    }
    write_json(folder / "dataset_description.json", table)
    # names that the validator does not know yet (BEP016, BEP023, maps and transforms of derivatives)
    ignored: tuple[str, ...] = (
        "**/*_mimap.*",
        "**/*_dwimap.*",
        "**/*map.nii.gz",
        "**/*map.json",
        "**/*_xfm.*",
        "**/*_table.tsv",
    )
    ignored += ("**/*_mask.*", "model.json", "threshold.nii.gz", "options.toml", "*.html", "*.safetensors")
    write_atomically(folder / ".bidsignore", ("\n".join(ignored) + "\n").encode())
