"""Metrics with 95 % intervals, of all scans, of each label and of slices, as database rows.

Values and resamples come from ``measures``. Intervals are percentiles over resamples of groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sqlalchemy.orm import Session

from tumorml.evaluation.answers import Answers
from tumorml.evaluation.measures import (
    CONFIDENCE_BINS,
    LABEL_METRICS,
    OVERALL_METRICS,
    confidence_bins,
    measure,
    resampled,
)
from tumorml.results.bulk import copy_rows
from tumorml.results.tables import Evaluation

ALL_SCANS = "all"
SLICE_METRICS = ("accuracy", "balanced_accuracy", "f1_macro", "log_loss")


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of one slice.

    Attributes:
        metric: Name of the metric.
        slice: Name of the slice, ``all`` for all scans.
        value: The value. None where it is not defined, for instance without scans of a label.
        low: Lower end of the 95 % interval, or None without an interval.
        high: Upper end of the 95 % interval, or None without an interval.
        scans: Number of scans from which the value was computed.
    """

    metric: str
    slice: str
    value: float | None
    low: float | None
    high: float | None
    scans: int


def score(
    answers: Answers, groups: Sequence[str], *, resamples: int, seed: int = 0
) -> list[Metric]:
    """Compute every metric of one model on one set of scans.

    Args:
        answers: Answers about n scans, with their truth.
        groups: n group ids; a resample draws groups, each with all of its scans.
        resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap.

    Returns:
        With intervals, ``OVERALL_METRICS`` on the slice ``all`` and ``LABEL_METRICS`` on slices
        ``label=...``; ``confusion`` counts on slices ``true=... predicted=...``; and
        ``reliability_confidence`` and ``reliability_accuracy`` on slices such as
        ``confidence=0.93-1.00``, for each bin that contains scans.
    """
    total = len(answers.scan_ids)
    support = np.bincount(answers.known_truth, minlength=len(answers.labels))
    values = measure(answers)
    (drawn,) = resampled([answers], groups, resamples=resamples, seed=seed)
    metrics = [
        _with_interval(name, ALL_SCANS, values[name], drawn[name], total)
        for name in OVERALL_METRICS
    ]
    metrics += [
        _with_interval(
            name, f"label={label}", values[name][index], drawn[name][:, index], int(support[index])
        )
        for index, label in enumerate(answers.labels)
        for name in LABEL_METRICS
    ]
    return metrics + _confusion(answers) + _reliability(answers)


def score_slice(
    answers: Answers,
    groups: Sequence[str],
    chosen: NDArray[np.bool_],
    name: str,
    *,
    resamples: int,
    seed: int = 0,
) -> list[Metric]:
    """Compute the metrics ``SLICE_METRICS`` of one model on a slice of the scans, with intervals.

    Args:
        answers: Answers about n scans, with their truth.
        groups: n group ids; a resample draws groups, each with all of its scans in the slice.
        chosen: bool [n], scans of the slice.
        name: Name of the slice.
        resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap.
    """
    part = answers.select(chosen)
    part_groups = list(compress(groups, chosen))
    values = measure(part, SLICE_METRICS)
    (drawn,) = resampled([part], part_groups, SLICE_METRICS, resamples=resamples, seed=seed)
    scans = len(part.scan_ids)
    return [
        _with_interval(metric, name, values[metric], drawn[metric], scans)
        for metric in SLICE_METRICS
    ]


def _with_interval(
    name: str,
    where: str,
    value: NDArray[np.float64],
    drawn: NDArray[np.float64],
    scans: int,
) -> Metric:
    known = drawn[~np.isnan(drawn)]
    if np.isnan(value):
        return Metric(name, where, None, None, None, scans)
    if not len(known):
        return Metric(name, where, float(value), None, None, scans)
    low, high = np.quantile(known, (0.025, 0.975))
    return Metric(name, where, float(value), float(low), float(high), scans)


def _confusion(answers: Answers) -> list[Metric]:
    counts = np.zeros((len(answers.labels), len(answers.labels)), np.int64)
    np.add.at(counts, (answers.known_truth, answers.predicted), 1)
    return [
        Metric("confusion", f"true={true} predicted={predicted}", count, None, None, count)
        for true, row in zip(answers.labels, counts.tolist(), strict=True)
        for predicted, count in zip(answers.labels, row, strict=True)
    ]


def _reliability(answers: Answers) -> list[Metric]:
    """Compute mean confidence and accuracy of each bin; the accuracy has a Wilson interval."""
    confidence, bins = confidence_bins(answers.probabilities)
    right = answers.probabilities.argmax(axis=1) == answers.known_truth
    metrics = []
    for index in np.unique(bins):
        inside = bins == index
        scans, hits = int(inside.sum()), int(right[inside].sum())
        where = f"confidence={index / CONFIDENCE_BINS:.2f}-{(index + 1) / CONFIDENCE_BINS:.2f}"
        wilson = binomtest(hits, scans).proportion_ci(method="wilson")
        mean = float(confidence[inside].mean())
        metrics += [
            Metric("reliability_confidence", where, mean, None, None, scans),
            Metric("reliability_accuracy", where, hits / scans, wilson.low, wilson.high, scans),
        ]
    return metrics


def write_metrics(
    session: Session,
    metrics: Mapping[str, Sequence[Metric]],
    *,
    run_id: str,
    model_version_id: str,
) -> None:
    """Write one ``evaluation`` row for each metric that has none yet.

    Args:
        session: On the results store, as a role that can write.
        metrics: Metrics by split, such as ``test``.
        run_id: The run that was evaluated.
        model_version_id: The model version that answered.
    """
    rows = (
        {"run_id": run_id, "model_version_id": model_version_id, "split": split, **asdict(metric)}
        for split, measured in metrics.items()
        for metric in measured
    )
    copy_rows(session, Evaluation, rows, on_conflict_do_nothing=True)
