"""Behavior of the simulated clients of `benchmarks/serving/api.py`, run by locust."""

from __future__ import annotations

import os
import random
from pathlib import Path

from locust import FastHttpUser, task

IMAGES = [path.read_bytes() for path in sorted(Path(os.environ["IMAGES"]).iterdir())[:200]]
PATH = "/predict?heatmap=" + os.environ["HEATMAP"]


class Client(FastHttpUser):
    """Sends one image after another; 503 with `Retry-After` counts as refused, not as an error."""

    @task
    def predict(self) -> None:
        """Send one image."""
        files = {"images": ("scan.jpg", random.choice(IMAGES), "image/jpeg")}
        with self.client.post(PATH, files=files, name="predict", catch_response=True) as response:
            if response.status_code == 503 and "Retry-After" in response.headers:
                response.success()
                response.request_meta["name"] = "refused"
