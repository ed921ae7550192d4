"""Prediction of scans by the live champions, and heatmaps that explain predictions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.util import find_spec
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from tumorml.datasets.resize import fit_to_square, from_square
from tumorml.errors import TumorMLError
from tumorml.explain.heatmaps import EVIDENCE_MEANING, heatmap_meaning, heatmap_of, heatmaps
from tumorml.explain.overlay import overlay_png
from tumorml.labels import NO_TUMOR
from tumorml.models.model_versions import fetch_predictor
from tumorml.models.predictor import Predictor
from tumorml.models.served import KerasServed
from tumorml.serving.live_champions import LiveChampion
from tumorml.serving.request_batcher import RequestBatcher
from tumorml.settings import Settings

SIMILAR_SCANS = 6
"""Number of most similar training scans that a prediction lists."""


@dataclass(frozen=True, slots=True)
class ScanInput:
    """A scan to predict, and the model version that predicts it.

    Attributes:
        champion: The model version.
        scan_id: SHA-256 of the canonical pixels.
        image: uint8 [S, S], resized to the input size of ``champion``.
    """

    champion: LiveChampion
    scan_id: str
    image: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ScanPrediction:
    """The prediction for one scan.

    Attributes:
        champion: The model version that predicted.
        scan_id: SHA-256 of the canonical pixels.
        answered_at: Time of the prediction, in UTC.
        label: The predicted label.
        probabilities: Calibrated probability of each label.
        possible_labels: Conformal prediction set at ``confidence``. None, like ``unlike``, if the
            reference holds too few validation scans.
        confidence: Expected share of scans, similar to the validation scans, whose true label is in
            ``possible_labels``.
        distance: Cosine distance to the training scans, 0 to 2; None without a reference.
        unlike: True if ``distance`` is larger than for 99 % of the validation scans.
        similar: The most similar training scans: id, label, cosine similarity.
        evidence: float32 [E, E] in 0..1, if the network has an evidence map.
    """

    champion: LiveChampion
    scan_id: str
    answered_at: datetime
    label: str
    probabilities: dict[str, float]
    possible_labels: list[str] | None
    confidence: float
    distance: float | None
    unlike: bool | None
    similar: list[tuple[str, str, float]]
    evidence: NDArray[np.float32] | None

    @property
    def probability(self) -> float:
        """Calibrated probability of the predicted label."""
        return self.probabilities[self.label]

    @property
    def stated_confidence(self) -> float | None:
        """``confidence`` if there are ``possible_labels``, else None."""
        return None if self.possible_labels is None else self.confidence

    @property
    def tumor_probability(self) -> float:
        """Probability of a tumor of any kind."""
        return 1.0 - self.probabilities[NO_TUMOR]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The heatmap of a prediction.

    Attributes:
        heatmap: float32 [h, w] in 0..1, at the size of the scan.
        meaning: The meaning of high values, as a phrase.
        overlay: PNG of the scan beside the scan under its heatmap.
    """

    heatmap: NDArray[np.float32]
    meaning: str
    overlay: bytes


def prediction_batcher(settings: Settings) -> RequestBatcher[ScanInput, ScanPrediction]:
    """Return a batcher that runs `predict_scans` on the scans of concurrent requests."""
    return RequestBatcher(
        "predictions",
        lambda scans: predict_scans(scans, settings.api_confidence),
        max_batch_size=settings.api_batch,
    )


def predict_scans(scans: Sequence[ScanInput], confidence: float) -> list[ScanPrediction]:
    """Predict scans, each by its own champion.

    Args:
        scans: In any order of champions.
        confidence: Level of the conformal prediction sets, in 0..1.

    Returns:
        The predictions, in the order of ``scans``.
    """
    by_model: dict[str, list[int]] = defaultdict(list)
    for index, scan in enumerate(scans):
        by_model[scan.champion.model_version_id].append(index)
    predictions: dict[int, ScanPrediction] = {}
    for indices in by_model.values():
        group = [scans[index] for index in indices]
        found = _predict_by_one_champion(group, group[0].champion, confidence)
        predictions |= dict(zip(indices, found, strict=True))
    return [predictions[index] for index in range(len(scans))]


