"""What each simulated client does; run by `benchmarks/serving.py` through locust."""

from __future__ import annotations

import os
import random
from pathlib import Path

from locust import FastHttpUser, task

IMAGES = [path.read_bytes() for path in sorted(Path(os.environ["IMAGES"]).iterdir())[:200]]
PATH = "/predict?heatmap=" + os.environ["HEATMAP"]


class Caller(FastHttpUser):
    """Asks about one image after the other; who is sent away with 503 waits as it is told."""

    @task
    def ask(self) -> None:
        """One image."""
        files = {"images": ("scan.jpg", random.choice(IMAGES), "image/jpeg")}
        with self.client.post(PATH, files=files, name="predict", catch_response=True) as response:
            if response.status_code == 503 and "Retry-After" in response.headers:
                response.success()
                response.request_meta["name"] = "sent away"
