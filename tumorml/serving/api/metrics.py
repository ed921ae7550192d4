"""What Prometheus scrapes."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "tumorml_requests", "Requests.", ["method", "path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "tumorml_request_seconds",
            "From the first byte of a request to its answer.",
            ["method", "path"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        self.answers = Counter(
            "tumorml_answers",
            "Scans that were answered.",
            ["task", "model_version", "label"],
            registry=self.registry,
        )
        self.unlike = Counter(
            "tumorml_unlike_scans",
            "Answered scans that are unlike what the model learnt from.",
            ["task", "model_version"],
            registry=self.registry,
        )
        self.waiting = Gauge(
            "tumorml_waiting_requests", "Requests that wait for answers.", registry=self.registry
        )
        self.live = Gauge(
            "tumorml_champion",
            "1 for the model version that answers.",
            ["task", "model_version"],
            registry=self.registry,
        )


class Measured:
    """Counts an app's requests, by path as it is declared, and their time."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def seen(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, seen)
        finally:
            path = getattr(scope.get("route"), "path", "unknown")
            method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
            self._metrics.requests.labels(method, path, status).inc()
            self._metrics.seconds.labels(method, path).observe(time.perf_counter() - started)
