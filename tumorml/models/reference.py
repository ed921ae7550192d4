"""What a model version remembers of the scans that it learnt from, and of how sure it was.

With it a server says which labels a scan may have at a stated confidence, whether it is unlike what
the network has learnt from, and which scans are most like it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tumorml.models.calibration import Calibrated

NEIGHBOUR = 5
"""Which nearest training scan is still near where a scan is like them."""
UNLIKE = 0.99
"""A scan farther from its neighbours than this share of the validation scans is unlike them."""
FEWEST = 100
"""With fewer validation scans nothing can be said at the 95th or 99th of a hundred."""
MOST_SCANS = 10_000
"""Of training that are remembered, drawn evenly: 102 MB of 2,560 features in memory."""


class Compared(NamedTuple):
    """What training scans n scans are like.

    Attributes:
        distance: float64 `[n]`: 1 minus the cosine to the ``NEIGHBOUR``-th nearest one, 0..2.
        nearest: Of each scan the ids, labels and cosines of the nearest ones, the nearest first.
    """

    distance: NDArray[np.float64]
    nearest: list[list[tuple[str, str, float]]]


@dataclass(frozen=True, slots=True)
class Reference:
    """Some training scans as the network sees them, and how the validation scans compared.

    Attributes:
        scan_ids: str [n], training scans.
        labels: str [n].
        features: float32 [n, d], each of length 1.
        surprise: float64 [m], sorted: 1 minus the probability of the true label, in validation.
        distances: float64 [m], sorted: those of the validation scans.
    """

    scan_ids: NDArray[np.str_]
    labels: NDArray[np.str_]
    features: NDArray[np.float32]
    surprise: NDArray[np.float64]
    distances: NDArray[np.float64]

    @property
    def is_enough(self) -> bool:
        """Whether validation had scans enough for `labels_at` and `unlike`."""
        return len(self.surprise) >= FEWEST

    def labels_at(self, probabilities: np.ndarray, confidence: float) -> NDArray[np.bool_]:
        """Which labels may be right: split conformal prediction (Sadinle et al. 2019).

        doi:10.1080/01621459.2017.1395341. Over all labels together, and on scans like those of
        validation, the true label is among them about as often as ``confidence`` says: about,
        because validation has also chosen the epoch and the temperature, and because slices of one
        patient are not drawn one by one.

        Args:
            probabilities: float32 `[n, classes]`.
            confidence: in 0..1.

        Returns:
            bool `[n, classes]`; the most probable label is always among them, and with too few
            validation scans for that confidence all are.
        """
        count = len(self.surprise)
        rank = int(np.ceil((count + 1) * confidence))
        limit = float(self.surprise[rank - 1]) if 0 < rank <= count else 1.0
        # A hair more, so that a probability that was rounded to float32 still counts.
        chosen = 1.0 - probabilities <= limit + 1e-6
        chosen[np.arange(len(probabilities)), probabilities.argmax(axis=1)] = True
        return np.asarray(chosen, np.bool_)

    def compare(self, features: np.ndarray, count: int = NEIGHBOUR) -> Compared:
        """Which training scans are most like some scans (Sun et al. 2022, arXiv:2204.06507).

        Args:
            features: float32 `[n, d]`.
            count: so many are named.
        """
        # In this order BLAS reads what is remembered once, also for a few scans.
        similarity = (self.features @ unit(features).T).T
        most = min(max(count, NEIGHBOUR), len(self.features))
        found = np.argpartition(-similarity, most - 1, axis=1)[:, :most]
        found = np.take_along_axis(
            found, np.argsort(-np.take_along_axis(similarity, found, 1), 1, kind="stable"), 1
        )
        cosines = np.clip(np.take_along_axis(similarity, found, 1), -1.0, 1.0).astype(np.float64)
        return Compared(
            1.0 - cosines[:, min(NEIGHBOUR, most) - 1],
            [
                [
                    (str(self.scan_ids[row]), str(self.labels[row]), float(cosine))
                    for row, cosine in zip(rows[:count], near[:count], strict=True)
                ]
                for rows, near in zip(found, cosines, strict=True)
            ],
        )

    def unlike(self, distances: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether scans of those distances are unlike what was learnt; bool `[n]`."""
        return np.asarray(distances > np.quantile(self.distances, UNLIKE), np.bool_)

    def save(self, path: Path) -> None:
        """Write it, as an ``.npz``, its features in float16."""
        with path.open("wb") as file:
            np.savez(
                file,
                scan_ids=self.scan_ids,
                labels=self.labels,
                features=self.features.astype(np.float16),
                surprise=self.surprise,
                distances=self.distances,
            )

    @classmethod
    def load(cls, path: Path) -> Reference:
        """Read what `save` has written."""
        with np.load(path) as file:
            arrays = {name: file[name] for name in cls.__slots__}
        return cls(**arrays | {"features": arrays["features"].astype(np.float32)})


def remember(
    predictor: Calibrated,
    scan_ids: Sequence[str],
    labels: NDArray[np.int64],
    features: np.ndarray,
    validation_logits: np.ndarray,
    validation_labels: NDArray[np.int64],
    validation_features: np.ndarray,
) -> Reference:
    """Make a reference.

    Args:
        predictor: Calibrated.
        scan_ids: of n training scans, at least one.
        labels: int64 [n], class indices.
        features: float32 [n, d].
        validation_logits: float32 [m, classes].
        validation_labels: int64 [m].
        validation_features: float32 [m, d].
    """
    probabilities = predictor.calibrated(validation_logits).astype(np.float64)
    of_truth = probabilities[np.arange(len(validation_labels)), validation_labels]
    names = np.array(predictor.labels)
    reference = Reference(
        np.array(scan_ids),
        names[labels],
        unit(features),
        np.sort(1.0 - of_truth),
        np.zeros(0),
    )
    return replace(reference, distances=np.sort(reference.compare(validation_features).distance))


def unit(features: np.ndarray) -> np.ndarray:
    """Features `[n, d]`, each scaled to length 1; float32."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(length, 1e-12), np.float32)
