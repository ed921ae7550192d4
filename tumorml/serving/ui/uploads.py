"""Uploaded images: decoded and predicted once per session, in requests that the API accepts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit.runtime.uploaded_file_manager import UploadedFile

from tumorml.errors import TumorMLError
from tumorml.scans.images.readers.registry import format_names
from tumorml.serving.api.uploads import decode_image
from tumorml.serving.ui.api_client import ScanResult, request_predictions
from tumorml.serving.ui.widgets import escape_markdown, show_errors
from tumorml.settings import Settings

MULTIPART_OVERHEAD_BYTES = 1024
"""Maximum number of bytes that a request adds to the content of a file."""
FileWithPixels = tuple[UploadedFile, NDArray[np.uint8]]
"""An uploaded file and its pixels [h, w]."""


def predict_uploads(settings: Settings, task: str) -> list[ScanResult]:
    """Show the file uploader, and return a result for each uploaded file that could be predicted.

    Each file is decoded and predicted once per session and task.
    """
    files = st.file_uploader(
        f"One or more images of one slice each: {', '.join(format_names())}",
        accept_multiple_files=True,
        key="images",
    )
    results: dict[tuple[str, str], ScanResult] = st.session_state.setdefault("results", {})
    decoded: dict[str, NDArray[np.uint8] | str] = st.session_state.setdefault("decoded", {})
    readable = []
    for file in files:
        if file.file_id not in decoded:
            decoded[file.file_id] = decode_pixels(settings, file.getvalue())
        pixels = decoded[file.file_id]
        if isinstance(pixels, str):
            st.error(escape_markdown(f"{file.name}: {pixels}"), icon=":material/block:")
        else:
            readable.append((file, pixels))
    new = [pair for pair in readable if (task, pair[0].file_id) not in results]
    with show_errors():  # results of earlier requests are shown even if a later one fails
        for part in split_into_requests(settings, new):
            with st.spinner("Reading the scans ..."):
                content = [(file.name, file.getvalue()) for file, _ in part]
                response = request_predictions(settings, content, task)
            for (file, pixels), answer in zip(part, response["answers"], strict=True):
                results[task, file.file_id] = ScanResult(
                    response["task"], response["model_version"], answer, pixels
                )
    ids = {file.file_id for file in files}
    for removed in [key for key in results if key[1] not in ids]:
        del results[removed]
    for file_id in decoded.keys() - ids:
        del decoded[file_id]
    found = [results.get((task, file.file_id)) for file, _ in readable]
    return [result for result in found if result is not None]


def decode_pixels(settings: Settings, content: bytes) -> NDArray[np.uint8] | str:
    """Return the scan in an image file, uint8 [h, w], or the reason why it cannot be decoded."""
    try:
        return decode_image(settings, content).pixels
    except TumorMLError as error:
        return str(error)


def split_into_requests(
    settings: Settings, pairs: Sequence[FileWithPixels]
) -> list[list[FileWithPixels]]:
    """Split files into requests that respect the API's limits of images, bytes and pixels."""
    max_images = min(settings.api_max_images, settings.api_queue)
    limits = max_images, settings.api_max_bytes, settings.max_scan_pixels
    parts: list[list[FileWithPixels]] = []
    used = np.zeros(3, np.int64)
    for file, pixels in pairs:
        needed = np.array([1, file.size + MULTIPART_OVERHEAD_BYTES, pixels.size])
        if not parts or np.any(used + needed > limits):
            parts.append([])
            used[:] = 0
        parts[-1].append((file, pixels))
        used += needed
    return parts
