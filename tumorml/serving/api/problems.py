"""Error responses as ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from sqlalchemy.exc import DataError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from tumorml.errors import TransientError, TumorMLError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
CLIENT_CLOSED_REQUEST = 499
"""The status that nginx logs for a closed connection. No client receives it."""


class RefusedFile(BaseModel):
    """A file that could not be decoded."""

    file: str = Field(examples=["slice-17.pdf"])
    reason: str = Field(examples=["It is not a supported image: it is a PDF."])


class Problem(BaseModel):
    """An error in the format of RFC 9457."""

    type: str = Field("about:blank", examples=["about:blank"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["1 of 2 files cannot be decoded; no scan was predicted."])
    files: list[RefusedFile] | None = Field(
        None, description="The files that could not be decoded, with the reason."
    )


class ProblemError(Exception):
    """An error response.

    Args:
        status: HTTP status.
        detail: The error and the remedy, in one or two sentences.
        files: The uploaded files that could not be decoded.
        headers: Additional response headers.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        files: list[RefusedFile] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(
            title=HTTPStatus(status).phrase, status=status, detail=detail, files=files
        )
        self.headers = headers or {}

    def response(self) -> JSONResponse:
        """Return the HTTP response."""
        return JSONResponse(
            self.problem.model_dump(exclude_none=True),
            status_code=self.problem.status,
            media_type=MEDIA_TYPE,
            headers=self.headers,
        )


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI descriptions of a path's error responses."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def install_problem_handlers(app: FastAPI) -> None:
    """Register handlers that turn every exception into an RFC 9457 response."""

    @app.exception_handler(ProblemError)
    async def _problem(_: Request, error: ProblemError) -> JSONResponse:
        return error.response()

    @app.exception_handler(HTTPException)
    async def _http_error(_: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers) if error.headers else None
        return ProblemError(error.status_code, str(error.detail), headers=headers).response()

    @app.exception_handler(RequestValidationError)
    async def _invalid_request(_: Request, error: RequestValidationError) -> JSONResponse:
        detail = "; ".join(
            f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}"
            for one in error.errors()
        )
        return ProblemError(422, detail).response()

    @app.exception_handler(TumorMLError)
    async def _user_error(_: Request, error: TumorMLError) -> JSONResponse:
        return ProblemError(409, str(error)).response()

    @app.exception_handler(DataError)
    async def _invalid_value(_: Request, error: DataError) -> JSONResponse:
        return ProblemError(422, f"The results store refuses a value: {error.orig}").response()

    @app.exception_handler(TransientError)
    @app.exception_handler(OperationalError)
    @app.exception_handler(InterfaceError)
    @app.exception_handler(PoolTimeoutError)
    @app.exception_handler(OSError)
    async def _store_unavailable(_: Request, error: Exception) -> JSONResponse:
        logger.warning("the results store or the object store does not respond", exc_info=error)
        return ProblemError(
            503,
            "The results store or the object store does not respond. Try again.",
            headers={"Retry-After": "5"},
        ).response()

    @app.exception_handler(ClientDisconnect)
    async def _client_closed(_: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_CLOSED_REQUEST)

    @app.exception_handler(Exception)
    async def _internal_error(_: Request, error: Exception) -> JSONResponse:
        return ProblemError(
            500, "Internal server error; the server log has the details."
        ).response()
