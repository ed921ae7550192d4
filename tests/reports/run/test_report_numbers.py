"""Every number in the tables of a report is recomputed from the rows by independent code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from tests.factories.answers import FOUR, random_answers, scikit_learn_metrics
from tests.factories.reports import CHALLENGER, CHAMPION, RUN, judged_run
from tests.factories.written_reports import answers_in_rows, report_page, tables_of
from tumorml.datasets.grouping.sides import SIDES
from tumorml.evaluation.measures import LABEL_METRICS, OVERALL_METRICS
from tumorml.evaluation.metrics import SLICE_METRICS, score
from tumorml.reports.facts.heatmap_claims import MAP_NAMES
from tumorml.reports.facts.numbers import METRIC_NAMES
from tumorml.reports.facts.run_facts import LOCALIZATION_METRICS
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Evaluation, Leak, SnapshotScan
from tumorml.settings import Settings

SCANS = 300
SITE_A = np.arange(SCANS) % 3 == 0
CONTENDERS = (("challenger", CHALLENGER), ("champion", CHAMPION))
Tables = dict[tuple[str, str], list[list[str]]]


@pytest.fixture(scope="module")
def judged(module_settings: Settings) -> Settings:
    """A judged challenger with a champion, two slices, and masks."""
    judged_run(
        module_settings,
        random_answers(3, SCANS),
        random_answers(4, SCANS),
        pointing=(0.8, 0.7, 0.9),
        slices={"site=a": SITE_A, "site=b": ~SITE_A},
    )
    return module_settings


@pytest.fixture(scope="module")
def shown(judged: Settings) -> Tables:
    """The tables of its report."""
    return tables_of(report_page(judged))


@dataclass(frozen=True)
class Cell:
    """A value and its interval."""

    value: Any
    low: Any
    high: Any

    @staticmethod
    def parse(text: str) -> Cell:
        return Cell(*map(float, re.findall(r"[\d.]+", text)))


def rounded(value: object) -> Any:
    """Equal to a number that was rounded to three decimals."""
    return pytest.approx(value, abs=0.00051)


def test_metrics_and_label_tables_agree_with_scikit_learn(judged: Settings, shown: Tables) -> None:
    (_, *headings), *rows = shown["", "metric"]
    assert headings == [f"{role}\n{model}" for role, model in CONTENDERS]
    overall = {row[0]: row[1:] for row in rows}
    assert set(overall) == {*(METRIC_NAMES[name] for name in OVERALL_METRICS), "test scans"}
    for column, (role, model) in enumerate(CONTENDERS):
        answers = answers_in_rows(judged, model)
        expected = scikit_learn_metrics(answers, np.arange(SCANS))
        recomputed = score(answers, answers.scan_ids, resamples=100)
        intervals = {(one.metric, one.slice): (one.low, one.high) for one in recomputed}
        assert overall["test scans"][column] == str(SCANS)
        for name in OVERALL_METRICS:
            cell = Cell.parse(overall[METRIC_NAMES[name]][column])
            assert cell.value == rounded(expected[name])
            assert (cell.low, cell.high) == rounded(intervals[name, "all"])

        headings, *by_label = shown[f"{role} {model}", "label"]
        assert headings == ["label", "scans", *(METRIC_NAMES[name] for name in LABEL_METRICS)]
        assert [row[0] for row in by_label] == list(FOUR)
        for index, (label, scans, *cells) in enumerate(by_label):
            assert int(scans) == (answers.known_truth == index).sum()
            for name, text in zip(LABEL_METRICS, cells, strict=True):
                cell = Cell.parse(text)
                assert cell.value == rounded(expected[name][index])
                assert (cell.low, cell.high) == rounded(intervals[name, f"label={label}"])


def test_slices_table_agrees_with_scikit_learn(judged: Settings, shown: Tables) -> None:
    for role, model in CONTENDERS:
        _, *rows = shown[f"{role} {model}", "slice"]
        assert [row[0] for row in rows] == ["site=a", "site=b"]
        answers = answers_in_rows(judged, model)
        site_a = np.array([int(scan.removeprefix("scan-")) % 3 == 0 for scan in answers.scan_ids])
        for (_, scans, *cells), chosen in zip(rows, (site_a, ~site_a), strict=True):
            assert int(scans) == chosen.sum()
            expected = scikit_learn_metrics(answers, np.flatnonzero(chosen))
            for name, text in zip(SLICE_METRICS, cells, strict=True):
                assert Cell.parse(text).value == rounded(expected[name])


def test_localization_table_agrees_with_the_rows(judged: Settings, shown: Tables) -> None:
    headings, *rows = shown["", "heatmap metric"]
    assert headings == ["heatmap metric", *MAP_NAMES.values()]
    assert [row[0] for row in rows] == [METRIC_NAMES[name] for name in LOCALIZATION_METRICS]
    with read_session(judged) as session:
        challenger = Evaluation.run_id == RUN, Evaluation.model_version_id == CHALLENGER
        stored = {row.metric: row for row in session.scalars(select(Evaluation).where(*challenger))}
    for name, (_, *cells) in zip(LOCALIZATION_METRICS, rows, strict=True):
        for suffix, text in zip(("", "_fixed_pixel", "_centred_blob"), cells, strict=True):
            row = stored[name + suffix]
            assert Cell.parse(text) == Cell(*map(rounded, (row.value, row.low, row.high)))


def test_data_and_leak_tables_count_the_rows(settings: Settings) -> None:
    judged_run(settings, random_answers(3, SCANS))
    with write_session(settings) as session:
        for number, scan in enumerate(session.scalars(select(SnapshotScan)).all()):
            scan.split = SIDES[(number % 7) // 3]
            scan.group_id = f"g{number // 4}"
            scan.masked = number % 5 < 2
    shown = tables_of(report_page(settings))
    with read_session(settings) as session:
        scans = session.scalars(select(SnapshotScan)).all()
        leaks = session.scalars(select(Leak).where(Leak.run_id == RUN)).all()
    label_sets = [*([label] for label in FOUR), list(FOUR)]
    headings, *rows = shown["", "split"]
    assert headings == ["split", *FOUR, "all", "with a mask"]
    assert [row[0] for row in rows] == list(SIDES)
    for side, *cells in rows:
        on_side = [scan for scan in scans if scan.split == side]
        for labels, text in zip(label_sets, cells[:-1], strict=True):
            chosen = [scan for scan in on_side if scan.label in labels]
            assert text == f"{len(chosen)} {len({scan.group_id for scan in chosen})} groups"
        assert cells[-1] == str(sum(scan.masked for scan in on_side))
    headings, *rows = shown["", "twin in training"]
    assert headings == ["twin in training", *FOUR, "all"]
    for kind, *cells in rows:
        of_kind = [leak for leak in leaks if leak.kind.replace("_", " ") == kind]
        for labels, text in zip(label_sets, cells, strict=True):
            assert text == str(sum(leak.scans for leak in of_kind if leak.label in labels))
    assert {leak.kind.replace("_", " ") for leak in leaks} <= {row[0] for row in rows}
