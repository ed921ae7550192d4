"""``POST /predict``: decode, predict, explain on request, and record."""

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

from tumorml.explain.overlay import to_gray
from tumorml.labels import NO_TUMOR, Task
from tumorml.objects import object_store
from tumorml.objects.keys import answer_heatmap_key
from tumorml.scans.images.decode import encode_png
from tumorml.serving.api.api_keys import Caller
from tumorml.serving.api.authentication import reject_unknown_parameters, require_writer
from tumorml.serving.api.problems import ProblemError, problem_responses
from tumorml.serving.api.schemas import Answer, BinaryAnswer, Heatmap, Prediction, SimilarScan
from tumorml.serving.api.state import ServerState, server_state
from tumorml.serving.api.uploads import (
    REQUEST_BODY,
    DecodedUpload,
    count_request_pixels,
    decode_uploads,
    receive_files,
)
from tumorml.serving.live_champions import LiveChampion
from tumorml.serving.predict_scans import (
    Explanation,
    ScanInput,
    ScanPrediction,
    explain_prediction,
    require_explainable,
)
from tumorml.serving.record_predictions import PredictionRecord, store_overlay
from tumorml.serving.request_batcher import BatcherStoppedError
from tumorml.settings import Settings

PREDICT_TIMEOUT_SECONDS = 30.0
"""Longest time from a completely received request to its recorded predictions."""
T = TypeVar("T")

router = APIRouter(tags=["predictions"], dependencies=[Depends(reject_unknown_parameters)])


