"""What a drop says about its files by the way it is laid out: labels, splits, masks, people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from tumorml.labels import parse_label
from tumorml.scans.inbox.names import is_system_file, path_parts

Role = Literal["scan", "companion", "refused"]

KNOWN_LABELS = (
    "glioma, meningioma, pituitary, tumor and no_tumor, also as glioma_tumor, meningioma_tumor, "
    "pituitary_tumor, yes, positive, notumor, no, none, normal, healthy, negative"
)
SYSTEM_FILE = "System file, not a scan."

_SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "train",
    "valid": "train",
    "val": "train",
    "test": "test",
    "testing": "test",
}
_UNLABELLED = {"unlabelled", "unlabeled"}
_IMAGE_FOLDERS = {"images", "image", "imgs"}


@dataclass(frozen=True, slots=True)
class FileDescription:
    """What a drop says about one of its files."""

    role: Role
    reason: str | None = None
    label: str | None = None
    given_split: str | None = None
    patient_id: str | None = None
    study_id: str | None = None
    site: str | None = None
    acquired_at: str | None = None
    mask: str | None = None
    """Path of the scan's mask in the drop."""
    mask_of: tuple[str, ...] = ()
    """Paths of the scans whose mask this file is."""
    split_understood: bool = True
    attributes: dict[str, str] | None = None
    """What else a manifest says about it, by column; never empty."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The reading of each file by its path, and what is wrong with files that are not there."""

    descriptions: dict[str, FileDescription]
    missing: dict[str, str] = field(default_factory=dict)


def parse_split(spelling: str) -> str | None:
    """``train`` or ``test`` where a folder or manifest spells it; validation is ``train``."""
    return _SPLITS.get(re.sub(r"[\s_\-]+", "", spelling.casefold()))


def read_folders(paths: Sequence[str], drop_stem: str) -> Layout:
    """Labels and splits by the names of folders.

    A label may lie under ``Training`` and ``Testing`` and under folders with other names. One
    folder around everything that is named like the drop itself says nothing.

    Args:
        paths: POSIX paths in the drop.
        drop_stem: The drop's name without an archive's suffix.
    """
    folders = {path: path_parts(path)[:-1] for path in paths}
    ordinary = [path for path in paths if not is_system_file(path)]
    roots = {folders[path][0] if folders[path] else "" for path in ordinary}
    if len(roots) == 1 and roots.pop().casefold() == drop_stem.casefold() != "":
        wrapped = not _labels(folders[ordinary[0]][:1])
        folders = {path: parts[1:] if wrapped else parts for path, parts in folders.items()}
    is_labelled = any(_labels(folders[path]) for path in ordinary)
    return Layout({path: _by_folder(path, folders[path], is_labelled) for path in paths})


def _by_folder(path: str, folders: list[str], is_labelled: bool) -> FileDescription:
    if is_system_file(path):
        return FileDescription("companion", SYSTEM_FILE)
    labels = _labels(folders)
    if len(labels) > 1:
        return FileDescription(
            "refused", f"Its folders name different labels: {' and '.join(labels)}."
        )
    splits = [split for split in map(parse_split, folders) if split]
    split = splits[-1] if splits else None
    if labels:
        return FileDescription("scan", label=labels[0], given_split=split)
    others = [folder for folder in folders if not parse_split(folder)]
    words = {folder.casefold() for folder in others}
    if words & _UNLABELLED:
        return FileDescription("scan", given_split=split)
    if not is_labelled and (not others or others[-1].casefold() in _IMAGE_FOLDERS):
        return FileDescription("scan", given_split=split)
    if others:
        return FileDescription(
            "refused",
            f"The folder {others[-1]!r} is not the name of a label; known are {KNOWN_LABELS}, and "
            "'unlabelled' for scans without one.",
        )
    return FileDescription(
        "refused",
        "It lies beside the label folders, not in one: put it into the folder of its label, or "
        "into 'unlabelled'.",
    )


def _labels(folders: Sequence[str]) -> list[str]:
    """The different labels that folders spell; ``tumor`` around a kind of tumour adds nothing."""
    labels = list(dict.fromkeys(filter(None, map(parse_label, folders))))
    if "tumor" in labels and len(labels) > 1 and "no_tumor" not in labels:
        labels.remove("tumor")
    return labels
