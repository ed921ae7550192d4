"""The API: predictions, their history, who serves."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import AfterValidator, AwareDatetime, BeforeValidator
from sqlalchemy import select

from tumorml.errors import MissingObjectError
from tumorml.explain.overlay import to_grey
from tumorml.labels import NO_TUMOR, Task
from tumorml.objects import object_store
from tumorml.results.session import reading
from tumorml.results.tables import Artifact
from tumorml.scans.decode import encode_png
from tumorml.serving.answering import Answer, Explanation, Question, explained
from tumorml.serving.api import history
from tumorml.serving.api.guards import asker, caller, known_parameters
from tumorml.serving.api.keys import Caller
from tumorml.serving.api.metrics import Measured
from tumorml.serving.api.problems import Problem, ProblemError, described, tell_problems
from tumorml.serving.api.schemas import (
    Answered,
    BinaryReading,
    ChampionCard,
    Health,
    Heatmap,
    ModelCard,
    PastPrediction,
    Prediction,
    PredictionPage,
    SimilarScan,
)
from tumorml.serving.api.server import Server, server_of
from tumorml.serving.api.uploads import BODY, BodyLimit, Upload, read_uploads
from tumorml.serving.batches import QueueFullError
from tumorml.serving.records import Record, store_overlay
from tumorml.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """The app; it loads the champions when it starts."""
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
    app.include_router(_asking)
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


_At = Annotated[Server, Depends(server_of)]


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("no calendar has this moment") from None


_Moment = Annotated[AwareDatetime, BeforeValidator(_moment), AfterValidator(_in_utc)]
_Text = Annotated[str, AfterValidator(_storable)]
_known = Depends(known_parameters)
_open = APIRouter(tags=["health"], dependencies=[_known], responses=described(422))
_reading = APIRouter(dependencies=[Depends(caller), _known], responses=described(401, 422, 503))
_asking = APIRouter(tags=["predictions"], dependencies=[_known])


@_asking.post(
    "/predict",
    responses=described(400, 401, 403, 404, 413, 415, 422, 503),
    openapi_extra={"requestBody": BODY},
)
async def predict(
    request: Request,
    server: _At,
    who: Annotated[Caller, Depends(asker)],
    task: Annotated[Task | None, Query(description="None: four classes before two.")] = None,
    heatmap: Annotated[Heatmap, Query(description="Whether each answer shows why.")] = Heatmap.NONE,
) -> Prediction:
    """Let the champion read one or many images; every answer becomes a row."""
    live = server.champions.of(task)
    if live is None:
        raise ProblemError(
            404, f"Nobody serves {task or 'yet'}: retrain, and see /champion.", headers={}
        )
    settings = server.settings
    if len(server.batches) >= settings.api_queue:
        raise _full(server)
    uploads = await read_uploads(request, settings, live.served.input_size, server.room)
    if len(uploads) > settings.api_queue:
        raise ProblemError(413, f"More than {settings.api_queue} images can never wait at once.")
    try:
        futures = server.batches.ask([Question(live, one.scan_id, one.image) for one in uploads])
    except QueueFullError:
        raise _full(server) from None
    answers = await asyncio.gather(*map(asyncio.wrap_future, futures))
    async with server.room:
        reasons: list[_Reason] | list[None] = [None] * len(answers)
        if heatmap is not Heatmap.NONE:
            reasons = await run_in_threadpool(_reasons, settings, uploads, answers)
        written = server.records.ask(
            [
                Record(one, who.name, why and why.artifact)
                for one, why in zip(answers, reasons, strict=True)
            ]
        )
        splits = await asyncio.gather(*map(asyncio.wrap_future, written))
        told = await run_in_threadpool(_tell, uploads, answers, reasons, splits, heatmap)
    for one in answers:
        names = str(live.task), live.model_version_id
        server.metrics.answers.labels(*names, one.label).inc()
        server.metrics.unlike.labels(*names).inc(bool(one.unlike))
    return told


def _full(server: Server) -> ProblemError:
    return ProblemError(
        503,
        f"{len(server.batches)} scans are waiting already; try again.",
        headers={"Retry-After": "1"},
    )


class _Reason(NamedTuple):
    """Why an answer was given, and the row of the overlay that shows it."""

    explanation: Explanation
    artifact: dict[str, object]


def _reasons(settings: Settings, uploads: list[Upload], answers: list[Answer]) -> list[_Reason]:
    store = object_store(settings)
    reasons = []
    for one, upload in zip(answers, uploads, strict=True):
        why = explained(settings, one, upload.scan.pixels)
        folder = f"answers/{one.answered_at:%Y-%m-%d}/{one.live.model_version_id}"
        reasons.append(_Reason(why, store_overlay(store, folder, one, why.overlay)))
    return reasons


def _tell(
    uploads: list[Upload],
    answers: list[Answer],
    reasons: Sequence[_Reason | None],
    splits: list[str | None],
    heatmap: Heatmap,
) -> Prediction:
    """Put the answers into words."""
    live = answers[0].live
    return Prediction(
        task=live.task,
        model_version=live.model_version_id,
        answered_at=answers[0].answered_at,
        answers=[
            Answered(
                file=upload.file,
                scan=one.scan_id,
                label=one.label,
                probability=one.probability,
                probabilities=one.probabilities,
                binary=BinaryReading(
                    label=NO_TUMOR if one.label == NO_TUMOR else "tumor",
                    tumor_probability=one.tumor_probability,
                ),
                possible_labels=one.possible_labels,
                confidence=one.stated_confidence,
                unlike_training=one.unlike,
                distance=one.distance,
                similar=[
                    SimilarScan(scan=scan, label=label, similarity=similarity)
                    for scan, label, similarity in one.similar
                ],
                split=split,
                warnings=list(upload.scan.warnings),
                heatmap=why and _shown(heatmap, why),
                heatmap_meaning=why and why.explanation.meaning,
            )
            for upload, one, why, split in zip(uploads, answers, reasons, splits, strict=True)
        ],
    )


def _shown(heatmap: Heatmap, why: _Reason) -> str:
    if heatmap is Heatmap.LINK:
        return f"/heatmaps/{why.artifact['object_key']}"
    explanation = why.explanation
    bare = heatmap is Heatmap.MAP
    data = encode_png(to_grey(explanation.map)) if bare else explanation.overlay
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


@_reading.get("/predictions", tags=["predictions"])
def predictions(
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
    rows, following = history.predictions(server.settings, wanted, after=after, limit=limit)
    shown = [
        PastPrediction(**row, heatmap=row["heatmap_key"] and f"/heatmaps/{row['heatmap_key']}")
        for row in rows
    ]
    return PredictionPage(predictions=shown, next=following)


@_reading.get("/champion", tags=["models"])
def champion(server: _At) -> list[ChampionCard]:
    """Who serves each task, with the numbers of its test scans."""
    answering = {live.model_version_id for live in server.champions.all()}
    failed = server.champions.failed()
    return [
        ChampionCard(
            **row,
            answers_here=row["model_version"] in answering,
            problem=failed.get(row["model_version"]),
        )
        for row in history.champions(server.settings)
    ]


@_reading.get("/models", tags=["models"])
def models(
    server: _At,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> list[ModelCard]:
    """Model versions, the newest first."""
    return [ModelCard(**row) for row in history.models(server.settings, limit=limit, offset=offset)]


@_reading.get(
    "/heatmaps/{key:path}",
    tags=["predictions"],
    responses=described(404) | {200: {"description": "A picture.", "content": {"image/png": {}}}},
    response_class=Response,
)
def heatmap_file(key: _Text, server: _At) -> Response:
    """The overlay of an answer."""
    known = select(Artifact.object_key).where(
        Artifact.object_key == key, Artifact.kind == "heatmap"
    )
    with reading(server.settings) as session:
        found = session.scalar(known)
    try:
        if found is None:
            raise MissingObjectError
        data = object_store(server.settings).read(key)
    except MissingObjectError:
        raise ProblemError(404, "There is no such heatmap.") from None
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
def ready(server: _At) -> Any:
    """Whether there is a champion that answers, and every champion does."""
    answering = {str(one.task): one.model_version_id for one in server.champions.all()}
    problems = [f"{model}: {problem}" for model, problem in server.champions.failed().items()]
    sees = server.champions.sees()
    if not sees:
        problems.append("the results store does not say who is champion")
    status = "no champion" if not answering else "degraded" if problems else "ok"
    health = Health(status=status, answering=answering, problems=problems)
    return JSONResponse(health.model_dump(), status_code=200 if answering and sees else 503)


@_open.get("/metrics", response_class=PlainTextResponse)
def metrics(server: _At) -> Response:
    """For Prometheus."""
    server.metrics.waiting.set(len(server.batches))
    server.metrics.live.clear()
    for one in server.champions.all():
        server.metrics.live.labels(str(one.task), one.model_version_id).set(1)
    return Response(generate_latest(server.metrics.registry), media_type=CONTENT_TYPE_LATEST)
