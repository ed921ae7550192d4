"""Atomic writes: after a crash a file has either its old or its new content."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_TEMPORARY_NAME = re.compile(r"\..*\.[0-9a-f]{32}\.part", re.DOTALL)
_MAX_REPEATED_CHARACTERS = 100
"""Maximum length of the target's name in a temporary name; file systems allow 255 bytes."""


def write_atomically(
    path: Path, content: bytes | Callable[[BinaryIO], None], *, mode: int | None = None
) -> None:
    """Replace a file's content atomically and durably.

    The content is written to a temporary file in the same folder, which is created if missing. The
    temporary file is synced (``fsync``) and renamed to the target; then the folder is synced.

    Args:
        path: The target.
        content: The bytes, or a function that writes them to an open file.
        mode: The permission bits of the file; None for 0666 without the bits of the umask.
    """
    temporary = temporary_beside(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        with os.fdopen(os.open(temporary, flags, 0o666 if mode is None else mode), "wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                content(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def temporary_beside(path: Path) -> Path:
    """Return an unused temporary path in the target's folder; create the folder if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name[:_MAX_REPEATED_CHARACTERS]}.{uuid.uuid4().hex}.part")


def is_temporary(name: str) -> bool:
    """Return whether `temporary_beside` made this file name."""
    return _TEMPORARY_NAME.fullmatch(name) is not None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
