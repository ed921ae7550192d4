"""Golden scans: compare a stored model's predictions with those recorded during training."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tumorml.datasets.pixel_cache import read_scan
from tumorml.objects import ObjectStore

if TYPE_CHECKING:
    from tumorml.models.served import Served


@dataclass(frozen=True, slots=True)
class GoldenAnswer:
    """A model's prediction for one golden scan, compared with the recorded one.

    Attributes:
        scan_id: The scan.
        difference: Largest absolute difference of a probability; NaN if a probability is NaN.
        seconds: Duration of the prediction, in seconds.
    """

    scan_id: str
    difference: float
    seconds: float


def compare_golden_scans(
    store: ObjectStore, served: Served, recorded: Mapping[str, Sequence[float]]
) -> Iterator[GoldenAnswer]:
    """Predict a model's golden scans one by one, as a server does, and yield each comparison.

    The first scan is predicted twice, and the first time is ignored, because the first prediction
    of a network takes longer than all others.

    Args:
        store: The object store that holds the scans.
        served: The model, as loaded for serving.
        recorded: Probabilities of the classes by scan id, as recorded during training.

    Raises:
        FileNotFoundError: A golden scan is missing from the object store.
    """
    for number, (scan_id, expected) in enumerate(recorded.items()):
        image = read_scan(store, scan_id, served.input_size)[None]
        if number == 0:
            served.predict(image)
        started = time.perf_counter()
        probabilities = served.predict(image)[0]
        seconds = time.perf_counter() - started
        yield GoldenAnswer(
            scan_id, float(np.abs(probabilities - np.array(expected)).max()), seconds
        )
