"""Images to send to the API, and rows of predictions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import text

from tests.factories.champions import noise_scans
from tumorml.objects import object_store
from tumorml.objects.keys import scan_key
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Evaluation, Prediction
from tumorml.scans.images.decode import encode_png, scan_id
from tumorml.settings import Settings

ImageField = tuple[str, tuple[str, bytes, str]]


def image_fields(*scans: np.ndarray) -> list[ImageField]:
    """Return the form fields of a request with these scans, named ``0.png`` and so on."""
    return [
        ("images", (f"{n}.png", encode_png(pixels), "image/png")) for n, pixels in enumerate(scans)
    ]


def one_image(seed: int = 0) -> list[ImageField]:
    """Return the form field of a request with one scan."""
    return image_fields(*noise_scans(1, seed))


def select_rows(settings: Settings, query: str) -> list[Any]:
    """Return the rows of a query."""
    with read_session(settings) as session:
        return list(session.execute(text(query)).mappings())


def prediction_history(settings: Settings) -> list[Any]:
    """Return all rows of the prediction history."""
    return select_rows(settings, "select * from prediction_history")


def add_test_predictions(
    settings: Settings, model: str, predictions: list[tuple[str, str, float]]
) -> list[str]:
    """Record an evaluation of a champion on stored test scans, and return the ids of the scans.

    Args:
        settings: Locate the stores.
        model: Id of the model version, made by `make_champion`.
        predictions: True label, predicted label and its probability of each scan.
    """
    scans = []
    with write_session(settings) as session:
        session.execute(text("select ensure_prediction_partition(now())"))
        ids = {"run_id": f"r-{model}", "model_version_id": model}
        for metric in ("accuracy", "f1_macro"):
            session.add(
                Evaluation(
                    **ids, split="test", metric=metric, slice="all", value=0.91, low=0.87,
                    high=0.94, scans=len(predictions),
                )
            )  # fmt: skip
        for n, (true_label, label, probability) in enumerate(predictions):
            pixels = noise_scans(1, seed=50 + n)[0]
            scans.append(scan_id(pixels))
            object_store(settings).write(scan_key(scans[-1]), encode_png(pixels))
            session.add(
                Prediction(
                    **ids, scan_id=scans[-1], source="evaluation", task="four_class",
                    label=label, true_label=true_label, probability=probability,
                    probabilities={label: probability}, created_at=datetime.now(UTC),
                )
            )  # fmt: skip
    return scans
