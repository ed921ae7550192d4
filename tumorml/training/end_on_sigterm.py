"""A training that is told to stop does, whoever has a handler for the signal already."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tumorml.results.server import stop_what_was_started

logger = logging.getLogger(__name__)


@contextmanager
def end_on_sigterm(how_to_go_on: str) -> Iterator[None]:
    """Let SIGTERM end the process at once, and say then, or after Ctrl-C, how to go on.

    The last epoch's checkpoint is whole. Airflow's handler only asks the operator to clean up and
    lets the task run on, and Python's handlers wait for the end of some training steps; so a thread
    watches for the signal. It does not raise: the interpreter's exit waits for TensorFlow's input
    threads, and they for it. Outside the main thread, where Python lets nobody handle signals,
    nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    message = f"told to stop; the finished epochs are kept: {how_to_go_on}"
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def watch() -> None:
        while number := os.read(reader, 1):
            if number[0] == signal.SIGTERM:
                try:
                    logger.warning(message)
                    stop_what_was_started()
                    logging.shutdown()
                finally:  # whatever became of Postgres
                    os._exit(128 + signal.SIGTERM)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    handler = signal.signal(signal.SIGTERM, lambda *_: None)
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield
    except KeyboardInterrupt:
        logger.warning(message)
        raise
    finally:
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGTERM, handler)
        os.close(writer)
        watcher.join()
        os.close(reader)
