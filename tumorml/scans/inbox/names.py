"""Names of dropped files: what of them can be stored, trusted, or told apart as a system's own."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath

READY = "_READY"
"""The marker that says that a drop is whole."""

_ARCHIVE_SUFFIXES = (
    ".zip",
    ".tar",
    ".tar.gz",
    ".tgz",
    ".tar.bz2",
    ".tbz2",
    ".tar.xz",
    ".txz",
)
_SYSTEM_NAMES = {".ds_store", ".localized", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
_SYSTEM_FOLDERS = {"__macosx", ".spotlight-v100", ".trashes", ".fseventsd", "@eadir"}
_LONGEST_NAME_BYTES = 200


def printable(name: str) -> str:
    r"""The name as text that Postgres takes: bytes that are not UTF-8 stand as ``\xNN``."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text.replace("\0", "\\x00")


def is_text(name: str) -> bool:
    """Whether the name was UTF-8 text without null characters."""
    return printable(name) == name


def unique(name: str, taken: set[str]) -> str:
    """The name, or the name with a number where it is taken; the answer is taken from then on."""
    found, number = name, 2
    while found in taken:
        found, number = f"{name} ({number})", number + 1
    taken.add(found)
    return found


def archive_suffix(name: str) -> str | None:
    """The suffix that makes this the name of an archive that is read here, else None."""
    lower = name.lower()
    return max((s for s in _ARCHIVE_SUFFIXES if lower.endswith(s)), key=len, default=None)


def drop_stem(name: str) -> str:
    """A drop's name without the suffix of an archive."""
    suffix = archive_suffix(name)
    return name[: -len(suffix)] if suffix else name


def leads_outside(path: str) -> bool:
    """Whether a path, read as a POSIX or as a Windows one, leaves the folder it is unpacked to."""
    slashed = path.replace("\\", "/")
    return (
        slashed.startswith("/")
        or re.match(r"[A-Za-z]:", slashed) is not None
        or ".." in slashed.split("/")
    )


def path_parts(path: str) -> list[str]:
    """The names along a path, split at slashes of either kind, without empty ones and dots."""
    return [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]


def is_system_file(path: str) -> bool:
    """Whether an operating system left this file beside the user's own."""
    *folders, name = path_parts(path) or [""]
    return (
        name.lower() in _SYSTEM_NAMES
        or name.startswith("._")
        or any(folder.lower() in _SYSTEM_FOLDERS for folder in folders)
    )


def storable(path: str) -> str:
    """The path as part of an object key: over-long names are cut and told apart by a digest."""
    parts = []
    for part in PurePosixPath(path).parts:
        data = part.encode()
        if len(data) > _LONGEST_NAME_BYTES:
            digest = hashlib.sha256(data).hexdigest()[:16]
            suffix = PurePosixPath(part).suffix[:10]
            part = f"{data[:100].decode('utf-8', 'ignore')}-{digest}{suffix}"
        parts.append(part)
    return "/".join(parts)


def archive_key(batch_id: str, path: str) -> str:
    """Where the original of a file that was taken in lies."""
    return f"archive/{batch_id}/{storable(path)}"


def quarantine_key(batch_id: str, path: str) -> str:
    """Where the original of a refused file lies; ``reasons.json`` is the service's own."""
    first, slash, rest = path.partition("/")
    if first.casefold() == "reasons.json":
        path = f"{first}.dropped{slash}{rest}"
    return f"quarantine/{batch_id}/{storable(path)}"


def scan_key(scan_id: str) -> str:
    """Where a scan's canonical pixels lie."""
    return f"scans/{scan_id[:2]}/{scan_id}.png"


def mask_key(scan_id: str) -> str:
    """Where a scan's mask lies."""
    return f"masks/{scan_id[:2]}/{scan_id}.png"
