"""What the paths of one app share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request

from tumorml.serving.api.api_keys import KnownKeys
from tumorml.serving.api.budget import Budget
from tumorml.serving.api.metrics import Metrics
from tumorml.serving.api.problems import ProblemError
from tumorml.serving.live_champions import LiveChampions
from tumorml.serving.predict_scans import batches
from tumorml.serving.record_predictions import records
from tumorml.settings import Settings

READERS = 8
"""So many requests are answered at once."""
_STOP_SECONDS = 5.0


class Server:
    """What the paths of one app share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.champions = LiveChampions(settings)
        self.batches = batches(settings)
        self.records = records(settings)
        self.metrics = Metrics()
        self.room = asyncio.Semaphore(READERS)
        self.pixels = Budget(settings.max_scan_pixels)
        self.keys = KnownKeys(settings)
        self.asked = 0

    def start(self) -> None:
        """Load the champions, and begin to answer."""
        self.champions.start()
        self.keys.start()
        self.batches.start()
        self.records.start()

    def stop(self) -> None:
        """Answer what waits, and end."""
        self.batches.stop(_STOP_SECONDS)
        self.records.stop(_STOP_SECONDS)
        self.champions.stop()
        self.keys.stop()

    @property
    def works(self) -> bool:
        """Whether what answers, and what writes answers down, is there."""
        return self.batches.is_alive and self.records.is_alive

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Let a request in, and out again; at the door nothing of it has been read.

        Raises:
            ProblemError: So many are inside that it would wait too long.
        """
        if self.asked >= self.settings.api_queue:
            raise ProblemError(
                503,
                f"{self.asked} requests are waiting already; try again.",
                headers={"Retry-After": "1"},
            )
        self.asked += 1
        try:
            yield
        finally:
            self.asked -= 1


async def server_of(request: Request) -> Server:
    """What the app of a request shares."""
    server: Server = request.app.state.server
    return server
