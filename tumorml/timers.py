"""Timers: rate-limited progress messages, and a thread that repeats an action."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

_JOIN_SECONDS = 2.0


class Interval:
    """A rate limit for the messages of a loop.

    Example:
        every_five_seconds = Interval(5.0)
        for done, file in enumerate(files, start=1):
            read(file)
            if every_five_seconds.due():
                logger.info("read %s of %s files", done, len(files))

    Args:
        seconds: Minimum time between two messages, and between the start and the first message.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def due(self) -> bool:
        """Return True at most once per interval; the first time after one full interval."""
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


class PeriodicThread:
    """A daemon thread that repeats an action; a failed action is logged and tried again.

    Args:
        name: Name of the thread, used in log messages.
        seconds: The pause before each call of the action.
        action: The function to repeat.
        transient: Types of transient exceptions, which are logged without a traceback.
    """

    def __init__(
        self,
        name: str,
        seconds: float,
        action: Callable[[], object],
        *,
        transient: tuple[type[Exception], ...] = (OSError,),
    ) -> None:
        self._name = name
        self._seconds = seconds
        self._action = action
        self._transient = transient
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; the first call follows after one pause."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; wait up to 2 seconds for an action that is running."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=_JOIN_SECONDS)

    def _repeat(self) -> None:
        while not self._stopped.wait(self._seconds):
            try:
                self._action()
            except Exception as error:  # an exception would end the thread
                logger.warning(
                    "%s failed, retrying in %g s: %s",
                    self._name,
                    self._seconds,
                    error,
                    exc_info=not isinstance(error, self._transient),
                )
