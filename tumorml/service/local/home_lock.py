"""One service for one home: a lock that the system lets go of, however its holder died."""

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
    """Hold ``<home>/tumorml.lock`` and write into it who holds it.

    Args:
        home: The service's folder; made when missing.
        url: Where this service's UI will answer, for whoever is refused.

    Raises:
        TumorMLError: Another process holds it; the message has its pid and its URL.
    """
    home.mkdir(parents=True, exist_ok=True)
    path = home / "tumorml.lock"
    # Not inherited by children: the lock must die with this process alone.
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
        who = f"process {holder['pid']}, {holder['url']}"
    except (OSError, ValueError, KeyError):
        who = "a process that has not written its name yet"
    return (
        f"tumorml already runs on {path.parent} ({who}). Use that one, stop it with "
        "Ctrl-C in its terminal, or start another with its own TUMORML_HOME, "
        "TUMORML_AIRFLOW_PORT, TUMORML_API_PORT and TUMORML_UI_PORT."
    )
