"""Errors as the caller sees them: RFC 9457, ``application/problem+json``."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from sqlalchemy.exc import DataError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from tumorml.errors import MayPassError, TumorMLError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
CLOSED = 499
"""What nginx counts where a caller has hung up; nobody reads it."""


class RefusedFile(BaseModel):
    """A file that was not read."""

    file: str = Field(examples=["slice-17.dcm"])
    reason: str = Field(examples=["It is not an image that is read here: it is a DICOM file."])


class Problem(BaseModel):
    """What went wrong, as RFC 9457 has it."""

    type: str = Field("about:blank", examples=["about:blank"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["1 of 2 files cannot be read; nothing was answered."])
    files: list[RefusedFile] | None = Field(None, description="Which files, and why.")


class ProblemError(Exception):
    """An answer that is an error."""

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
        """As the caller gets it."""
        return JSONResponse(
            self.problem.model_dump(exclude_none=True),
            status_code=self.problem.status,
            media_type=MEDIA_TYPE,
            headers=self.headers,
        )


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of a path's errors."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def tell_problems(app: FastAPI) -> None:
    """Let an app answer every error as a problem."""

    @app.exception_handler(ProblemError)
    async def _problem(_: Request, error: ProblemError) -> JSONResponse:
        return error.response()

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers) if error.headers else None
        return ProblemError(error.status_code, str(error.detail), headers=headers).response()

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        told = "; ".join(
            f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}"
            for one in error.errors()
        )
        return ProblemError(422, told).response()

    @app.exception_handler(TumorMLError)
    async def _of_ours(_: Request, error: TumorMLError) -> JSONResponse:
        return ProblemError(409, str(error)).response()

    @app.exception_handler(DataError)
    async def _no_value(_: Request, error: DataError) -> JSONResponse:
        return ProblemError(422, f"A value that no row can have: {error.orig}").response()

    @app.exception_handler(MayPassError)
    @app.exception_handler(OperationalError)
    @app.exception_handler(InterfaceError)
    @app.exception_handler(NoConnectionError)
    @app.exception_handler(OSError)
    async def _no_store(_: Request, error: Exception) -> JSONResponse:
        logger.warning("a store does not answer", exc_info=error)
        return ProblemError(
            503,
            "The results store or the object store does not answer; try again.",
            headers={"Retry-After": "5"},
        ).response()

    @app.exception_handler(ClientDisconnect)
    async def _nobody(_: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=CLOSED)

    @app.exception_handler(Exception)
    async def _ours(_: Request, error: Exception) -> JSONResponse:
        return ProblemError(500, "The server is at fault; its log says how.").response()
