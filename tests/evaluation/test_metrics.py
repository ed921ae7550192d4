"""Metrics as they are written down: slices, intervals, and what cannot be answered."""

from __future__ import annotations

import numpy as np
import pytest

from tests.factories.answers import FOUR, calibration_error, make_answers
from tumorml.evaluation.answers import Answers
from tumorml.evaluation.measures import OF_ALL, OF_LABELS, measure
from tumorml.evaluation.metrics import OF_SLICES, Metric, score, score_slice


def answers_about(truth: np.ndarray, probabilities: np.ndarray) -> Answers:
    ids = [str(index) for index in range(len(truth))]
    scores = probabilities.astype(np.float32)
    return Answers(ids, ("a", "b"), scores, scores.argmax(axis=1), truth)


def by_place(metrics: list[Metric]) -> dict[tuple[str, str], Metric]:
    found = {(metric.metric, metric.slice): metric for metric in metrics}
    assert len(found) == len(metrics)
    return found


def test_every_metric_has_a_value_inside_an_interval() -> None:
    answers = make_answers(7, 300)
    found = by_place(score(answers, [f"g{index // 2}" for index in range(300)], resamples=400))
    values = measure(answers)
    places = [(name, "all", values[name]) for name in OF_ALL] + [
        (name, f"label={label}", values[name][index])
        for name in OF_LABELS
        for index, label in enumerate(FOUR)
    ]
    for name, where, value in places:
        metric = found[name, where]
        assert metric.value == pytest.approx(float(value))
        # The calibration error of a resample is biased upwards: its interval may miss the value.
        assert metric.low < metric.high
        assert name == "ece" or metric.low <= metric.value <= metric.high


def test_confusion_counts_add_up_to_the_scans() -> None:
    answers = make_answers(8, 120)
    counts = [m for m in score(answers, answers.scan_ids, resamples=2) if m.metric == "confusion"]
    assert len(counts) == 16
    assert sum(metric.value for metric in counts) == 120
    missed = by_place(counts)["confusion", "true=glioma predicted=no_tumor"]
    assert missed.value == np.sum((answers.truth == 0) & (answers.predicted == 2)) == missed.scans


def test_the_reliability_table_adds_up_to_the_calibration_error() -> None:
    answers = make_answers(9, 400)
    found = by_place(score(answers, answers.scan_ids, resamples=2))
    bins = [where for name, where in found if name == "reliability_accuracy"]
    assert "confidence=0.93-1.00" in bins
    error = 0.0
    for where in bins:
        right, sure = (found[f"reliability_{name}", where] for name in ("accuracy", "confidence"))
        low, high = map(float, where.removeprefix("confidence=").split("-"))
        assert low - 0.005 <= sure.value <= high + 0.005
        assert right.low <= right.value <= right.high
        error += right.scans / 400 * abs(right.value - sure.value)
    assert sum(found["reliability_accuracy", where].scans for where in bins) == 400
    assert error == pytest.approx(calibration_error(answers.known_truth, answers.probabilities))


def test_an_interval_is_wider_when_the_scans_of_a_group_agree() -> None:
    probabilities = np.tile([[0.9, 0.1]], (300, 1))
    probabilities[np.arange(300) % 30 < 10] = (0.1, 0.9)
    answers = answers_about(np.zeros(300, dtype=np.int64), probabilities)
    grouped, single = (
        by_place(score(answers, [f"g{index // size}" for index in range(300)], resamples=2000))[
            "accuracy", "all"
        ]
        for size in (10, 1)
    )
    assert grouped.high - grouped.low > 2 * (single.high - single.low)


def test_a_rare_class_that_a_resample_misses_does_not_count_as_failed() -> None:
    truth = np.repeat([0, 1], (60, 6))
    answers = answers_about(truth, np.eye(2)[truth] * 0.8 + 0.1)
    groups = [f"g{index // 3}" for index in range(66)]  # two groups of the rare class
    found = by_place(score(answers, groups, resamples=2000))
    for metric in ("f1_macro", "recall_macro", "precision_macro", "roc_auc_macro", "pr_auc_macro"):
        assert (found[metric, "all"].low, found[metric, "all"].high) == (1.0, 1.0)
    assert found["recall", "label=b"].low == 1.0


def test_a_label_without_scans_has_no_number() -> None:
    answers = answers_about(np.zeros(20, dtype=np.int64), np.tile([[0.9, 0.1]], (20, 1)))
    found = by_place(score(answers, ["g"] * 20, resamples=50))
    for name in OF_LABELS:
        assert found[name, "label=b"] == Metric(name, "label=b", None, None, None, 0)
    assert found["roc_auc_macro", "all"].value is None
    assert found["tumor_sensitivity", "all"].value is None


def test_a_label_that_no_resample_drew_has_a_value_and_no_interval() -> None:
    truth = np.array([0] * 60 + [1])
    answers = answers_about(truth, np.eye(2)[truth])
    groups = [str(index) for index in range(61)]
    metrics = [by_place(score(answers, groups, resamples=1, seed=seed)) for seed in range(20)]
    recalls = [found["recall", "label=b"] for found in metrics]
    assert {metric.value for metric in recalls} == {1.0}
    assert {metric.low for metric in recalls} == {None, 1.0}


def test_a_slice_is_scored_on_its_own_scans() -> None:
    answers = make_answers(11, 200)
    groups = [f"g{index // 2}" for index in range(200)]
    chosen = np.arange(200) % 3 == 0
    metrics = score_slice(answers, groups, chosen, "plane=axial", resamples=300)
    assert [metric.metric for metric in metrics] == list(OF_SLICES)
    alone = by_place(
        score(answers.of(chosen), [groups[index] for index in range(0, 200, 3)], resamples=300)
    )
    for metric in metrics:
        assert (metric.slice, metric.scans) == ("plane=axial", 67)
        assert metric.value == pytest.approx(alone[metric.metric, "all"].value)
        assert metric.low <= metric.value <= metric.high


def test_an_empty_slice_has_no_number() -> None:
    answers = make_answers(12, 10)
    metrics = score_slice(
        answers, answers.scan_ids, np.zeros(10, dtype=bool), "plane=sagittal", resamples=50
    )
    assert metrics == [Metric(name, "plane=sagittal", None, None, None, 0) for name in OF_SLICES]
