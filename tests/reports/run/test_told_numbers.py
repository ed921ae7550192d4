"""Every number of a report is found again from the rows, by other code than the report's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import auc, average_precision_score, confusion_matrix, roc_auc_score
from sqlalchemy import select

from tests.factories.answers import FOUR, by_scikit_learn, calibration_error, make_answers
from tests.factories.reports import CHALLENGER, CHAMPION, RUN, judged_run
from tests.factories.written_reports import answers_in_rows, page_of, tables_of
from tumorml.datasets.grouping.sides import SIDES
from tumorml.evaluation.answers import Answers
from tumorml.evaluation.measures import OF_ALL, OF_LABELS
from tumorml.evaluation.metrics import OF_SLICES, score
from tumorml.reports.facts.heatmap_quality import MAP_NAMES
from tumorml.reports.facts.numbers import METRIC_NAMES
from tumorml.reports.facts.run_facts import LOCALISATION
from tumorml.reports.run import figures
from tumorml.reports.run.write_run_report import write_run_report
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Epoch, Evaluation, Leak, SnapshotScan
from tumorml.settings import Settings

SCANS = 300
PART = np.arange(SCANS) % 3 == 0
CONTENDERS = (("challenger", CHALLENGER), ("champion", CHAMPION))


@pytest.fixture
def judged(settings: Settings) -> Settings:
    """A challenger and a champion, looked at whole and in two parts, with masks."""
    judged_run(
        settings,
        make_answers(3, SCANS),
        make_answers(4, SCANS),
        pointing=(0.8, 0.7, 0.9),
        slices={"site=a": PART, "site=b": ~PART},
    )
    return settings


@dataclass(frozen=True)
class Told:
    """A cell: a value and its interval."""

    value: float
    low: float
    high: float

    @staticmethod
    def by(cell: str) -> Told:
        return Told(*map(float, re.findall(r"[\d.]+", cell)))


def same(value: object) -> object:
    """As a cell rounds it."""
    return pytest.approx(value, abs=0.00051)


def test_the_tables_of_metrics_and_labels_say_what_scikit_learn_finds_in_the_rows(
    judged: Settings,
) -> None:
    write_run_report(judged, RUN)
    shown = tables_of(page_of(judged))
    (_, *headings), *rows = shown["", "metric"]
    assert headings == [f"{role}\n{model}" for role, model in CONTENDERS]
    of_all = {row[0]: row[1:] for row in rows}
    assert set(of_all) == {*(METRIC_NAMES[name] for name in OF_ALL), "test scans"}
    for column, (role, model) in enumerate(CONTENDERS):
        answers = answers_in_rows(judged, model)
        expected = by_scikit_learn(answers, np.arange(SCANS))
        again = score(answers, answers.scan_ids, resamples=100)
        intervals = {(one.metric, one.slice): (one.low, one.high) for one in again}
        assert of_all["test scans"][column] == str(SCANS)
        for name in OF_ALL:
            told = Told.by(of_all[METRIC_NAMES[name]][column])
            assert told.value == same(expected[name])
            assert (told.low, told.high) == same(intervals[name, "all"])

        headings, *of_labels = shown[f"{role} {model}", "label"]
        assert headings == ["label", "scans", *(METRIC_NAMES[name] for name in OF_LABELS)]
        assert [row[0] for row in of_labels] == list(FOUR)
        for index, (label, scans, *cells) in enumerate(of_labels):
            assert int(scans) == (answers.truth == index).sum()
            for name, cell in zip(OF_LABELS, cells, strict=True):
                told = Told.by(cell)
                assert told.value == same(expected[name][index])
                assert (told.low, told.high) == same(intervals[name, f"label={label}"])


def test_the_table_of_slices_says_what_scikit_learn_finds_in_the_rows_of_each(
    judged: Settings,
) -> None:
    write_run_report(judged, RUN)
    shown = tables_of(page_of(judged))
    for role, model in CONTENDERS:
        _, *rows = shown[f"{role} {model}", "slice"]
        assert [row[0] for row in rows] == ["site=a", "site=b"]
        answers = answers_in_rows(judged, model)
        first = np.array([int(scan.removeprefix("scan-")) % 3 == 0 for scan in answers.scan_ids])
        for (_, scans, *cells), chosen in zip(rows, (first, ~first), strict=True):
            assert int(scans) == chosen.sum()
            expected = by_scikit_learn(answers, np.flatnonzero(chosen))
            for name, cell in zip(OF_SLICES, cells, strict=True):
                assert Told.by(cell).value == same(expected[name])


def test_the_table_of_heatmaps_says_each_measure_of_each_map(judged: Settings) -> None:
    write_run_report(judged, RUN)
    headings, *rows = tables_of(page_of(judged))["", "measure"]
    assert headings == ["measure", *MAP_NAMES.values()]
    assert [row[0] for row in rows] == [METRIC_NAMES[name] for name in LOCALISATION]
    with read_session(judged) as session:
        of_model = Evaluation.run_id == RUN, Evaluation.model_version_id == CHALLENGER
        found = {row.metric: row for row in session.scalars(select(Evaluation).where(*of_model))}
    for name, (_, *cells) in zip(LOCALISATION, rows, strict=True):
        for suffix, cell in zip(("", "_fixed_pixel", "_centred_blob"), cells, strict=True):
            row = found[name + suffix]
            assert Told.by(cell) == Told(*(same(v) for v in (row.value, row.low, row.high)))


def test_the_figures_draw_what_scikit_learn_finds_in_the_rows(
    judged: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is drawn is kept, and then drawn."""
    drawn: dict[tuple[str, str], tuple] = {}

    def keep(name: str, drawing: Callable) -> Callable:
        def draw(*given):
            drawn[name, given[-1]] = given
            return drawing(*given)

        return draw

    for name in ("confusion_figure", "threshold_figure", "reliability_figure"):
        monkeypatch.setattr(figures, name, keep(name, getattr(figures, name)))
    write_run_report(judged, RUN)
    for role, model in CONTENDERS:
        answers, title = answers_in_rows(judged, model), f"{role} {model}"
        counts, labels, _ = drawn["confusion_figure", title]
        assert labels == FOUR
        np.testing.assert_array_equal(
            counts, confusion_matrix(answers.truth, answers.predicted, labels=range(len(FOUR)))
        )
        curves, areas, _ = drawn["threshold_figure", title]
        assert [curve.label for curve in curves] == list(FOUR)
        for index, (curve, told) in enumerate(zip(curves, areas, strict=True)):
            of_label, scores = answers.truth == index, answers.probabilities[:, index]
            roc, pr = roc_auc_score(of_label, scores), average_precision_score(of_label, scores)
            assert auc(curve.false_positive_rate, curve.true_positive_rate) == pytest.approx(roc)
            assert -np.diff(curve.recall) @ curve.precision[:-1] == pytest.approx(pr)
            assert [float(value) for value in re.findall(r"[\d.]+", told)] == same([roc, pr])
            assert curve.scans == of_label.sum()
        check_bins(drawn["reliability_figure", title][0], answers)


