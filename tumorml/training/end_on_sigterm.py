"""A training that is told to stop does, whoever has a handler for the signal already."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)


@contextmanager
def end_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the process at once; the last epoch's checkpoint is whole, a retry goes on.

    Airflow's handler only asks the operator to clean up and lets the task run on. An exception
    would not do: the interpreter's exit waits for TensorFlow's input threads, and they for it.
    Outside the main thread nothing is changed: Python handles signals there alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: object) -> None:
        logger.warning("told to stop: the finished epochs are kept, and the next try goes on")
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
