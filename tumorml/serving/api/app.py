"""The API: predictions, their history, who serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Annotated, Any, Literal, TypeVar

from anyio import to_thread
from fastapi import APIRouter, Depends, FastAPI, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from tumorml.labels import Task
from tumorml.serving.api import history, predict
from tumorml.serving.api.authentication import caller, known_parameters
from tumorml.serving.api.metrics import Measured
from tumorml.serving.api.problems import Problem, ProblemError, described, tell_problems
from tumorml.serving.api.schemas import (
    ChampionCard,
    Health,
    ModelCard,
    PastPrediction,
    PredictionPage,
)
from tumorml.serving.api.state import Server, server_of
from tumorml.serving.api.uploads import BodyLimit
from tumorml.settings import Settings

READ_SECONDS = 30.0
"""For what is only read; beyond it, a store hangs."""
STORE_SECONDS = 20.0
"""Most that a caller waits for an object store that does not answer."""
T = TypeVar("T")


def create_app(settings: Settings) -> FastAPI:
    """The app; it loads the champions when it starts."""
    patience = min(settings.object_store_patience_seconds, STORE_SECONDS)
    settings = settings.model_copy(update={"object_store_patience_seconds": patience})
    server = Server(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(server.start)
        yield
        await run_in_threadpool(server.stop)

    app = FastAPI(
        title="tumorml",
        version=version("tumorml"),
        description="Brain-tumour MRI classification by the champion. Not a medical device.",
        lifespan=lifespan,
    )
    app.state.server = server
    tell_problems(app)
    app.include_router(_open)
    app.include_router(_reading)
    app.include_router(predict.router)
    app.add_middleware(BodyLimit, most=settings.api_max_bytes)
    app.add_middleware(Measured, metrics=server.metrics)
    schema = app.openapi()
    schema["components"]["schemas"].setdefault("Problem", Problem.model_json_schema())
    return app


def _storable(value: str) -> str:
    if "\0" in value:
        raise ValueError("a NUL character stands in no name")
    return value


def _moment(value: object) -> object:
    """As RFC 3339 writes it, and not the seconds since 1970 that pydantic takes too."""
    if isinstance(value, str) and "T" not in value.upper():
        raise ValueError("a moment is written like 2026-11-22T09:00:00Z")
    return value


async def _in_time(work: Callable[[], T]) -> T:
    """What a thread finds out, or an error: it may wait for a store that hangs.

    Raises:
        ProblemError: It took too long; the thread ends when the store answers.
    """
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await to_thread.run_sync(work, abandon_on_cancel=True)
    except TimeoutError:
        raise ProblemError(
            503,
            f"The results store or the object store said nothing for {READ_SECONDS:.0f} s; try "
            "again.",
            headers={"Retry-After": "5"},
        ) from None


_At = Annotated[Server, Depends(server_of)]


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("no calendar has this moment") from None


_Moment = Annotated[AwareDatetime, BeforeValidator(_moment), AfterValidator(_in_utc)]
_Text = Annotated[str, AfterValidator(_storable)]
_open = APIRouter(
    tags=["health"], dependencies=[Depends(known_parameters)], responses=described(422)
)
_reading = APIRouter(
    dependencies=[Depends(caller), Depends(known_parameters)], responses=described(401, 422, 503)
)


@_reading.get("/predictions", tags=["predictions"])
async def predictions(
    server: _At,
    task: Task | None = None,
    label: Annotated[_Text | None, Query(description="The predicted one.")] = None,
    true_label: _Text | None = None,
    model_version: _Text | None = None,
    source: Literal["evaluation", "score", "api"] | None = None,
    caller: _Text | None = None,
    scan: Annotated[_Text | None, Query(description="SHA-256 of its pixels.")] = None,
    since: _Moment | None = None,
    until: _Moment | None = None,
    unlike: bool | None = None,
    correct: bool | None = None,
    after: Annotated[str | None, Query(description="The `next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> PredictionPage:
    """The prediction history, the newest first."""
    wanted = {
        "task": task, "label": label, "true_label": true_label, "model_version": model_version,
        "source": source, "caller": caller, "scan": scan, "since": since, "until": until,
        "unlike": unlike, "correct": correct,
    }  # fmt: skip
    rows, following = await _in_time(
        lambda: history.predictions(server.settings, wanted, after=after, limit=limit)
    )
    shown = [
        PastPrediction(**row, heatmap=row["heatmap_key"] and f"/heatmaps/{row['heatmap_key']}")
        for row in rows
    ]
    return PredictionPage(predictions=shown, next=following)


@_reading.get("/champion", tags=["models"])
async def champion(server: _At) -> list[ChampionCard]:
    """Who serves each task, with the numbers of its test scans."""
    rows = await _in_time(lambda: history.champions(server.settings))
    answering = {live.model_version_id for live in server.champions.all()}
    failed = server.champions.failed()
    return [
        ChampionCard(
            **row,
            answers_here=row["model_version"] in answering,
            problem=failed.get(row["model_version"]),
        )
        for row in rows
    ]


@_reading.get("/models", tags=["models"])
async def models(
    server: _At,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> list[ModelCard]:
    """Model versions, the newest first."""
    rows = await _in_time(lambda: history.models(server.settings, limit=limit, offset=offset))
    return [ModelCard(**row) for row in rows]


@_reading.get(
    "/heatmaps/{key:path}",
    tags=["predictions"],
    responses=described(404) | {200: {"description": "A picture.", "content": {"image/png": {}}}},
    response_class=Response,
)
async def heatmap_file(key: _Text, server: _At) -> Response:
    """The overlay of an answer."""
    data = await _in_time(lambda: history.overlay(server.settings, key))
    return Response(
        data, media_type="image/png", headers={"Cache-Control": "private, max-age=86400"}
    )


@_open.get("/health/live")
async def live() -> Health:
    """Whether the process answers at all; of no thread that may wait for something."""
    return Health(status="ok")


@_open.get(
    "/health/ready",
    responses={503: {"description": "Not ready.", "model": Health}},
)
@_open.get(
    "/health",
    responses={503: {"description": "Not ready.", "model": Health}},
)
async def ready(server: _At) -> Any:
    """Whether there is a champion that answers, and every champion does."""
    answering = {str(one.task): one.model_version_id for one in server.champions.all()}
    problems = [f"{model}: {problem}" for model, problem in server.champions.failed().items()]
    sees = server.champions.sees()
    if not sees:
        problems.append("the results store does not say who is champion")
    if not server.works:
        problems.append("a thread of the server has ended; start it again")
    status = "no champion" if not answering else "degraded" if problems else "ok"
    health = Health(status=status, answering=answering, problems=problems)
    return JSONResponse(
        health.model_dump(), status_code=200 if answering and sees and server.works else 503
    )


@_reading.get("/metrics", tags=["health"], response_class=PlainTextResponse)
def metrics(server: _At) -> Response:
    """For Prometheus."""
    server.metrics.waiting.set(server.asked)
    server.metrics.live.clear()
    for one in server.champions.all():
        server.metrics.live.labels(str(one.task), one.model_version_id).set(1)
    return Response(generate_latest(server.metrics.registry), media_type=CONTENT_TYPE_LATEST)
