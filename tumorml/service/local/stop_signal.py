"""Ctrl-C and SIGTERM as a flag that is polled, instead of an exception at any point."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType


class StopRequested(Exception):  # noqa: N818 - a request, not an error
    """The user asked the service to stop; `StopSignal` raises it where stopping is safe."""


class StopSignal:
    """Counts stop requests: the first stops in order, the second kills, the third exits at once.

    A context manager for the main thread; the previous signal handlers are restored at the end.
    """

    def __init__(self) -> None:
        self._requests = 0
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.request()
        if self._requests > 2:
            os._exit(130)

    def request(self) -> None:
        """Request a stop, as one Ctrl-C does."""
        self._requests += 1

    @property
    def requested(self) -> bool:
        """Whether a stop was requested."""
        return self._requests > 0

    @property
    def urgent(self) -> bool:
        """Whether a stop was requested twice: kill at once."""
        return self._requests > 1

    def check(self) -> None:
        """Raise `StopRequested` if a stop was requested."""
        if self.requested:
            raise StopRequested

    def sleep(self, seconds: float) -> None:
        """Wait; raise `StopRequested` within 0.1 seconds of a stop request."""
        until = time.monotonic() + seconds
        while True:
            self.check()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(0.1, left))
