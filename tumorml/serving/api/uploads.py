"""Uploaded images: size limits, then the same decoding as at ingest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from fastapi import Request
from numpy.typing import NDArray
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tumorml.datasets.resize import fit_to_square
from tumorml.errors import TumorMLError
from tumorml.scans.images.decode import count_pixels, decode, scan_id
from tumorml.scans.images.readers.image_reader import DecodedScan
from tumorml.scans.images.readers.registry import format_names
from tumorml.scans.ingest.validation.rules import BLANK_REASON, MIN_DEVIATION
from tumorml.serving.api.problems import ProblemError, RefusedFile
from tumorml.settings import Settings

FIELD = "images"
UPLOAD_TIMEOUT_SECONDS = 60
REQUEST_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [FIELD],
                "properties": {
                    FIELD: {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "format": "binary"},
                        "description": f"One or more images. Formats: {', '.join(format_names())}.",
                    }
                },
            }
        }
    },
}
"""The OpenAPI description of the request body."""


@dataclass(frozen=True, slots=True)
class DecodedUpload:
    """A decoded image of a request.

    Attributes:
        file: Name of the uploaded file.
        warnings: Warnings of the decoder.
        scan_id: SHA-256 of the canonical pixels.
        image: uint8 [S, S], resized to the input size of the network.
        pixels: uint8 [h, w], the canonical scan; [0, 0] if it is not kept.
    """

    file: str
    warnings: tuple[str, ...]
    scan_id: str
    image: NDArray[np.uint8]
    pixels: NDArray[np.uint8]


@asynccontextmanager
async def receive_files(request: Request, settings: Settings) -> AsyncIterator[list[UploadFile]]:
    """Receive the files of a request, and keep them for the block; large files are on disk.

    Raises:
        ProblemError: 415 or 400 if the body is not multipart/form-data; 413 for too many files; 422
            for none; 408 if the body does not arrive in time.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "multipart/form-data":
        raise ProblemError(
            415, f"Send the images as multipart/form-data, each in a field {FIELD!r}."
        )
    try:
        async with asyncio.timeout(UPLOAD_TIMEOUT_SECONDS):
            form = await request.form(
                max_files=settings.api_max_images, max_fields=1, max_part_size=1024
            )
    except TimeoutError:
        raise ProblemError(
            408, f"The body did not arrive within {UPLOAD_TIMEOUT_SECONDS} s."
        ) from None
    except (MultiPartException, HTTPException, ValueError, LookupError) as error:
        detail = str(getattr(error, "message", None) or getattr(error, "detail", None) or error)
        if detail.startswith("Too many files"):
            raise ProblemError(
                413,
                f"A request may have {settings.api_max_images} images; send them in several "
                "requests.",
            ) from None
        raise ProblemError(400, f"The body is not valid multipart/form-data: {detail}") from None
    try:
        files = [part for part in form.getlist(FIELD) if isinstance(part, UploadFile)]
        if not files:
            raise ProblemError(422, f"The request has no file in the field {FIELD!r}.")
        yield files
    finally:
        await form.close()


def count_request_pixels(files: Sequence[UploadFile]) -> int:
    """Return the number of pixels that decoding will produce, from the headers of the files."""
    total = 0
    for file in files:
        total += count_pixels(file.file)
        file.file.seek(0)
    return total


def decode_uploads(
    settings: Settings, files: Sequence[UploadFile], side: int, *, keep_pixels: bool
) -> list[DecodedUpload]:
    """Decode all images of a request and resize them to the network's input.

    Args:
        settings: Limits of files and pixels.
        files: The uploaded files.
        side: Input size of the network, in pixels.
        keep_pixels: Keep the canonical pixels too.

    Raises:
        ProblemError: 422 if any file cannot be decoded; the problem lists each with the reason.
    """
    uploads, refused = [], []
    pixels_left = settings.max_scan_pixels
    for number, file in enumerate(files, 1):
        name = (file.filename or f"image {number}").encode("utf-8", "replace").decode()
        try:
            scan = decode_image(settings, file.file.read(), max_pixels=pixels_left)
        except TumorMLError as error:
            refused.append(RefusedFile(file=name, reason=str(error)))
            continue
        pixels_left -= scan.pixels.size
        image = fit_to_square(scan.pixels, side)
        pixels = scan.pixels if keep_pixels else np.zeros((0, 0), np.uint8)
        uploads.append(DecodedUpload(name, scan.warnings, scan_id(scan.pixels), image, pixels))
    if refused:
        raise ProblemError(
            422,
            f"{len(refused)} of {len(files)} files cannot be decoded; no scan was predicted.",
            files=refused,
        )
    return uploads


def decode_image(
    settings: Settings, content: bytes, *, max_pixels: int | None = None
) -> DecodedScan:
    """Decode one image file within the limits of the settings.

    Args:
        settings: Limits of files and pixels.
        content: The file.
        max_pixels: Maximum number of pixels; the limit of the settings if not given.

    Raises:
        TumorMLError: The file is too large, cannot be decoded, or is blank.
    """
    if len(content) > settings.max_file_bytes:
        raise TumorMLError(
            f"The file has {len(content):,} bytes; the limit is {settings.max_file_bytes:,}."
        )
    limit = settings.max_scan_pixels if max_pixels is None else max_pixels
    scan = decode(content, max_pixels=limit, min_side=settings.min_scan_side)
    if cv2.meanStdDev(scan.pixels)[1].item() < MIN_DEVIATION:  # no float64 copy, unlike np.std
        raise TumorMLError(BLANK_REASON)
    return scan


class BodySizeLimit:
    """ASGI middleware that refuses request bodies above a size, with or without Content-Length.

    Args:
        app: The next app.
        max_bytes: The largest body.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        problem = ProblemError(
            413, f"The request body is too large; the limit is {self._max_bytes:,} bytes."
        )
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > self._max_bytes:
            await problem.response()(scope, receive, send)
            return
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise problem
            return message

        await self._app(scope, receive_counted, send)
