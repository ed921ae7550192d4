"""Prometheus metrics of the API server."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class ServerMetrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "tumorml_requests",
            "HTTP requests.",
            ["method", "path", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "tumorml_request_seconds",
            "Time from the start of a request to the end of its response, in seconds.",
            ["method", "path"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        self.answers = Counter(
            "tumorml_answers",
            "Predicted scans.",
            ["task", "model_version", "label"],
            registry=self.registry,
        )
        self.unlike = Counter(
            "tumorml_unlike_scans",
            "Predicted scans that are unlike the training scans of the model version.",
            ["task", "model_version"],
            registry=self.registry,
        )
        self.waiting = Gauge(
            "tumorml_waiting_requests",
            "Prediction requests that are being processed or queued.",
            registry=self.registry,
        )
        self.live = Gauge(
            "tumorml_champion",
            "1 for each model version that serves.",
            ["task", "model_version"],
            registry=self.registry,
        )


class RequestMetrics:
    """ASGI middleware that counts and times requests by method and declared path."""

    def __init__(self, app: ASGIApp, metrics: ServerMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_and_note_status(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, send_and_note_status)
        finally:
            path = getattr(scope.get("route"), "path", "unknown")
            method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
            self._metrics.requests.labels(method, path, status).inc()
            self._metrics.seconds.labels(method, path).observe(time.perf_counter() - started)
