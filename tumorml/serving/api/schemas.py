"""What the API takes and answers."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

SCAN = "5b1ee7a4c5c1d2d33c0ea4b2c0f3f2fca1a3a4d8f4c5fb0c4b8b2b8e6c1f9a10"
MODEL = "m-c055ca9d5e8c"


class Heatmap(StrEnum):
    """Whether the answer comes with a heatmap, and how.

    The path of the scan under its heatmap, that picture itself, or the bare map over the scan:
    a greyscale PNG of the scan's size, 255 where it is warmest.
    """

    NONE = "none"
    LINK = "link"
    INLINE = "inline"
    MAP = "map"


class _Schema(BaseModel):
    model_config = ConfigDict(protected_namespaces=())


class BinaryReading(_Schema):
    """The answer as tumour or no tumour."""

    label: str = Field(examples=["tumor"])
    tumor_probability: float = Field(ge=0, le=1, examples=[0.97])


class SimilarScan(_Schema):
    """A scan that the network learnt from, and how like it looks to the network."""

    scan: str = Field(description="SHA-256 of its pixels.", examples=[SCAN])
    label: str = Field(examples=["glioma"])
    similarity: float = Field(description="Cosine of the features, up to 1.", examples=[0.93])


class Answered(_Schema):
    """What the champion says of one image."""

    file: str = Field(examples=["slice-17.png"])
    scan: str = Field(description="SHA-256 of its canonical pixels.", examples=[SCAN])
    label: str = Field(examples=["glioma"])
    probability: float = Field(description="Of the label, calibrated.", examples=[0.95])
    probabilities: dict[str, float] = Field(
        examples=[{"glioma": 0.95, "meningioma": 0.03, "no_tumor": 0.01, "pituitary": 0.01}]
    )
    binary: BinaryReading
    possible_labels: list[str] | None = Field(
        description="Over all labels together, and on scans like those of validation, the true "
        "label is among them about as often as `confidence` says; null where these were too few.",
        examples=[["glioma"]],
    )
    confidence: float | None = Field(ge=0, le=1, examples=[0.95])
    unlike_training: bool | None = Field(
        description="Farther from what was learnt than 99 of 100 validation scans are: beware.",
        examples=[False],
    )
    distance: float | None = Field(
        description="1 minus the cosine to the fifth nearest training scan.", examples=[0.08]
    )
    similar: list[SimilarScan]
    split: str | None = Field(
        description="Where this very picture was when the model was trained: `train`, "
        "`validation`, `test`, or null for nowhere. What it learnt from it answers well.",
        examples=["train"],
    )
    warnings: list[str] = Field(description="About the file.", examples=[["more_frames"]])
    heatmap: str | None = Field(
        description="A path, or a `data:` URL; null where none was asked for.",
        examples=["/heatmaps/answers/2026-11-22/m-c055ca9d5e8c/5b1e.png"],
    )
    heatmap_meaning: str | None = Field(
        description="What a warm place is; never the outline of a lesion.",
        examples=["evidence map: the answer was taken from where it is warm"],
    )


class Prediction(_Schema):
    """The answers of one request, all of one model version."""

    task: str = Field(examples=["four_class"])
    model_version: str = Field(examples=[MODEL])
    answered_at: datetime
    answers: list[Answered]
    heatmap_claim: str | None = Field(
        description="What heatmaps of this model version are worth, as measured on its test scans; "
        "null where none was asked for.",
        examples=["Heatmaps of this model find tumours better than pointing without looking."],
    )
    notice: str = Field("Research software; not a medical device.")


class PastPrediction(_Schema):
    """A row of the prediction history."""

    prediction: int
    created_at: datetime
    task: str
    scan: str
    predicted_label: str
    true_label: str | None
    correct: bool | None
    probability: float
    probabilities: dict[str, float]
    source: str
    model_version: str
    run: str | None
    caller: str | None
    possible_labels: list[str] | None
    confidence: float | None
    distance: float | None
    unlike: bool | None
    file: str | None
    batch: str | None
    heatmap: str | None


class PredictionPage(_Schema):
    """Some rows, the newest first, and where the next ones are."""

    predictions: list[PastPrediction]
    next: str | None = Field(description="The `after` of the next page; null at the end.")


class ChampionCard(_Schema):
    """Who serves."""

    task: str
    model_version: str
    recipe: str
    since: datetime
    change: str
    who: str
    why: str
    pinned: bool
    answers_here: bool = Field(description="False while this server is still changing to it.")
    problem: str | None = Field(description="Why this server does not answer by it.")
    metrics: dict[str, Any] = Field(description="On the test scans, with intervals.")


class ModelCard(_Schema):
    """One model version."""

    model_version: str
    task: str
    run: str
    recipe: str
    parameters: int
    input_size: int
    sha256: str
    created_at: datetime
    verdict: str | None
    champion_since: datetime | None
    accuracy: float | None
    f1_macro: float | None


class Health(_Schema):
    """How the server is."""

    status: str = Field(examples=["ok"])
    answering: dict[str, str] = Field(
        {}, description="The model version of each task.", examples=[{"four_class": MODEL}]
    )
    problems: list[str] = []
