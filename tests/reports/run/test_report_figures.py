"""The figures of a report draw the numbers in the rows, recomputed by independent code."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import auc, average_precision_score, confusion_matrix, roc_auc_score
from sqlalchemy import select

from tests.factories.answers import FOUR, calibration_error, random_answers
from tests.factories.reports import CHALLENGER, CHAMPION, RUN, judged_run
from tests.factories.written_reports import answers_in_rows, facts_of
from tumorml.evaluation.answers import Answers
from tumorml.reports.run import figures
from tumorml.results.session import read_session
from tumorml.results.tables import Epoch, Evaluation, SnapshotScan
from tumorml.settings import Settings

SCANS = 300


@pytest.fixture(scope="module")
def judged(module_settings: Settings) -> Settings:
    judged_run(module_settings, random_answers(3, SCANS), random_answers(4, SCANS))
    return module_settings


def test_figures_agree_with_scikit_learn(judged: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[tuple[str, str], tuple[Any, ...]] = {}

    def record(name: str, draw: Callable[..., bytes]) -> Callable[..., bytes]:
        def recorded(*arguments: Any) -> bytes:
            drawn[name, arguments[-1]] = arguments
            return draw(*arguments)

        return recorded

    for name in ("confusion_figure", "threshold_figure", "reliability_figure"):
        monkeypatch.setattr(figures, name, record(name, getattr(figures, name)))
    figures.draw_run_figures(facts_of(judged))
    for role, model in (("challenger", CHALLENGER), ("champion", CHAMPION)):
        answers, title = answers_in_rows(judged, model), f"{role} {model}"
        counts, labels, _ = drawn["confusion_figure", title]
        assert labels == FOUR
        np.testing.assert_array_equal(
            counts, confusion_matrix(answers.truth, answers.predicted, labels=range(len(FOUR)))
        )
        curves, areas, _ = drawn["threshold_figure", title]
        assert [curve.label for curve in curves] == list(FOUR)
        for index, (curve, legend) in enumerate(zip(curves, areas, strict=True)):
            has_label, scores = answers.known_truth == index, answers.probabilities[:, index]
            roc, pr = roc_auc_score(has_label, scores), average_precision_score(has_label, scores)
            assert auc(curve.false_positive_rate, curve.true_positive_rate) == pytest.approx(roc)
            assert -np.diff(curve.recall) @ curve.precision[:-1] == pytest.approx(pr)
            in_legend = [float(value) for value in re.findall(r"[\d.]+", legend)]
            assert in_legend == pytest.approx([roc, pr], abs=0.00051)
            assert curve.scans == has_label.sum()
        check_reliability(drawn["reliability_figure", title][0], answers)


def check_reliability(bins: list[tuple[float, Evaluation]], answers: Answers) -> None:
    """Each bin counts the scans between its ends, and together they give the calibration error."""
    confidence = answers.probabilities.max(axis=1).astype(np.float64)
    right = answers.probabilities.argmax(axis=1) == answers.truth
    error = 0.0
    for mean, row in bins:
        low = round(15 * float(row.slice.removeprefix("confidence=").split("-")[0]))
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        assert row.scans == inside.sum() > 0
        assert mean == pytest.approx(confidence[inside].mean())
        assert row.value == pytest.approx(right[inside].mean())
        assert row.value is not None
        error += row.scans / SCANS * abs(row.value - mean)
    assert sum(row.scans for _, row in bins) == SCANS
    probabilities = answers.probabilities.astype(np.float64)
    assert error == pytest.approx(calibration_error(answers.known_truth, probabilities))


def test_training_curves_draw_the_rows_of_epochs(
    judged: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[Figure] = []
    save = Figure.savefig

    def record(figure: Figure, *arguments: Any, **options: Any) -> None:
        saved.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", record)
    figures.draw_run_figures(facts_of(judged))
    (figure,) = [one for one in saved if one.axes[0].get_ylabel() == "loss, in nats"]
    with read_session(judged) as session:
        rows = session.scalars(select(Epoch).where(Epoch.run_id == RUN).order_by(Epoch.epoch)).all()
        sides = Counter(session.scalars(select(SnapshotScan.split)))
    best = rows[int(np.argmin([row.validation_loss for row in rows]))].epoch
    for axes, name in zip(figure.axes, ("loss", "accuracy"), strict=True):
        training, validation, kept, *phases = axes.get_lines()
        for line, side, label, column in (
            (training, "train", "training", name),
            (validation, "validation", "validation", f"validation_{name}"),
        ):
            assert list(np.asarray(line.get_xdata())) == [row.epoch for row in rows]
            assert list(np.asarray(line.get_ydata())) == [getattr(row, column) for row in rows]
            assert line.get_label() == f"{label}, {sides[side]:,} scans"
        assert set(np.asarray(kept.get_xdata())) == {best}
        assert kept.get_label() == f"kept: epoch {best}"
        starts = [
            after.epoch - 0.5 for before, after in pairwise(rows) if before.phase != after.phase
        ]
        assert [np.asarray(line.get_xdata())[0] for line in phases] == starts != []
