"""Questions to the API: there is one way of answering, and every answer is a row."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tumorml.errors import TumorMLError
from tumorml.settings import Settings

SECONDS = 120.0
"""A first heatmap of a network without an evidence map loads TensorFlow."""


@dataclass(frozen=True, slots=True)
class Read:
    """One scan that was read.

    Attributes:
        task: What was decided.
        model_version: Who answered.
        answer: As the API has it.
        pixels: uint8 [h, w], the scan.
        true_label: Where it is known.
    """

    task: str
    model_version: str
    answer: dict[str, Any]
    pixels: NDArray[np.uint8]
    true_label: str | None = None

    @property
    def heat(self) -> NDArray[np.uint8]:
        """The map over the scan: uint8 [h, w]."""
        data = base64.b64decode(self.answer["heatmap"].partition(",")[2])
        return np.asarray(Image.open(io.BytesIO(data)).convert("L"))


def ask(settings: Settings, files: Sequence[tuple[str, bytes]], task: str | None) -> dict[str, Any]:
    """What the champion of a task says of image files, each with the map over its scan.

    Raises:
        TumorMLError: The API does not answer, or refuses; the message says why.
    """
    try:
        response = httpx.post(
            f"{settings.api_url}/predict",
            params={"heatmap": "map"} | ({"task": task} if task else {}),
            files=[("images", file) for file in files],
            headers={"X-API-Key": settings.ui_api_key} if settings.ui_api_key else {},
            timeout=SECONDS,
            trust_env=False,
        )
    except httpx.TransportError as error:
        raise TumorMLError(
            f"The API does not answer at {settings.api_url}: start it with `tumorml up` or "
            "`tumorml serve`."
        ) from error
    if "json" not in response.headers.get("content-type", ""):
        raise TumorMLError(
            f"What answers at {settings.api_url} failed ({response.status_code}) or is not the "
            "API; its log says why."
        )
    told = response.json()
    if response.is_success:
        return dict(told)
    refused = "".join(f"\n\n{one['file']}: {one['reason']}" for one in told.get("files", ()))
    if response.status_code == 401:
        sent = "is not one of them" if settings.ui_api_key else "is not set"
        refused += (
            f"\n\nThe key of this page, TUMORML_UI_API_KEY, {sent}: give it a writer's "
            "(`tumorml key add page --role writer`) and start the page again."
        )
    raise TumorMLError(f"{told['detail']}{refused}")
