"""``POST /predict``: images are decoded, answered, explained where that is asked, written down."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Annotated, NamedTuple, TypeVar

import anyio
from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from tumorml.explain.overlay import to_grey
from tumorml.labels import NO_TUMOR, Task
from tumorml.objects import object_store
from tumorml.objects.keys import answer_heatmap_key
from tumorml.scans.images.decode import encode_png
from tumorml.serving.api.api_keys import Caller
from tumorml.serving.api.authentication import asker, known_parameters
from tumorml.serving.api.problems import ProblemError, described
from tumorml.serving.api.schemas import Answered, BinaryReading, Heatmap, Prediction, SimilarScan
from tumorml.serving.api.state import Server, server_of
from tumorml.serving.api.uploads import BODY, Upload, pixels_of, read_uploads, uploaded
from tumorml.serving.live_champions import Live
from tumorml.serving.predict_scans import (
    Answer,
    Explanation,
    Question,
    explained,
    require_explainable,
)
from tumorml.serving.record_predictions import Record, store_overlay
from tumorml.serving.request_batcher import EndedError
from tumorml.settings import Settings

ANSWER_SECONDS = 30.0
"""From a request that is here as a whole to its written answers."""
T = TypeVar("T")

router = APIRouter(tags=["predictions"], dependencies=[Depends(known_parameters)])


@router.post(
    "/predict",
    responses=described(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
    openapi_extra={"requestBody": BODY},
)
async def predict(
    request: Request,
    server: Annotated[Server, Depends(server_of)],
    who: Annotated[Caller, Depends(asker)],
    task: Annotated[Task | None, Query(description="None: four classes before two.")] = None,
    heatmap: Annotated[Heatmap, Query(description="Whether each answer shows why.")] = Heatmap.NONE,
) -> Prediction:
    """Let the champion read one or many images; every answer becomes a row."""
    with server.admitted():
        live = _champion(server, task)
        if heatmap is not Heatmap.NONE:
            require_explainable(live)
        async with uploaded(request, server.settings) as files:
            try:
                # Not asyncio's: that would let go of the pixels while a thread still decodes them.
                with anyio.fail_after(ANSWER_SECONDS):
                    async with server.room:
                        pixels = await run_in_threadpool(pixels_of, files)
                        async with server.pixels.spend(pixels):
                            return await _answered(server, live, who, files, heatmap)
            except TimeoutError:
                raise _unavailable(
                    f"This took more than {ANSWER_SECONDS:.0f} s: a store is slow, or there is too "
                    "much to do. It may have been answered and written down all the same."
                ) from None


async def _answered(
    server: Server, live: Live, who: Caller, files: list[UploadFile], heatmap: Heatmap
) -> Prediction:
    settings, asks_why = server.settings, heatmap is not Heatmap.NONE
    uploads = await run_in_threadpool(
        read_uploads, settings, files, live.served.input_size, keep_pixels=asks_why
    )
    questions = [Question(live, one.scan_id, one.image) for one in uploads]
    try:
        answers = await _all(server.batches.ask(questions))
        reasons: Sequence[_Reason | None] = [None] * len(answers)
        if asks_why:
            reasons = await run_in_threadpool(_reasons, settings, uploads, answers)
        records = [
            Record(one, who.name, why and why.artifact)
            for one, why in zip(answers, reasons, strict=True)
        ]
        splits = await _all(server.records.ask(records))
    except EndedError:
        raise _unavailable("The server is ending.") from None
    for one in answers:
        names = str(live.task), live.model_version_id
        server.metrics.answers.labels(*names, one.label).inc()
        server.metrics.unlike.labels(*names).inc(bool(one.unlike))
    return await run_in_threadpool(_tell, live, uploads, answers, reasons, splits, heatmap)


async def _all(futures: Sequence[Future[T]]) -> list[T]:
    return await asyncio.gather(*map(asyncio.wrap_future, futures))


def _champion(server: Server, task: Task | None) -> Live:
    live = server.champions.of(task)
    if live is not None:
        return live
    if failed := server.champions.failed():
        raise _unavailable(f"No champion answers here: {', '.join(failed)}; see /health.")
    raise ProblemError(404, f"Nobody serves {task or 'yet'}: retrain, and see /champion.")


def _unavailable(why: str) -> ProblemError:
    return ProblemError(503, f"{why} Try again.", headers={"Retry-After": "5"})


class _Reason(NamedTuple):
    """Why an answer was given, and the row of the overlay that shows it."""

    explanation: Explanation
    artifact: dict[str, object]


def _reasons(settings: Settings, uploads: list[Upload], answers: list[Answer]) -> list[_Reason]:
    store = object_store(settings)
    reasons = []
    for one, upload in zip(answers, uploads, strict=True):
        why = explained(settings, one, upload.pixels)
        key = answer_heatmap_key(
            one.answered_at, one.live.model_version_id, one.scan_id, why.overlay
        )
        reasons.append(_Reason(why, store_overlay(store, key, one, why.overlay)))
    return reasons


def _tell(
    live: Live,
    uploads: list[Upload],
    answers: list[Answer],
    reasons: Sequence[_Reason | None],
    splits: list[str | None],
    heatmap: Heatmap,
) -> Prediction:
    """Put the answers into words."""
    return Prediction(
        task=live.task,
        model_version=live.model_version_id,
        heatmap_claim=None if heatmap is Heatmap.NONE else live.heatmap_claim,
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
                warnings=list(upload.warnings),
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
