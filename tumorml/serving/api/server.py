"""What the paths of one app share."""

from __future__ import annotations

import asyncio
import threading
import time

from fastapi import Request

from tumorml.serving.answering import batches
from tumorml.serving.api.keys import Keys, read_keys
from tumorml.serving.api.metrics import Metrics
from tumorml.serving.live import LiveChampions
from tumorml.serving.records import records
from tumorml.settings import Settings

READERS = 8
"""So many requests at once are decoded, or put into words: each may hold millions of pixels."""
_KEYS_KEPT_SECONDS = 2.0


class Server:
    """What the paths of one app share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.champions = LiveChampions(settings)
        self.batches = batches(settings)
        # Never full: whoever has something to write down has room.
        self.records = records(settings, limit=READERS * settings.api_max_images)
        self.metrics = Metrics()
        self.room = asyncio.Semaphore(READERS)
        self._keys = Keys({}, open=False)
        self._keys_read = float("-inf")
        self._keys_lock = threading.Lock()

    def start(self) -> None:
        """Load the champions, and begin to answer."""
        self.champions.start()
        self.batches.start()
        self.records.start()

    def stop(self) -> None:
        """Answer what waits, and end."""
        self.batches.stop()
        self.records.stop()
        self.champions.stop()

    def keys(self) -> Keys:
        """The known keys; a revoked one is refused two seconds later."""
        with self._keys_lock:
            if time.monotonic() - self._keys_read > _KEYS_KEPT_SECONDS:
                self._keys = read_keys(self.settings)
                self._keys_read = time.monotonic()
            return self._keys


def server_of(request: Request) -> Server:
    """What the app of a request shares."""
    server: Server = request.app.state.server
    return server
