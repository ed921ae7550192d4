"""From the pixels of a scan that somebody asks about to an answer, and to why."""

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
from tumorml.explain.heatmaps import EVIDENCE_MEANING, heatmap_of, heatmaps, meaning
from tumorml.explain.overlay import overlay_png
from tumorml.labels import NO_TUMOR
from tumorml.models.model_versions import fetch_predictor
from tumorml.models.predictor import Predictor
from tumorml.models.served import KerasServed
from tumorml.serving.live_champions import Live
from tumorml.serving.request_batcher import RequestBatcher
from tumorml.settings import Settings

SIMILAR = 6
"""So many most similar training scans are named."""


@dataclass(frozen=True, slots=True)
class Question:
    """One scan, and who is asked.

    Attributes:
        live: Who answers.
        scan_id: Of the canonical pixels.
        image: uint8 [S, S], at the input size of ``live``.
    """

    live: Live
    scan_id: str
    image: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered about one scan.

    Attributes:
        live: Who answered.
        scan_id: Of the scan.
        answered_at: When, in UTC.
        label: The predicted one.
        probabilities: Calibrated, by label.
        possible_labels: Those that may be right at ``confidence``; None, as ``unlike``, without a
            reference of validation scans enough.
        confidence: About how often the true label is among them, on scans like those of validation.
        distance: To what was learnt, 0 to 2; None without a reference.
        unlike: Whether that is far.
        similar: Training scans that are most like it: id, label, cosine.
        evidence: float32 [E, E] in 0..1, where the network has an evidence map.
    """

    live: Live
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
        """Of the predicted label."""
        return self.probabilities[self.label]

    @property
    def stated_confidence(self) -> float | None:
        """``confidence``, where anything is said at it."""
        return None if self.possible_labels is None else self.confidence

    @property
    def tumor_probability(self) -> float:
        """Of any tumour."""
        return 1.0 - self.probabilities[NO_TUMOR]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which places spoke for an answer.

    Attributes:
        map: float32 [h, w] in 0..1, over the scan.
        meaning: What a warm place is.
        overlay: The scan under the map, as a PNG.
    """

    map: NDArray[np.float32]
    meaning: str
    overlay: bytes


def batches(settings: Settings) -> RequestBatcher[Question, Answer]:
    """What answers questions, by `answer`."""
    return RequestBatcher(
        "answers",
        lambda questions: answer(questions, settings.api_confidence),
        most=settings.api_batch,
    )


def answer(questions: Sequence[Question], confidence: float) -> list[Answer]:
    """Answer questions, whoever is asked, in their order."""
    by_model: dict[str, list[int]] = defaultdict(list)
    for index, question in enumerate(questions):
        by_model[question.live.model_version_id].append(index)
    answers: dict[int, Answer] = {}
    for indices in by_model.values():
        asked = [questions[index] for index in indices]
        answers |= dict(zip(indices, _answer(asked, asked[0].live, confidence), strict=True))
    return [answers[index] for index in range(len(questions))]


def _answer(questions: Sequence[Question], live: Live, confidence: float) -> list[Answer]:
    served, reference = live.served, live.reference
    seen = served.look(np.stack([question.image for question in questions]))
    probabilities = served.calibrated(seen.logits)
    decided = served.decide(probabilities)
    now = datetime.now(UTC)
    count = len(questions)
    possible: list[list[str] | None] = [None] * count
    distances: list[float | None] = [None] * count
    unlike: list[bool | None] = [None] * count
    similar: list[list[tuple[str, str, float]]] = [[] for _ in questions]
    if reference is not None:
        far, similar = reference.compare(seen.features, SIMILAR)
        distances = far.tolist()
    if reference is not None and reference.is_enough:
        chosen = reference.labels_at(probabilities, confidence)
        chosen[np.arange(count), decided] = True
        possible = [
            [name for name, yes in zip(served.labels, row, strict=True) if yes] for row in chosen
        ]
        unlike = reference.unlike(far).tolist()
    return [
        Answer(
            live,
            question.scan_id,
            now,
            served.labels[decided[index]],
            dict(zip(served.labels, probabilities[index].tolist(), strict=True)),
            possible[index],
            confidence,
            distances[index],
            unlike[index],
            similar[index],
            None if seen.evidence is None else seen.evidence[index],
        )
        for index, question in enumerate(questions)
    ]


def explained(settings: Settings, answer: Answer, pixels: NDArray[np.uint8]) -> Explanation:
    """Which places of a scan spoke for its answer.

    Args:
        settings: Where the model version lies.
        answer: About the scan.
        pixels: uint8 [h, w], the canonical scan.
    """
    side = answer.live.served.input_size
    if answer.evidence is not None:
        heatmap, warm = heatmap_of(answer.evidence, side), EVIDENCE_MEANING
    else:
        predictor = _predictor(settings, answer.live)
        image = fit_to_square(pixels, side)
        classes = np.array([predictor.labels.index(answer.label)])
        heatmap = heatmaps(predictor, image[None], classes)[0]
        warm = meaning(predictor, answer.label)
    over = from_square(heatmap, *pixels.shape)
    overlay = overlay_png(
        pixels,
        over,
        label=None,
        prediction=answer.label,
        probability=answer.probability,
        meaning=warm,
    )
    return Explanation(over, warm, overlay)


def require_explainable(live: Live) -> None:
    """See to it that `explained` can show why.

    Raises:
        TumorMLError: The network has no evidence map, and TensorFlow, which LayerCAM needs, is not
            installed here.
    """
    if not live.served.has_evidence and find_spec("tensorflow") is None:
        raise TumorMLError(
            f"The network of {live.model_version_id} has no evidence map; its heatmaps need "
            "TensorFlow, which is not installed here: pip install tumorml[training]."
        )


def _predictor(settings: Settings, live: Live) -> Predictor:
    if isinstance(live.served, KerasServed):
        return live.served.predictor
    with _loading:  # or many would load the same network at once
        return _loaded(settings, live.model_version_id)


_loading = Lock()


@lru_cache(maxsize=2)
def _loaded(settings: Settings, model_version_id: str) -> Predictor:
    """Kept: loading a network takes seconds."""
    return fetch_predictor(settings, model_version_id)
