"""Names of dropped files: what of them can be stored, trusted, or told apart as a system's own."""

from __future__ import annotations

import re

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
