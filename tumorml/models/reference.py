"""Reference of a model version: features of training scans, and validation statistics.

A server computes from it the prediction set at a confidence, whether a scan is unlike the training
scans, and the most similar training scans.
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

NEIGHBOR_RANK = 5
"""A scan's distance from training is its distance to the training scan of this rank, from 1."""
UNLIKE_QUANTILE = 0.99
"""A scan is unlike training if its distance exceeds this quantile of the validation scans."""
MIN_VALIDATION_SCANS = 100
"""Minimum number of validation scans for estimates of the 95th and 99th percentile."""
MAX_TRAINING_SCANS = 10_000
"""Maximum number of training scans, evenly spaced: 102 MB in memory with 2,560 features."""


class Comparison(NamedTuple):
    """Comparison of n scans with the training scans.

    Attributes:
        distance: float64 `[n]` in 0..2: 1 minus the cosine to the ``NEIGHBOR_RANK``-th nearest
            training scan.
        nearest: Id, label and cosine of the nearest training scans of each scan, nearest first.
    """

    distance: NDArray[np.float64]
    nearest: list[list[tuple[str, str, float]]]


@dataclass(frozen=True, slots=True)
class Reference:
    """Features of training scans, and statistics of the validation scans.

    Attributes:
        scan_ids: str [n], ids of the training scans.
        labels: str [n], their labels.
        features: float32 [n, d], their features, each scaled to length 1.
        surprise: float64 [m], sorted: 1 minus the probability of the true label, of each
            validation scan.
        distances: float64 [m], sorted: distance of each validation scan from the training scans.
    """

    scan_ids: NDArray[np.str_]
    labels: NDArray[np.str_]
    features: NDArray[np.float32]
    surprise: NDArray[np.float64]
    distances: NDArray[np.float64]

    @property
    def has_enough_scans(self) -> bool:
        """Whether there are enough validation scans for `possible_labels` and `unlike`."""
        return len(self.surprise) >= MIN_VALIDATION_SCANS

    def possible_labels(self, probabilities: np.ndarray, confidence: float) -> NDArray[np.bool_]:
        """Return the prediction sets of split conformal prediction.

        Sadinle et al. 2019, doi:10.1080/01621459.2017.1395341. For scans from the distribution of
        the validation scans, and averaged over labels, the set contains the true label with about
        the given confidence. The coverage is not exact, because the epoch and the temperature were
        chosen on the same validation scans, and slices of one patient are not independent.

        Args:
            probabilities: float32 `[n, classes]`.
            confidence: Share of scans whose set contains the true label, in 0..1.

        Returns:
            bool `[n, classes]`. A set always contains the most probable label. With too few
            validation scans for the confidence it contains all labels.
        """
        count = len(self.surprise)
        rank = int(np.ceil((count + 1) * confidence))
        limit = float(self.surprise[rank - 1]) if 0 < rank <= count else 1.0
        # Tolerance for the rounding of probabilities to float32.
        is_possible = 1.0 - probabilities <= limit + 1e-6
        is_possible[np.arange(len(probabilities)), probabilities.argmax(axis=1)] = True
        return np.asarray(is_possible, np.bool_)

    def compare(self, features: np.ndarray, count: int = NEIGHBOR_RANK) -> Comparison:
        """Compare scans with the training scans (Sun et al. 2022, arXiv:2204.06507).

        Args:
            features: float32 `[n, d]`, not scaled.
            count: Number of nearest training scans to return for each scan.
        """
        # In this order BLAS reads the training features only once, even for few scans.
        similarity = (self.features @ unit_length(features).T).T
        kept = min(max(count, NEIGHBOR_RANK), len(self.features))
        nearest = np.argpartition(-similarity, kept - 1, axis=1)[:, :kept]
        nearest = np.take_along_axis(
            nearest, np.argsort(-np.take_along_axis(similarity, nearest, 1), 1, kind="stable"), 1
        )
        cosines = np.clip(np.take_along_axis(similarity, nearest, 1), -1.0, 1.0).astype(np.float64)
        return Comparison(
            1.0 - cosines[:, min(NEIGHBOR_RANK, kept) - 1],
            [
                [
                    (str(self.scan_ids[row]), str(self.labels[row]), float(cosine))
                    for row, cosine in zip(rows[:count], near[:count], strict=True)
                ]
                for rows, near in zip(nearest, cosines, strict=True)
            ],
        )

    def unlike(self, distances: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return whether scans at these distances are unlike the training scans, bool `[n]`."""
        return np.asarray(distances > np.quantile(self.distances, UNLIKE_QUANTILE), np.bool_)

    def save(self, path: Path) -> None:
        """Write the reference as an ``.npz`` file, with float16 features."""
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
        """Read a reference that `save` wrote."""
        with np.load(path) as file:
            arrays = {name: file[name] for name in cls.__slots__}
        return cls(**arrays | {"features": arrays["features"].astype(np.float32)})


def make_reference(
    predictor: Calibrated,
    scan_ids: Sequence[str],
    labels: NDArray[np.int64],
    features: np.ndarray,
    validation_logits: np.ndarray,
    validation_labels: NDArray[np.int64],
    validation_features: np.ndarray,
) -> Reference:
    """Make the reference of a model version.

    Args:
        predictor: The calibrated model.
        scan_ids: Ids of n training scans, at least one.
        labels: int64 [n], their class indices.
        features: float32 [n, d], their features, not scaled.
        validation_logits: float32 [m, classes].
        validation_labels: int64 [m], class indices.
        validation_features: float32 [m, d], not scaled.
    """
    probabilities = predictor.calibrated(validation_logits).astype(np.float64)
    true_probabilities = probabilities[np.arange(len(validation_labels)), validation_labels]
    names = np.array(predictor.labels)
    reference = Reference(
        np.array(scan_ids),
        names[labels],
        unit_length(features),
        np.sort(1.0 - true_probabilities),
        np.zeros(0),
    )
    return replace(reference, distances=np.sort(reference.compare(validation_features).distance))


def unit_length(features: np.ndarray) -> np.ndarray:
    """Return features `[n, d]`, each scaled to length 1, as float32."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(length, 1e-12), np.float32)
