"""End a training promptly on SIGTERM."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tumorml.results.server import stop_started_postgres

logger = logging.getLogger(__name__)


@contextmanager
def end_on_sigterm(how_to_resume: str) -> Iterator[None]:
    """End the process at once on SIGTERM; on SIGTERM and Ctrl-C log how to resume.

    A thread watches for the signal, because Airflow's handler lets the task continue and Python's
    handlers wait until the current training step ends. The thread ends the process without an
    exception, because a normal exit would deadlock with TensorFlow's input threads. Checkpoints are
    written atomically, so the last one is complete. Outside the main thread this function does
    nothing, because Python does not allow signal handlers there.

    Args:
        how_to_resume: Instruction in the log message.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    message = f"stopping; the finished epochs are saved: {how_to_resume}"
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def watch() -> None:
        while number := os.read(reader, 1):
            if number[0] == signal.SIGTERM:
                try:
                    logger.warning(message)
                    stop_started_postgres()
                    logging.shutdown()
                finally:  # even if Postgres could not be stopped
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
