"""Rows of predictions, written and read."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from sqlalchemy import func, select, update

from tests.factories.answers import FOUR, random_answers
from tests.factories.rows import model_row, run_row
from tumorml.evaluation.answers import Answers
from tumorml.evaluation.predictions import read_answers, write_predictions
from tumorml.labels import Task
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Prediction, Snapshot
from tumorml.settings import Settings


def write_answers(settings: Settings, answers: Answers) -> int:
    """Write answers of model ``m`` about the test scans of run ``r``."""
    with write_session(settings) as session:
        session.add(Snapshot(id="s", task="four_class", counts={}, held_out={}, object_key=""))
        session.flush()
        session.add(run_row("r", Task.FOUR_CLASS, "s", state="evaluated"))
        session.flush()
        session.add(model_row("m", "r", Task.FOUR_CLASS, labels=list(FOUR)))
        session.flush()
        return write_predictions(
            session,
            answers,
            task=Task.FOUR_CLASS,
            model_version_id="m",
            run_id="r",
            source="evaluation",
            created_at=datetime(2026, 5, 3, tzinfo=UTC),
        )


@pytest.mark.parametrize("scans", [5, 150])
def test_answers_are_read_as_written_ordered_by_scan(settings: Settings, scans: int) -> None:
    written = random_answers(3, scans)
    assert write_answers(settings, written) == scans
    with read_session(settings) as session:
        assert session.scalar(select(func.count()).select_from(Prediction)) == scans
        read = read_answers(session, "r", "m", FOUR)
        nothing = read_answers(session, "r", "another", FOUR)
    order = sorted(range(scans), key=lambda index: written.scan_ids[index])
    assert list(read.scan_ids) == [written.scan_ids[index] for index in order]
    np.testing.assert_array_equal(read.probabilities, written.probabilities[order])
    np.testing.assert_array_equal(read.predicted, written.predicted[order])
    np.testing.assert_array_equal(read.known_truth, written.known_truth[order])
    assert read.probabilities.dtype == np.float32
    assert list(nothing.scan_ids) == [] and nothing.probabilities.shape == (0, 4)


def test_unknown_label_is_refused(settings: Settings) -> None:
    write_answers(settings, random_answers(3, 5))
    with write_session(settings) as session:
        session.execute(update(Prediction).values(label="of another task"))
    with (
        read_session(settings) as session,
        pytest.raises(ValueError, match="an answer of m in run r has no known label"),
    ):
        read_answers(session, "r", "m", FOUR)
