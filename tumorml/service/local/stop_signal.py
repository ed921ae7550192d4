"""Ctrl-C and SIGTERM as a flag that work looks at, instead of an exception in the middle of it."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType


class StopRequested(Exception):  # noqa: N818 - a request, no error
    """Somebody asked the service to stop; raised by `StopSignal` where stopping is safe."""


class StopSignal:
    """Counts the requests to stop: the first is orderly, the second kills, the third just leaves.

    Use it as a context manager in the main thread; the earlier handlers come back at the end.
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
        """Ask to stop, as one Ctrl-C does."""
        self._requests += 1

    @property
    def requested(self) -> bool:
        """Whether anybody asked to stop."""
        return self._requests > 0

    @property
    def urgent(self) -> bool:
        """Whether somebody asked twice: kill at once."""
        return self._requests > 1

    def check(self) -> None:
        """Raise `StopRequested` if anybody asked to stop."""
        if self.requested:
            raise StopRequested

    def sleep(self, seconds: float) -> None:
        """Wait, but raise `StopRequested` within a tenth of a second of the request."""
        until = time.monotonic() + seconds
        while True:
            self.check()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(0.1, left))
