"""Uploaded images: limits first, then the decoding that ingest has."""

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
from tumorml.scans.images.decode import DecodedScan, count_pixels, decode, scan_id
from tumorml.scans.ingest.validation import BLANK, LEAST_DEVIATION
from tumorml.serving.api.problems import ProblemError, RefusedFile
from tumorml.settings import Settings

FIELD = "images"
UPLOAD_SECONDS = 60
BODY = {
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
                        "description": "JPEG, PNG, BMP, TIFF, GIF or WebP; one or many.",
                    }
                },
            }
        }
    },
}
"""What OpenAPI says of the body."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One readable image.

    Attributes:
        file: Its name.
        warnings: About the file.
        scan_id: Of its pixels.
        image: uint8 [S, S], as the network is asked.
        pixels: uint8 [h, w], of the whole scan; [0, 0] where they are not wanted.
    """

    file: str
    warnings: tuple[str, ...]
    scan_id: str
    image: NDArray[np.uint8]
    pixels: NDArray[np.uint8]


@asynccontextmanager
async def uploaded(request: Request, settings: Settings) -> AsyncIterator[list[UploadFile]]:
    """The files of a request, large ones on the disk, until the block ends.

    Raises:
        ProblemError: There are none, too many, or they do not arrive in time.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise ProblemError(415, f"Send multipart/form-data with a field {FIELD!r} for each image.")
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            form = await request.form(
                max_files=settings.api_max_images, max_fields=1, max_part_size=1024
            )
    except TimeoutError:
        raise ProblemError(408, f"The body did not arrive in {UPLOAD_SECONDS} s.") from None
    except (MultiPartException, HTTPException, ValueError, LookupError) as error:
        detail = str(getattr(error, "message", None) or getattr(error, "detail", None) or error)
        if detail.startswith("Too many files"):
            raise ProblemError(
                413, f"More than {settings.api_max_images} images; send them in several requests."
            ) from None
        raise ProblemError(400, f"The body is not multipart/form-data: {detail}") from None
    try:
        files = [part for part in form.getlist(FIELD) if isinstance(part, UploadFile)]
        if not files:
            raise ProblemError(422, f"There is no file in the field {FIELD!r}.")
        yield files
    finally:
        await form.close()


def pixels_of(files: Sequence[UploadFile]) -> int:
    """How many pixels a request holds once it is decoded, by what its images say of themselves."""
    total = 0
    for file in files:
        total += count_pixels(file.file)
        file.file.seek(0)
    return total


def read_uploads(
    settings: Settings, files: Sequence[UploadFile], side: int, *, keep_pixels: bool
) -> list[Upload]:
    """The images of a request, at a network's input size: all of them, or none.

    Raises:
        ProblemError: Some cannot be read; each is named.
    """
    uploads, refused = [], []
    left = settings.max_scan_pixels
    for number, file in enumerate(files, 1):
        name = (file.filename or f"image {number}").encode("utf-8", "replace").decode()
        try:
            scan = read_image(settings, file.file.read(), max_pixels=left)
        except TumorMLError as error:
            refused.append(RefusedFile(file=name, reason=str(error)))
            continue
        left -= scan.pixels.size
        image = fit_to_square(scan.pixels, side)
        kept = scan.pixels if keep_pixels else np.zeros((0, 0), np.uint8)
        uploads.append(Upload(name, scan.warnings, scan_id(scan.pixels), image, kept))
    if refused:
        raise ProblemError(
            422,
            f"{len(refused)} of {len(files)} files cannot be read; nothing was answered.",
            files=refused,
        )
    return uploads


def read_image(settings: Settings, content: bytes, *, max_pixels: int | None = None) -> DecodedScan:
    """One image file, within the limits; ``max_pixels`` are those that others have left.

    Raises:
        TumorMLError: It cannot be read; the message is a sentence for whoever sent it.
    """
    if len(content) > settings.max_file_bytes:
        raise TumorMLError(f"It has more than {settings.max_file_bytes:,} bytes.")
    left = settings.max_scan_pixels if max_pixels is None else max_pixels
    scan = decode(content, max_pixels=left, min_side=settings.min_scan_side)
    if cv2.meanStdDev(scan.pixels)[1].item() < LEAST_DEVIATION:  # without a copy in float64
        raise TumorMLError(BLANK)
    return scan


class BodyLimit:
    """Sends a request away once its body is longer than allowed, however it is sent."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        problem = ProblemError(413, f"The body has more than {self._most:,} bytes.")
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > self._most:
            await problem.response()(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._most:
                raise problem
            return message

        await self._app(scope, counted, send)
