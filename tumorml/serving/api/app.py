"""The FastAPI app: predictions, their history, champions, model versions, health and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Annotated, Any, Literal, TypeVar

from anyio import to_thread
from fastapi import APIRouter, Depends, FastAPI, Query
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from tumorml.labels import Task
from tumorml.serving.api import predict, queries
from tumorml.serving.api.authentication import authenticate, reject_unknown_parameters
from tumorml.serving.api.metrics import RequestMetrics
from tumorml.serving.api.problems import (
    Problem,
    ProblemError,
    install_problem_handlers,
    problem_responses,
)
from tumorml.serving.api.schemas import (
    ChampionCard,
    Health,
    ModelCard,
    PastPrediction,
    PredictionPage,
)
from tumorml.serving.api.state import ServerState, server_state
from tumorml.serving.api.uploads import BodySizeLimit
from tumorml.settings import Settings

READ_TIMEOUT_SECONDS = 30.0
"""Longest time of a GET request that reads from the stores."""
STORE_PATIENCE_SECONDS = 20.0
"""Longest time that a request waits for an object store that does not respond."""
T = TypeVar("T")


def create_app(settings: Settings) -> FastAPI:
    """Return the app. It loads the champions at startup."""
    patience = min(settings.object_store_patience_seconds, STORE_PATIENCE_SECONDS)
    settings = settings.model_copy(update={"object_store_patience_seconds": patience})
    server = ServerState(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(server.start)
        yield
        await run_in_threadpool(server.stop)

    app = FastAPI(
        title="tumorml",
        version=version("tumorml"),
        description="Classification of brain-tumor MRI scans by the current champions. Research "
        "software; not a medical device.",
        lifespan=lifespan,
    )
    app.state.server = server
    install_problem_handlers(app)
    app.include_router(_public)
    app.include_router(_authenticated)
    app.include_router(predict.router)
    app.add_middleware(BodySizeLimit, max_bytes=settings.api_max_bytes)
    app.add_middleware(RequestMetrics, metrics=server.metrics)
    schema = app.openapi()
    schema["components"]["schemas"].setdefault("Problem", Problem.model_json_schema())
    return app


async def _read_in_time(read: Callable[[], T]) -> T:
    """Run a query in a thread, and give up waiting for it after the timeout.

    Raises:
        ProblemError: 503 after the timeout. The thread ends when the store responds.
    """
    try:
        async with asyncio.timeout(READ_TIMEOUT_SECONDS):
            return await to_thread.run_sync(read, abandon_on_cancel=True)
    except TimeoutError:
        raise ProblemError(
            503,
            "The results store or the object store did not respond within "
            f"{READ_TIMEOUT_SECONDS:.0f} s. Try again.",
            headers={"Retry-After": "5"},
        ) from None


def _without_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("the value contains a NUL character")
    return value


def _require_timestamp_text(value: object) -> object:
    """Refuse numbers of seconds since 1970, which pydantic accepts as timestamps."""
    if isinstance(value, str) and "T" not in value.upper():
        raise ValueError("write a timestamp like 2026-11-22T09:00:00Z (RFC 3339)")
    return value


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the timestamp is out of range") from None


_Timestamp = Annotated[
    AwareDatetime, BeforeValidator(_require_timestamp_text), AfterValidator(_to_utc)
]
_Text = Annotated[str, AfterValidator(_without_nul)]
_Server = Annotated[ServerState, Depends(server_state)]
_public = APIRouter(
    tags=["health"],
    dependencies=[Depends(reject_unknown_parameters)],
    responses=problem_responses(422),
)
_authenticated = APIRouter(
    dependencies=[Depends(authenticate), Depends(reject_unknown_parameters)],
    responses=problem_responses(401, 422, 503),
)


@_authenticated.get("/predictions", tags=["predictions"], summary="List predictions")
async def predictions(
    server: _Server,
    task: Annotated[Task | None, Query(description="The task.")] = None,
    label: Annotated[_Text | None, Query(description="The predicted label.")] = None,
    true_label: Annotated[_Text | None, Query(description="The true label.")] = None,
    model_version: Annotated[_Text | None, Query(description="Id of the model version.")] = None,
    source: Annotated[
        Literal["evaluation", "score", "api"] | None,
        Query(
            description="`evaluation` for test scans, `score` for stored scans without a label, "
            "`api` for requests."
        ),
    ] = None,
    caller: Annotated[_Text | None, Query(description="Name of the API key.")] = None,
    scan: Annotated[_Text | None, Query(description="SHA-256 of the canonical pixels.")] = None,
    since: Annotated[_Timestamp | None, Query(description="Earliest time, inclusive.")] = None,
    until: Annotated[_Timestamp | None, Query(description="Latest time, exclusive.")] = None,
    unlike: Annotated[
        bool | None, Query(description="Whether the scan is unlike the training scans.")
    ] = None,
    correct: Annotated[
        bool | None, Query(description="Whether the predicted label is the true one.")
    ] = None,
    after: Annotated[str | None, Query(description="The `next` of the previous page.")] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Maximum number of rows.")] = 50,
) -> PredictionPage:
    """List the prediction history, newest first, with filters and pages."""
    filters = {
        "task": task, "label": label, "true_label": true_label, "model_version": model_version,
        "source": source, "caller": caller, "scan": scan, "since": since, "until": until,
        "unlike": unlike, "correct": correct,
    }  # fmt: skip
    rows, cursor = await _read_in_time(
        lambda: queries.read_predictions(server.settings, filters, after=after, limit=limit)
    )
    page = [
        PastPrediction(**row, heatmap=row["heatmap_key"] and f"/heatmaps/{row['heatmap_key']}")
        for row in rows
    ]
    return PredictionPage(predictions=page, next=cursor)


@_authenticated.get("/champion", tags=["models"], summary="List champions")
async def champion(server: _Server) -> list[ChampionCard]:
    """List the champion of each task, with its metrics on the test scans."""
    rows = await _read_in_time(lambda: queries.read_champions(server.settings))
    loaded = {champion.model_version_id for champion in server.champions.all()}
    failures = server.champions.failures()
    return [
        ChampionCard(
            **row,
            answers_here=row["model_version"] in loaded,
            problem=failures.get(row["model_version"]),
        )
        for row in rows
    ]


@_authenticated.get("/models", tags=["models"], summary="List model versions")
async def models(
    server: _Server,
    limit: Annotated[int, Query(ge=1, le=500, description="Maximum number of rows.")] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000, description="Number of rows to skip.")] = 0,
) -> list[ModelCard]:
    """List model versions, newest first."""
    rows = await _read_in_time(
        lambda: queries.read_model_versions(server.settings, limit=limit, offset=offset)
    )
    return [ModelCard(**row) for row in rows]


@_authenticated.get(
    "/heatmaps/{key:path}",
    tags=["predictions"],
    summary="Get a heatmap",
    responses=problem_responses(404)
    | {200: {"description": "The heatmap over the scan.", "content": {"image/png": {}}}},
    response_class=Response,
)
async def heatmap_file(
    key: Annotated[_Text, PathParameter(description="Object key of the heatmap.")],
    server: _Server,
) -> Response:
    """Get the PNG of a stored heatmap by its object key."""
    data = await _read_in_time(lambda: queries.read_overlay(server.settings, key))
    return Response(
        data, media_type="image/png", headers={"Cache-Control": "private, max-age=86400"}
    )


@_public.get("/health/live", summary="Check liveness")
async def live() -> Health:
    """Check that the process responds. This check uses no worker thread and no store."""
    return Health(status="ok")


@_public.get(
    "/health/ready",
    summary="Check readiness",
    responses={503: {"description": "The server cannot predict.", "model": Health}},
)
@_public.get(
    "/health",
    summary="Check readiness (same as /health/ready)",
    responses={503: {"description": "The server cannot predict.", "model": Health}},
)
async def ready(server: _Server) -> Any:
    """Check that a champion is loaded, and list champions that could not be loaded."""
    answering = {str(one.task): one.model_version_id for one in server.champions.all()}
    problems = [f"{model}: {reason}" for model, reason in server.champions.failures().items()]
    is_up_to_date = server.champions.is_up_to_date()
    if not is_up_to_date:
        problems.append("the results store does not respond, so a new champion would be missed")
    if not server.is_running:
        problems.append("a thread of the server has ended; restart the server")
    status = "no champion" if not answering else "degraded" if problems else "ok"
    health = Health(status=status, answering=answering, problems=problems)
    can_predict = answering and is_up_to_date and server.is_running
    return JSONResponse(health.model_dump(), status_code=200 if can_predict else 503)


@_authenticated.get(
    "/metrics", tags=["health"], summary="Get Prometheus metrics", response_class=PlainTextResponse
)
def metrics(server: _Server) -> Response:
    """Get the metrics of this server in the Prometheus text format."""
    server.metrics.waiting.set(server.active_requests)
    server.metrics.live.clear()
    for loaded in server.champions.all():
        server.metrics.live.labels(str(loaded.task), loaded.model_version_id).set(1)
    return Response(generate_latest(server.metrics.registry), media_type=CONTENT_TYPE_LATEST)