def _predict_by_one_champion(
    scans: Sequence[ScanInput], champion: LiveChampion, confidence: float
) -> list[ScanPrediction]:
    served, reference = champion.served, champion.reference
    outputs = served.run(np.stack([scan.image for scan in scans]))
    probabilities = served.calibrated(outputs.logits)
    predicted = served.decide(probabilities)
    now = datetime.now(UTC)
    count = len(scans)
    possible: list[list[str] | None] = [None] * count
    distances: list[float | None] = [None] * count
    unlike: list[bool | None] = [None] * count
    similar: list[list[tuple[str, str, float]]] = [[] for _ in scans]
    if reference is not None:
        distance_array, similar = reference.compare(outputs.features, SIMILAR_SCANS)
        distances = distance_array.tolist()
    if reference is not None and reference.has_enough_scans:
        is_possible = reference.possible_labels(probabilities, confidence)
        is_possible[np.arange(count), predicted] = True
        possible = [
            [label for label, included in zip(served.labels, row, strict=True) if included]
            for row in is_possible
        ]
        unlike = reference.unlike(distance_array).tolist()
    return [
        ScanPrediction(
            champion,
            scan.scan_id,
            now,
            served.labels[predicted[index]],
            dict(zip(served.labels, probabilities[index].tolist(), strict=True)),
            possible[index],
            confidence,
            distances[index],
            unlike[index],
            similar[index],
            None if outputs.evidence is None else outputs.evidence[index],
        )
        for index, scan in enumerate(scans)
    ]


def explain_prediction(
    settings: Settings, prediction: ScanPrediction, pixels: NDArray[np.uint8]
) -> Explanation:
    """Return the heatmap of a prediction: the network's evidence map if it has one, else LayerCAM.

    Args:
        settings: Settings with the object store, from which LayerCAM loads the Keras network.
        prediction: The prediction to explain.
        pixels: uint8 [h, w], the canonical scan.
    """
    side = prediction.champion.served.input_size
    if prediction.evidence is not None:
        square, warm_meaning = heatmap_of(prediction.evidence, side), EVIDENCE_MEANING
    else:
        predictor = _keras_predictor(settings, prediction.champion)
        image = fit_to_square(pixels, side)
        classes = np.array([predictor.labels.index(prediction.label)])
        square = heatmaps(predictor, image[None], classes)[0]
        warm_meaning = heatmap_meaning(predictor, prediction.label)
    heatmap = from_square(square, *pixels.shape)
    overlay = overlay_png(
        pixels,
        heatmap,
        label=None,
        prediction=prediction.label,
        probability=prediction.probability,
        meaning=warm_meaning,
    )
    return Explanation(heatmap, warm_meaning, overlay)


def require_explainable(champion: LiveChampion) -> None:
    """Check that `explain_prediction` can run in this process.

    Raises:
        TumorMLError: The network has no evidence map, and TensorFlow, which LayerCAM needs, is not
            installed.
    """
    if not champion.served.has_evidence and find_spec("tensorflow") is None:
        raise TumorMLError(
            f"The network of {champion.model_version_id} has no evidence map; its heatmaps need "
            "TensorFlow, which is not installed: pip install tumorml[training]."
        )


def _keras_predictor(settings: Settings, champion: LiveChampion) -> Predictor:
    if isinstance(champion.served, KerasServed):
        return champion.served.predictor
    with _loading:  # otherwise concurrent requests would each load the network
        return _load_predictor(settings, champion.model_version_id)


_loading = Lock()


@lru_cache(maxsize=2)
def _load_predictor(settings: Settings, model_version_id: str) -> Predictor:
    """Load a network, which takes seconds, once."""
    return fetch_predictor(settings, model_version_id)