def test_the_curves_of_training_draw_the_rows_of_epochs(
    judged: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *given: Any, **how: Any) -> None:
        saved.append(figure)
        save(figure, *given, **how)

    monkeypatch.setattr(Figure, "savefig", keep)
    write_run_report(judged, RUN)
    (figure,) = [one for one in saved if one.axes[0].get_ylabel() == "loss, in nats"]
    with read_session(judged) as session:
        rows = session.scalars(select(Epoch).where(Epoch.run_id == RUN).order_by(Epoch.epoch)).all()
        sides = Counter(session.scalars(select(SnapshotScan.split)))
    best = rows[int(np.argmin([row.validation_loss for row in rows]))].epoch
    for axes, name in zip(figure.axes, ("loss", "accuracy"), strict=True):
        training, validation, kept, *phases = axes.get_lines()
        for line, side, column in (
            (training, "train", name),
            (validation, "validation", f"validation_{name}"),
        ):
            assert list(line.get_xdata()) == [row.epoch for row in rows]
            assert list(line.get_ydata()) == [getattr(row, column) for row in rows]
            told = "training" if side == "train" else side
            assert line.get_label() == f"{told}, {sides[side]:,} scans"
        assert (set(kept.get_xdata()), kept.get_label()) == ({best}, f"kept: epoch {best}")
        starts = [b.epoch - 0.5 for a, b in pairwise(rows) if a.phase != b.phase]
        assert [line.get_xdata()[0] for line in phases] == starts != []


def check_bins(bins: list[tuple[float, Evaluation]], answers: Answers) -> None:
    """Each bin holds what lies between its ends, and all of them together give the error."""
    confidence = answers.probabilities.max(axis=1).astype(np.float64)
    right = answers.probabilities.argmax(axis=1) == answers.truth
    error = 0.0
    for mean, row in bins:
        low = round(15 * float(row.slice.removeprefix("confidence=").split("-")[0]))
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        assert row.scans == inside.sum() > 0
        assert mean == pytest.approx(confidence[inside].mean())
        assert row.value == pytest.approx(right[inside].mean())
        error += row.scans / SCANS * abs(row.value - mean)
    assert sum(row.scans for _, row in bins) == SCANS
    probabilities = answers.probabilities.astype(np.float64)
    assert error == pytest.approx(calibration_error(answers.truth, probabilities))


def test_the_tables_of_data_and_leaks_count_the_rows(judged: Settings) -> None:
    with write_session(judged) as session:
        for number, scan in enumerate(session.scalars(select(SnapshotScan)).all()):
            scan.split = SIDES[(number % 7) // 3]
            scan.group_id = f"g{number // 4}"
            scan.masked = number % 5 < 2
    write_run_report(judged, RUN)
    shown = tables_of(page_of(judged))
    with read_session(judged) as session:
        scans = session.scalars(select(SnapshotScan)).all()
        leaks = session.scalars(select(Leak).where(Leak.run_id == RUN)).all()
    headings, *rows = shown["", "split"]
    assert headings == ["split", *FOUR, "all", "with a mask"]
    assert [row[0] for row in rows] == list(SIDES)
    for side, *cells in rows:
        on_side = [scan for scan in scans if scan.split == side]
        for labels, cell in zip([*([label] for label in FOUR), FOUR], cells[:-1], strict=True):
            there = [scan for scan in on_side if scan.label in labels]
            assert cell == f"{len(there)} {len({scan.group_id for scan in there})} groups"
        assert cells[-1] == str(sum(scan.masked for scan in on_side))
    headings, *rows = shown["", "twin in training"]
    assert headings == ["twin in training", *FOUR, "all"]
    for kind, *cells in rows:
        of_kind = [leak for leak in leaks if leak.kind.replace("_", " ") == kind]
        for labels, cell in zip([*([label] for label in FOUR), FOUR], cells, strict=True):
            assert cell == str(sum(leak.scans for leak in of_kind if leak.label in labels))
    assert {leak.kind.replace("_", " ") for leak in leaks} <= {row[0] for row in rows}
