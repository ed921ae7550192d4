"""Uploaded images: limits first, then the decoding that ingest has."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np
from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from numpy.typing import NDArray
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tumorml.datasets.resize import fit_to_square
from tumorml.errors import TumorMLError
from tumorml.scans.decode import DecodedScan, decode, scan_id
from tumorml.scans.validation import BLANK, LEAST_DEVIATION
from tumorml.serving.api.problems import ProblemError, RefusedFile
from tumorml.settings import Settings

FIELD = "images"
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
        scan: Decoded.
        scan_id: Of its pixels.
        image: uint8 [S, S], as the network is asked.
    """

    file: str
    scan: DecodedScan
    scan_id: str
    image: NDArray[np.uint8]


async def read_uploads(
    request: Request, settings: Settings, side: int, room: asyncio.Semaphore
) -> list[Upload]:
    """The images of a request, at a network's input size: all of them, or none.

    Decoding waits for ``room``, so that few requests at once hold their pixels; a slow caller
    holds none.

    Raises:
        ProblemError: There are none, too many, or some cannot be read; each is named.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise ProblemError(415, f"Send multipart/form-data with a field {FIELD!r} for each image.")
    try:
        async with request.form(
            max_files=settings.api_max_images, max_fields=1, max_part_size=1024
        ) as form:
            files = [part for part in form.getlist(FIELD) if isinstance(part, UploadFile)]
            if not files:
                raise ProblemError(422, f"There is no file in the field {FIELD!r}.")
            data = [
                (file.filename or f"image {n}", await file.read())
                for n, file in enumerate(files, 1)
            ]
    except (MultiPartException, HTTPException, ValueError, LookupError) as error:
        detail = str(getattr(error, "message", None) or getattr(error, "detail", None) or error)
        if detail.startswith("Too many files"):
            raise ProblemError(
                413, f"More than {settings.api_max_images} images; send them in several requests."
            ) from None
        raise ProblemError(400, f"The body is not multipart/form-data: {detail}") from None
    async with room:
        return await run_in_threadpool(_decoded, settings, data, side)


def read_image(settings: Settings, content: bytes, *, max_pixels: int | None = None) -> DecodedScan:
    """One image file, within the limits; ``max_pixels`` are those that others have left.

    Raises:
        TumorMLError: It cannot be read; the message is a sentence for whoever sent it.
    """
    if len(content) > settings.max_file_bytes:
        raise TumorMLError(f"It has more than {settings.max_file_bytes:,} bytes.")
    left = settings.max_scan_pixels if max_pixels is None else max_pixels
    scan = decode(content, max_pixels=left, min_side=settings.min_scan_side)
    if scan.pixels.std() < LEAST_DEVIATION:
        raise TumorMLError(BLANK)
    return scan


def _decoded(settings: Settings, data: list[tuple[str, bytes]], side: int) -> list[Upload]:
    uploads, refused = [], []
    left = settings.max_scan_pixels
    for name, content in data:
        file = name.encode("utf-8", "replace").decode()
        try:
            scan = read_image(settings, content, max_pixels=left)
            left -= scan.pixels.size
        except TumorMLError as error:
            refused.append(RefusedFile(file=file, reason=str(error)))
            continue
        image = fit_to_square(scan.pixels, side)
        uploads.append(Upload(file, scan, scan_id(scan.pixels), image))
    if refused:
        raise ProblemError(
            422,
            f"{len(refused)} of {len(data)} files cannot be read; nothing was answered.",
            files=refused,
        )
    return uploads


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
