"""Metric rows: slices, intervals, and metrics that are not defined."""

from __future__ import annotations

import numpy as np
import pytest

from tests.factories.answers import FOUR, calibration_error, random_answers
from tumorml.evaluation.answers import Answers
from tumorml.evaluation.measures import LABEL_METRICS, OVERALL_METRICS, measure
from tumorml.evaluation.metrics import SLICE_METRICS, Metric, score, score_slice


def answers_about(truth: np.ndarray, probabilities: np.ndarray) -> Answers:
    ids = [str(index) for index in range(len(truth))]
    scores = probabilities.astype(np.float32)
    return Answers(ids, ("a", "b"), scores, scores.argmax(axis=1), truth)


def by_metric_and_slice(metrics: list[Metric]) -> dict[tuple[str, str], Metric]:
    found = {(metric.metric, metric.slice): metric for metric in metrics}
    assert len(found) == len(metrics)
    return found


def interval_of(metric: Metric) -> tuple[float, float, float]:
    """Return low, value and high; all of them are numbers."""
    assert metric.low is not None and metric.value is not None and metric.high is not None
    return metric.low, metric.value, metric.high


def test_metrics_lie_inside_their_intervals() -> None:
    answers = random_answers(7, 300)
    found = by_metric_and_slice(
        score(answers, [f"g{index // 2}" for index in range(300)], resamples=400)
    )
    values = measure(answers)
    places = [(name, "all", values[name]) for name in OVERALL_METRICS] + [
        (name, f"label={label}", values[name][index])
        for name in LABEL_METRICS
        for index, label in enumerate(FOUR)
    ]
    for name, where, value in places:
        metric = found[name, where]
        assert metric.value == pytest.approx(float(value))
        # The calibration error of a resample is biased upwards: its interval may miss the value.
        low, middle, high = interval_of(metric)
        assert low < high
        assert name == "ece" or low <= middle <= high


def test_confusion_counts_sum_to_the_scans() -> None:
    answers = random_answers(8, 120)
    counts = [m for m in score(answers, answers.scan_ids, resamples=2) if m.metric == "confusion"]
    assert len(counts) == 16
    assert sum(metric.value or 0 for metric in counts) == 120
    missed = by_metric_and_slice(counts)["confusion", "true=glioma predicted=no_tumor"]
    assert missed.value == np.sum((answers.truth == 0) & (answers.predicted == 2)) == missed.scans


def test_reliability_bins_sum_to_the_calibration_error() -> None:
    answers = random_answers(9, 400)
    found = by_metric_and_slice(score(answers, answers.scan_ids, resamples=2))
    bins = [where for name, where in found if name == "reliability_accuracy"]
    assert "confidence=0.93-1.00" in bins
    error = 0.0
    for where in bins:
        accuracy = found["reliability_accuracy", where]
        confidence = found["reliability_confidence", where].value
        assert confidence is not None
        bin_low, bin_high = map(float, where.removeprefix("confidence=").split("-"))
        assert bin_low - 0.005 <= confidence <= bin_high + 0.005
        low, share_right, high = interval_of(accuracy)
        assert low <= share_right <= high
        error += accuracy.scans / 400 * abs(share_right - confidence)
    assert sum(found["reliability_accuracy", where].scans for where in bins) == 400
    assert error == pytest.approx(calibration_error(answers.known_truth, answers.probabilities))


def test_interval_is_wider_if_scans_of_a_group_agree() -> None:
    probabilities = np.tile([[0.9, 0.1]], (300, 1))
    probabilities[np.arange(300) % 30 < 10] = (0.1, 0.9)
    answers = answers_about(np.zeros(300, dtype=np.int64), probabilities)
    grouped, single = (
        by_metric_and_slice(
            score(answers, [f"g{index // size}" for index in range(300)], resamples=2000)
        )["accuracy", "all"]
        for size in (10, 1)
    )
    grouped_low, _, grouped_high = interval_of(grouped)
    single_low, _, single_high = interval_of(single)
    assert grouped_high - grouped_low > 2 * (single_high - single_low)


def test_rare_class_missed_by_a_resample_is_left_out() -> None:
    truth = np.repeat([0, 1], (60, 6))
    answers = answers_about(truth, np.eye(2)[truth] * 0.8 + 0.1)
    groups = [f"g{index // 3}" for index in range(66)]  # two groups of the rare class
    found = by_metric_and_slice(score(answers, groups, resamples=2000))
    for metric in ("f1_macro", "recall_macro", "precision_macro", "roc_auc_macro", "pr_auc_macro"):
        assert (found[metric, "all"].low, found[metric, "all"].high) == (1.0, 1.0)
    assert found["recall", "label=b"].low == 1.0


def test_label_without_scans_has_no_value() -> None:
    answers = answers_about(np.zeros(20, dtype=np.int64), np.tile([[0.9, 0.1]], (20, 1)))
    found = by_metric_and_slice(score(answers, ["g"] * 20, resamples=50))
    for name in LABEL_METRICS:
        assert found[name, "label=b"] == Metric(name, "label=b", None, None, None, 0)
    assert found["roc_auc_macro", "all"].value is None
    assert found["tumor_sensitivity", "all"].value is None


def test_label_that_no_resample_drew_has_no_interval() -> None:
    truth = np.array([0] * 60 + [1])
    answers = answers_about(truth, np.eye(2)[truth])
    groups = [str(index) for index in range(61)]
    metrics = [
        by_metric_and_slice(score(answers, groups, resamples=1, seed=seed)) for seed in range(20)
    ]
    recalls = [found["recall", "label=b"] for found in metrics]
    assert {metric.value for metric in recalls} == {1.0}
    assert {metric.low for metric in recalls} == {None, 1.0}


def test_slice_is_scored_on_its_own_scans() -> None:
    answers = random_answers(11, 200)
    groups = [f"g{index // 2}" for index in range(200)]
    chosen = np.arange(200) % 3 == 0
    metrics = score_slice(answers, groups, chosen, "plane=axial", resamples=300)
    assert [metric.metric for metric in metrics] == list(SLICE_METRICS)
    alone = by_metric_and_slice(
        score(answers.select(chosen), [groups[index] for index in range(0, 200, 3)], resamples=300)
    )
    for metric in metrics:
        assert (metric.slice, metric.scans) == ("plane=axial", 67)
        assert metric.value == pytest.approx(alone[metric.metric, "all"].value)
        low, value, high = interval_of(metric)
        assert low <= value <= high


def test_empty_slice_has_no_value() -> None:
    answers = random_answers(12, 10)
    metrics = score_slice(
        answers, answers.scan_ids, np.zeros(10, dtype=bool), "plane=sagittal", resamples=50
    )
    assert metrics == [
        Metric(name, "plane=sagittal", None, None, None, 0) for name in SLICE_METRICS
    ]
