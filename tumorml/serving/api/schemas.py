"""Request and response schemas of the API."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

SCAN = "5b1ee7a4c5c1d2d33c0ea4b2c0f3f2fca1a3a4d8f4c5fb0c4b8b2b8e6c1f9a10"
MODEL = "m-c055ca9d5e8c"


class Heatmap(StrEnum):
    """The form in which each prediction comes with a heatmap.

    `none`: no heatmap. `link`: the path of a PNG with the scan beside the scan under its heatmap.
    `inline`: the same PNG as a `data:` URL. `map`: the heatmap alone as a `data:` URL, a grayscale
    PNG of the size of the scan, 255 at the warmest places.
    """

    NONE = "none"
    LINK = "link"
    INLINE = "inline"
    MAP = "map"


class _Schema(BaseModel):
    model_config = ConfigDict(protected_namespaces=())


class BinaryAnswer(_Schema):
    """The prediction reduced to tumor or no tumor."""

    label: str = Field(description="`tumor` or `no_tumor`.", examples=["tumor"])
    tumor_probability: float = Field(ge=0, le=1, examples=[0.97])


class SimilarScan(_Schema):
    """A training scan with similar features."""

    scan: str = Field(description="SHA-256 of its canonical pixels.", examples=[SCAN])
    label: str = Field(description="Its label at training.", examples=["glioma"])
    similarity: float = Field(
        description="Cosine similarity of the features, at most 1.", examples=[0.93]
    )


class Answer(_Schema):
    """The champion's prediction for one image."""

    file: str = Field(description="Name of the uploaded file.", examples=["slice-17.png"])
    scan: str = Field(description="SHA-256 of the canonical pixels.", examples=[SCAN])
    label: str = Field(description="The predicted label.", examples=["glioma"])
    probability: float = Field(
        description="Calibrated probability of the predicted label.", examples=[0.95]
    )
    probabilities: dict[str, float] = Field(
        description="Calibrated probability of each label.",
        examples=[{"glioma": 0.95, "meningioma": 0.03, "no_tumor": 0.01, "pituitary": 0.01}],
    )
    binary: BinaryAnswer
    possible_labels: list[str] | None = Field(
        description="Conformal prediction set: for scans like the validation scans, averaged over "
        "all labels, it contains the true label with about the probability `confidence`. Null if "
        "there were fewer than 100 validation scans.",
        examples=[["glioma"]],
    )
    confidence: float | None = Field(
        ge=0, le=1, description="Confidence of `possible_labels`.", examples=[0.95]
    )
    unlike_training: bool | None = Field(
        description="True if the scan is farther from the training scans than 99 % of the "
        "validation scans. Do not rely on the label then. Null if there were fewer than 100 "
        "validation scans.",
        examples=[False],
    )
    distance: float | None = Field(
        description="1 minus the cosine similarity to the fifth nearest training scan.",
        examples=[0.08],
    )
    similar: list[SimilarScan] = Field(description="The most similar training scans.")
    split: str | None = Field(
        description="Split of this exact scan when the model was trained: `train`, `validation` or "
        "`test`; null if it was not in the data. A correct label of a `train` or `validation` scan "
        "says nothing about new scans.",
        examples=["train"],
    )
    warnings: list[str] = Field(
        description="Warnings about the uploaded file.", examples=[["more_frames"]]
    )
    heatmap: str | None = Field(
        description="A path or a `data:` URL; null if no heatmap was requested.",
        examples=["/heatmaps/answers/2026-11-22/m-c055ca9d5e8c/5b1e.png"],
    )
    heatmap_meaning: str | None = Field(
        description="The meaning of the warm places. They do not outline a lesion.",
        examples=["evidence map: warm where the network, trained on masks, detects a tumor"],
    )


class Prediction(_Schema):
    """The predictions for the images of one request, all by one model version."""

    task: str = Field(examples=["four_class"])
    model_version: str = Field(examples=[MODEL])
    answered_at: datetime = Field(description="Time of the prediction, in UTC.")
    answers: list[Answer] = Field(description="One prediction per image, in the order sent.")
    heatmap_claim: str | None = Field(
        description="Statement about how well the heatmaps of this model version locate tumors, "
        "measured on its test scans; null if no heatmap was requested.",
        examples=[
            "The hottest point of a heatmap lies inside the tumor in 82 % of 540 test scans with a "
            "mask (73 to 90 %). This beats both baselines that ignore the scan. A heatmap is still "
            "not an outline of a tumor."
        ],
    )
    notice: str = Field("Research software; not a medical device.")


class PastPrediction(_Schema):
    """A row of the prediction history."""

    prediction: int = Field(description="Id of the row.")
    created_at: datetime
    task: str
    scan: str = Field(description="SHA-256 of the canonical pixels.")
    predicted_label: str
    true_label: str | None = Field(description="Null if it is not known.")
    correct: bool | None = Field(description="Null if the true label is not known.")
    probability: float
    probabilities: dict[str, float]
    source: str = Field(description="`evaluation`, `score` or `api`.")
    model_version: str
    run: str | None = Field(description="The run that evaluated the scan.")
    caller: str | None = Field(description="Name of the API key that requested the prediction.")
    possible_labels: list[str] | None
    confidence: float | None
    distance: float | None
    unlike: bool | None
    file: str | None = Field(description="File from which the scan was ingested.")
    batch: str | None = Field(description="Batch in which the scan was ingested.")
    heatmap: str | None = Field(description="Path of the heatmap.")


class PredictionPage(_Schema):
    """A page of the prediction history, newest first."""

    predictions: list[PastPrediction]
    next: str | None = Field(
        description="Value of `after` for the next page; null on the last page."
    )


class ChampionCard(_Schema):
    """The champion of a task."""

    task: str
    model_version: str
    recipe: str
    since: datetime = Field(description="When it became champion.")
    change: str = Field(
        description="`promotion`, `rollback`, `pin`, `unpin`, `force` or `authorise`."
    )
    who: str = Field(description="The person or DAG that made the change.")
    why: str = Field(description="The reason for the change.")
    pinned: bool = Field(description="True if no challenger may replace it.")
    answers_here: bool = Field(
        description="False while this server has not loaded it; see `problem`."
    )
    problem: str | None = Field(description="The reason why this server cannot load it.")
    metrics: dict[str, Any] = Field(
        description="Metrics on the test scans with 95 % intervals, by name."
    )


class ModelCard(_Schema):
    """A model version."""

    model_version: str
    task: str
    run: str = Field(description="The run that trained it.")
    recipe: str
    parameters: int = Field(description="Number of weights.")
    input_size: int = Field(description="Width and height of the network's input, in pixels.")
    sha256: str = Field(description="SHA-256 of the model file.")
    created_at: datetime
    verdict: str | None = Field(description="Outcome of its verdict.")
    champion_since: datetime | None = Field(description="Null if it is not a champion now.")
    accuracy: float | None = Field(description="On the test scans.")
    f1_macro: float | None = Field(description="On the test scans.")


class Health(_Schema):
    """The health of the server."""

    status: str = Field(
        description="`ok`, `degraded` or `no champion`.",
        examples=["ok"],
    )
    answering: dict[str, str] = Field(
        {}, description="The loaded model version of each task.", examples=[{"four_class": MODEL}]
    )
    problems: list[str] = Field([], description="One sentence for each problem.")
