"""Client of the prediction API: the UI gets every prediction from it."""

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

TIMEOUT_SECONDS = 120.0
"""Long, because the first LayerCAM heatmap makes the API load TensorFlow."""


@dataclass(frozen=True, slots=True)
class ScanResult:
    """The prediction for one scan.

    Attributes:
        task: The task.
        model_version: Id of the model version that predicted.
        answer: The API's schema ``Answer`` as a dict.
        pixels: uint8 [h, w], the scan.
        true_label: The true label, if it is known.
    """

    task: str
    model_version: str
    answer: dict[str, Any]
    pixels: NDArray[np.uint8]
    true_label: str | None = None

    @property
    def heatmap(self) -> NDArray[np.uint8]:
        """The heatmap at the size of the scan: uint8 [h, w], 255 at the warmest places."""
        data = base64.b64decode(self.answer["heatmap"].partition(",")[2])
        return np.asarray(Image.open(io.BytesIO(data)).convert("L"))


def request_predictions(
    settings: Settings, files: Sequence[tuple[str, bytes]], task: str | None
) -> dict[str, Any]:
    """Request predictions with heatmaps for image files.

    Args:
        settings: Settings with the API's address and the UI's API key.
        files: Name and content of each image.
        task: The task; None for the API's default.

    Returns:
        The API's schema ``Prediction`` as a dict.

    Raises:
        TumorMLError: The API cannot be reached or refuses the request.
    """
    try:
        response = httpx.post(
            f"{settings.api_url}/predict",
            params={"heatmap": "map"} | ({"task": task} if task else {}),
            files=[("images", file) for file in files],
            headers={"X-API-Key": settings.ui_api_key} if settings.ui_api_key else {},
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        )
    except httpx.TransportError as error:
        raise TumorMLError(
            f"The API at {settings.api_url} does not respond. Start it with `tumorml up` or "
            "`tumorml serve`."
        ) from error
    if "json" not in response.headers.get("content-type", ""):
        raise TumorMLError(
            f"The server at {settings.api_url} is not the API or failed with status "
            f"{response.status_code}. See its log."
        )
    content = response.json()
    if response.is_success:
        return dict(content)
    detail = "".join(f"\n\n{file['file']}: {file['reason']}" for file in content.get("files", ()))
    if response.status_code == 401:
        state = "is not an active key" if settings.ui_api_key else "is not set"
        detail += (
            f"\n\nThe API key of this UI, TUMORML_UI_API_KEY, {state}. Create one with "
            "`tumorml key add ui --role writer`, set it, and restart the UI."
        )
    raise TumorMLError(f"{content['detail']}{detail}")