@router.post(
    "/predict",
    summary="Predict images",
    responses=problem_responses(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def predict(
    request: Request,
    server: Annotated[ServerState, Depends(server_state)],
    caller: Annotated[Caller, Depends(require_writer)],
    task: Annotated[
        Task | None,
        Query(
            description="The task. If not given, `four_class` if it has a champion, else `binary`."
        ),
    ] = None,
    heatmap: Annotated[
        Heatmap, Query(description="The form in which each prediction comes with a heatmap.")
    ] = Heatmap.NONE,
) -> Prediction:
    """Predict one or more images by the champion of a task, and record the predictions."""
    with server.admit():
        champion = _champion(server, task)
        if heatmap is not Heatmap.NONE:
            require_explainable(champion)
        async with receive_files(request, server.settings) as files:
            try:
                # anyio's timeout waits until a running thread has ended. asyncio's timeout would
                # release the pixel budget while the thread still decodes.
                with anyio.fail_after(PREDICT_TIMEOUT_SECONDS):
                    async with server.request_slots:
                        pixels = await run_in_threadpool(count_request_pixels, files)
                        async with server.pixel_budget.reserve(pixels):
                            return await _predict_files(server, champion, caller, files, heatmap)
            except TimeoutError:
                raise _unavailable(
                    f"The request took more than {PREDICT_TIMEOUT_SECONDS:.0f} s: the results "
                    "store or the object store is slow, or the server is overloaded. The "
                    "predictions may have been recorded nevertheless."
                ) from None


async def _predict_files(
    server: ServerState,
    champion: LiveChampion,
    caller: Caller,
    files: list[UploadFile],
    heatmap: Heatmap,
) -> Prediction:
    settings, with_heatmap = server.settings, heatmap is not Heatmap.NONE
    uploads = await run_in_threadpool(
        decode_uploads, settings, files, champion.served.input_size, keep_pixels=with_heatmap
    )
    inputs = [ScanInput(champion, upload.scan_id, upload.image) for upload in uploads]
    try:
        predictions = await _results(server.predictions.submit(inputs))
        heatmaps: Sequence[_StoredHeatmap | None] = [None] * len(predictions)
        if with_heatmap:
            heatmaps = await run_in_threadpool(_store_heatmaps, settings, uploads, predictions)
        records = [
            PredictionRecord(prediction, caller.name, stored and stored.artifact)
            for prediction, stored in zip(predictions, heatmaps, strict=True)
        ]
        splits = await _results(server.records.submit(records))
    except BatcherStoppedError:
        raise _unavailable("The server is shutting down.") from None
    for prediction in predictions:
        names = str(champion.task), champion.model_version_id
        server.metrics.answers.labels(*names, prediction.label).inc()
        server.metrics.unlike.labels(*names).inc(bool(prediction.unlike))
    return await run_in_threadpool(
        _response, champion, uploads, predictions, heatmaps, splits, heatmap
    )


async def _results(futures: Sequence[Future[T]]) -> list[T]:
    return await asyncio.gather(*map(asyncio.wrap_future, futures))


def _champion(server: ServerState, task: Task | None) -> LiveChampion:
    champion = server.champions.champion_of(task)
    if champion is not None:
        return champion
    if failures := server.champions.failures():
        raise _unavailable(f"The champion cannot be loaded: {', '.join(failures)}; see /health.")
    subject = f"The task {task} has no champion" if task else "There is no champion"
    raise ProblemError(404, f"{subject} yet: retrain first; see /champion.")


def _unavailable(detail: str) -> ProblemError:
    return ProblemError(503, f"{detail} Try again.", headers={"Retry-After": "5"})


class _StoredHeatmap(NamedTuple):
    """The heatmap of a prediction, and the row ``artifact`` of its overlay."""

    explanation: Explanation
    artifact: dict[str, object]


def _store_heatmaps(
    settings: Settings, uploads: list[DecodedUpload], predictions: list[ScanPrediction]
) -> list[_StoredHeatmap]:
    store = object_store(settings)
    stored = []
    for prediction, upload in zip(predictions, uploads, strict=True):
        explanation = explain_prediction(settings, prediction, upload.pixels)
        key = answer_heatmap_key(
            prediction.answered_at,
            prediction.champion.model_version_id,
            prediction.scan_id,
            explanation.overlay,
        )
        artifact = store_overlay(store, key, prediction, explanation.overlay)
        stored.append(_StoredHeatmap(explanation, artifact))
    return stored


def _response(
    champion: LiveChampion,
    uploads: list[DecodedUpload],
    predictions: list[ScanPrediction],
    heatmaps: Sequence[_StoredHeatmap | None],
    splits: list[str | None],
    heatmap: Heatmap,
) -> Prediction:
    return Prediction(
        task=champion.task,
        model_version=champion.model_version_id,
        heatmap_claim=None if heatmap is Heatmap.NONE else champion.heatmap_claim,
        answered_at=predictions[0].answered_at,
        answers=[
            Answer(
                file=upload.file,
                scan=prediction.scan_id,
                label=prediction.label,
                probability=prediction.probability,
                probabilities=prediction.probabilities,
                binary=BinaryAnswer(
                    label=NO_TUMOR if prediction.label == NO_TUMOR else "tumor",
                    tumor_probability=prediction.tumor_probability,
                ),
                possible_labels=prediction.possible_labels,
                confidence=prediction.stated_confidence,
                unlike_training=prediction.unlike,
                distance=prediction.distance,
                similar=[
                    SimilarScan(scan=scan, label=label, similarity=similarity)
                    for scan, label, similarity in prediction.similar
                ],
                split=split,
                warnings=list(upload.warnings),
                heatmap=stored and _heatmap_field(heatmap, stored),
                heatmap_meaning=stored and stored.explanation.meaning,
            )
            for upload, prediction, stored, split in zip(
                uploads, predictions, heatmaps, splits, strict=True
            )
        ],
    )


def _heatmap_field(heatmap: Heatmap, stored: _StoredHeatmap) -> str:
    """Return a heatmap in the requested form: a path or a ``data:`` URL."""
    if heatmap is Heatmap.LINK:
        return f"/heatmaps/{stored.artifact['object_key']}"
    explanation = stored.explanation
    is_map = heatmap is Heatmap.MAP
    data = encode_png(to_gray(explanation.heatmap)) if is_map else explanation.overlay
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"
