"""Labels, splits and patients of a drop's files, from the names of its folders."""

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
_UNLABELED_FOLDERS = {"unlabelled", "unlabeled"}
_IMAGE_FOLDERS = {"images", "image", "imgs"}


@dataclass(frozen=True, slots=True)
class FileDescription:
    """The description of one file by its folder or its manifest row."""

    role: Role
    reason: str | None = None
    label: str | None = None
    given_split: str | None = None
    patient_id: str | None = None
    study_id: str | None = None
    site: str | None = None
    acquired_at: str | None = None
    mask: str | None = None
    """Path of this scan's mask in the drop."""
    mask_of: tuple[str, ...] = ()
    """Paths of the scans that have this file as their mask."""
    split_understood: bool = True
    attributes: dict[str, str] | None = None
    """Values of the manifest's other columns, by column name; None instead of an empty dict."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The descriptions of a drop's files.

    Attributes:
        descriptions: By path.
        missing: Why a manifest row has no file, by the path in the row.
    """

    descriptions: dict[str, FileDescription]
    missing: dict[str, str] = field(default_factory=dict)


def parse_split(spelling: str) -> str | None:
    """Return ``train`` or ``test``, or None for other words; validation counts as ``train``."""
    return _SPLITS.get(re.sub(r"[\s_\-]+", "", spelling.casefold()))


def read_folders(paths: Sequence[str], drop_stem: str) -> Layout:
    """Derive labels and splits from the names of folders.

    Label folders may be inside ``Training``, ``Testing`` and folders with other names. A single
    outer folder with the name of the drop is ignored.

    Args:
        paths: POSIX paths in the drop.
        drop_stem: The drop's name without an archive suffix.
    """
    folders = {path: path_parts(path)[:-1] for path in paths}
    ordinary = [path for path in paths if not is_system_file(path)]
    roots = {folders[path][0] if folders[path] else "" for path in ordinary}
    has_outer_folder = len(roots) == 1 and roots.pop().casefold() == drop_stem.casefold() != ""
    if has_outer_folder and not _labels(folders[ordinary[0]][:1]):
        folders = {path: parts[1:] for path, parts in folders.items()}
    has_labels = any(_labels(folders[path]) for path in ordinary)
    return Layout({path: _describe(path, folders[path], has_labels) for path in paths})


def _describe(path: str, folders: list[str], has_labels: bool) -> FileDescription:
    if is_system_file(path):
        return FileDescription("companion", SYSTEM_FILE)
    labels = _labels(folders)
    if len(labels) > 1:
        return FileDescription(
            "refused", f"Its folders have different labels: {' and '.join(labels)}."
        )
    splits = [split for split in map(parse_split, folders) if split]
    split = splits[-1] if splits else None
    if labels:
        return FileDescription("scan", label=labels[0], given_split=split)
    other_folders = [folder for folder in folders if not parse_split(folder)]
    if _UNLABELED_FOLDERS & {folder.casefold() for folder in other_folders}:
        return FileDescription("scan", given_split=split)
    in_image_folder = not other_folders or other_folders[-1].casefold() in _IMAGE_FOLDERS
    if not has_labels and in_image_folder:
        return FileDescription("scan", given_split=split)
    if other_folders:
        return FileDescription(
            "refused",
            f"The folder {other_folders[-1]!r} is not a known label. Known labels are "
            f"{KNOWN_LABELS}, and 'unlabeled' for scans without a label.",
        )
    return FileDescription(
        "refused",
        "It is beside the label folders, not inside one: move it to the folder of its label, or "
        "to 'unlabeled'.",
    )


def _labels(folders: Sequence[str]) -> list[str]:
    """Return the distinct labels of folders, without ``tumor`` if one is a type of tumor."""
    labels = list(dict.fromkeys(filter(None, map(parse_label, folders))))
    if "tumor" in labels and len(labels) > 1 and "no_tumor" not in labels:
        labels.remove("tumor")
    return labels
