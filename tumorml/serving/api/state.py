"""The state that all requests of one API server share, and its limits on concurrent work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from fastapi import Request

from tumorml.serving.api.api_keys import ApiKeyCache
from tumorml.serving.api.metrics import ServerMetrics
from tumorml.serving.api.problems import ProblemError
from tumorml.serving.live_champions import LiveChampions
from tumorml.serving.predict_scans import prediction_batcher
from tumorml.serving.record_predictions import recording_batcher
from tumorml.settings import Settings

CONCURRENT_REQUESTS = 8
"""Prediction requests that are decoded and predicted at the same time."""
_STOP_SECONDS = 5.0


class PixelBudget:
    """A limit on the pixels that concurrent requests hold in memory, in order of arrival (FIFO).

    Use it from one event loop.

    Args:
        pixels: The limit.
    """

    def __init__(self, pixels: int) -> None:
        self._total = pixels
        self._free = pixels
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def reserve(self, pixels: int) -> AsyncIterator[None]:
        """Wait until enough pixels are free, and reserve them for the block.

        A request for more pixels than the limit reserves the limit.
        """
        pixels = min(pixels, self._total)
        async with self._turn:
            while self._free < pixels:
                self._freed.clear()
                await self._freed.wait()
            self._free -= pixels
        try:
            yield
        finally:
            self._free += pixels
            self._freed.set()


class ServerState:
    """Champions, batchers, keys, metrics and limits of one API server."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.champions = LiveChampions(settings)
        self.predictions = prediction_batcher(settings)
        self.records = recording_batcher(settings)
        self.metrics = ServerMetrics()
        self.request_slots = asyncio.Semaphore(CONCURRENT_REQUESTS)
        self.pixel_budget = PixelBudget(settings.max_scan_pixels)
        self.keys = ApiKeyCache(settings)
        self.active_requests = 0

    def start(self) -> None:
        """Load the champions and the keys, and start the threads."""
        self.champions.start()
        self.keys.start()
        self.predictions.start()
        self.records.start()

    def stop(self) -> None:
        """Finish the queued predictions and their rows, and stop the threads."""
        self.predictions.stop(_STOP_SECONDS)
        self.records.stop(_STOP_SECONDS)
        self.champions.stop()
        self.keys.stop()

    @property
    def is_running(self) -> bool:
        """True while the threads that predict and record are alive."""
        return self.predictions.is_alive and self.records.is_alive

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Count a prediction request for the block; call this before its body is read.

        Raises:
            ProblemError: 503 if ``TUMORML_API_QUEUE`` requests are active already.
        """
        if self.active_requests >= self.settings.api_queue:
            raise ProblemError(
                503,
                f"Too many requests: {self.active_requests} are active already. Try again.",
                headers={"Retry-After": "1"},
            )
        self.active_requests += 1
        try:
            yield
        finally:
            self.active_requests -= 1


async def server_state(request: Request) -> ServerState:
    """Return the state of the app that received a request."""
    state: ServerState = request.app.state.server
    return state
