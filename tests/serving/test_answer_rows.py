"""Answers that wait together may be of several models and moments, and are rows of their own."""

from __future__ import annotations

from sqlalchemy import select

from tests.factories.champions import SIDE, pictures
from tumorml.datasets.resize import fit_to_square
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Prediction
from tumorml.scans.images.decode import scan_id
from tumorml.serving.live_champions import Live
from tumorml.serving.predict_scans import Question, answer
from tumorml.serving.record_predictions import Record, record_answers
from tumorml.settings import Settings


def test_each_of_mixed_answers_is_a_row_with_its_own_model_moment_and_caller(
    settings: Settings, lives: tuple[Live, Live]
) -> None:
    questions = [
        Question(lives[n % 2], scan_id(pixels), fit_to_square(pixels, SIDE))
        for n, pixels in enumerate(pictures(4, seed=15))
    ]
    answers = answer(questions, confidence=0.9) + answer(questions, confidence=0.8)
    assert len({one.answered_at for one in answers}) == 4
    records = [Record(one, f"caller {n}") for n, one in enumerate(answers)]
    with write_session(settings) as session:
        record_answers(session, records, source="api")
    with read_session(settings) as session:
        rows = {row.caller: row for row in session.scalars(select(Prediction))}
    assert len(rows) == len(records)
    for record in records:
        row, one = rows[record.caller], record.answer
        assert row.model_version_id == one.live.model_version_id
        assert (row.scan_id, row.created_at) == (one.scan_id, one.answered_at)
        assert (row.label, row.probabilities) == (one.label, one.probabilities)
        assert (row.possible_labels, row.confidence) == (one.possible_labels, one.confidence)
        assert (row.distance, row.unlike) == (one.distance, one.unlike)
