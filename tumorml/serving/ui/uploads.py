"""Uploaded files: each is decoded and asked about once, so many together as the API takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit.runtime.uploaded_file_manager import UploadedFile

from tumorml.errors import TumorMLError
from tumorml.serving.api.uploads import read_image
from tumorml.serving.ui.api_client import Read, ask
from tumorml.serving.ui.widgets import plain, told
from tumorml.settings import Settings

ENVELOPE_BYTES = 1024
"""At most that a request needs around a file."""
Pair = tuple[UploadedFile, NDArray[np.uint8]]
"""A file and its pixels [h, w]."""


def uploaded(settings: Settings, task: str) -> list[Read]:
    """What is said of the files that are uploaded; each is asked about once in a session."""
    files = st.file_uploader(
        "One or several images of one slice each: PNG, JPEG, TIFF, BMP, GIF or WebP",
        accept_multiple_files=True,
        key="images",
    )
    known: dict[tuple[str, str], Read] = st.session_state.setdefault("answers", {})
    decoded: dict[str, NDArray[np.uint8] | str] = st.session_state.setdefault("decoded", {})
    readable = []
    for file in files:
        if file.file_id not in decoded:
            decoded[file.file_id] = pixels_of(settings, file.getvalue())
        pixels = decoded[file.file_id]
        if isinstance(pixels, str):
            st.error(plain(f"{file.name}: {pixels}"), icon=":material/block:")
        else:
            readable.append((file, pixels))
    new = [pair for pair in readable if (task, pair[0].file_id) not in known]
    with told():  # what was answered before one part failed is shown
        for part in in_parts(settings, new):
            with st.spinner("Reading ..."):
                said = ask(settings, [(file.name, file.getvalue()) for file, _ in part], task)
            for (file, pixels), answer in zip(part, said["answers"], strict=True):
                known[task, file.file_id] = Read(
                    said["task"], said["model_version"], answer, pixels
                )
    ids = {file.file_id for file in files}
    for gone in [key for key in known if key[1] not in ids]:
        del known[gone]
    for file_id in decoded.keys() - ids:
        del decoded[file_id]
    asked = [known.get((task, file.file_id)) for file, _ in readable]
    return [read for read in asked if read is not None]


def pixels_of(settings: Settings, content: bytes) -> NDArray[np.uint8] | str:
    """The scan in an image file, uint8 [h, w], or why it cannot be read."""
    try:
        return read_image(settings, content).pixels
    except TumorMLError as error:
        return str(error)


def in_parts(settings: Settings, pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Files with their pixels, so many together as the API takes in one request."""
    images = min(settings.api_max_images, settings.api_queue)
    most = images, settings.api_max_bytes, settings.max_scan_pixels
    parts: list[list[Pair]] = []
    taken = np.zeros(3, np.int64)
    for file, pixels in pairs:
        weight = np.array([1, file.size + ENVELOPE_BYTES, pixels.size])
        if not parts or np.any(taken + weight > most):
            parts.append([])
            taken[:] = 0
        parts[-1].append((file, pixels))
        taken += weight
    return parts
