"""Names of dropped files: safe text, unique paths, archive suffixes and system files."""

from __future__ import annotations

import re

READY = "_READY"
"""Name of the marker file of a complete drop."""

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
    r"""Return the name as text that Postgres accepts; bytes that are not UTF-8 become ``\xNN``."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text.replace("\0", "\\x00")


def is_text(name: str) -> bool:
    """Return whether the name is UTF-8 text without null characters."""
    return printable(name) == name


def unique(name: str, taken: set[str]) -> str:
    """Return a unique name, numbered if necessary, and add it to the taken names."""
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name} ({number})", number + 1
    taken.add(candidate)
    return candidate


def archive_suffix(name: str) -> str | None:
    """Return the suffix if the name is that of a supported archive, else None."""
    lower = name.lower()
    return max((s for s in _ARCHIVE_SUFFIXES if lower.endswith(s)), key=len, default=None)


def drop_stem(name: str) -> str:
    """Return a drop's name without the suffix of an archive."""
    suffix = archive_suffix(name)
    return name[: -len(suffix)] if suffix else name


def leads_outside(path: str) -> bool:
    """Return whether a POSIX or Windows path leaves the folder that it is unpacked to."""
    slashed = path.replace("\\", "/")
    return (
        slashed.startswith("/")
        or re.match(r"[A-Za-z]:", slashed) is not None
        or ".." in slashed.split("/")
    )


def path_parts(path: str) -> list[str]:
    """Split a path at slashes and backslashes, without empty parts and ``.``."""
    return [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]


def is_system_file(path: str) -> bool:
    """Return whether an operating system created this file, such as ``.DS_Store``."""
    *folders, name = path_parts(path) or [""]
    return (
        name.lower() in _SYSTEM_NAMES
        or name.startswith("._")
        or any(folder.lower() in _SYSTEM_FOLDERS for folder in folders)
    )
