"""File lock that allows one service per home; the system releases it when the holder dies."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tumorml.errors import TumorMLError


@contextmanager
def home_lock(home: Path, url: str) -> Iterator[None]:
    """Hold ``<home>/tumorml.lock``; the file has the pid and the URL of the holder.

    Args:
        home: Folder of the service; created if missing.
        url: URL of this service's UI, for the error message of a second service.

    Raises:
        TumorMLError: Another process holds the lock; the message has its pid and URL.
    """
    home.mkdir(parents=True, exist_ok=True)
    path = home / "tumorml.lock"
    # Children do not inherit the lock, so it ends with this process.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TumorMLError(_refusal(path)) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "url": url}).encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _refusal(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        holder_text = f"process {holder['pid']}, {holder['url']}"
    except (OSError, ValueError, KeyError):
        holder_text = "a process that is just starting"
    return (
        f"tumorml is already running in {path.parent} ({holder_text}). Use it, stop it with "
        "Ctrl-C in its terminal, or start another one with a different TUMORML_HOME, "
        "TUMORML_AIRFLOW_PORT, TUMORML_API_PORT and TUMORML_UI_PORT."
    )
