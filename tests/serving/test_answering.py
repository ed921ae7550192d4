"""Questions that wait together may be of several models, as in the moment of a promotion."""

from __future__ import annotations

import numpy as np

from tests.factories.champions import SIDE, Made, pictures
from tumorml.datasets.resize import fit_to_square
from tumorml.scans.images.decode import scan_id
from tumorml.serving.live_champions import Live
from tumorml.serving.predict_scans import Question, answer


def test_each_question_of_a_mixed_batch_is_answered_by_the_model_it_asks(
    lives: tuple[Live, Live], made: Made, made_later: Made
) -> None:
    scans = pictures(6, seed=14)
    squares = np.stack([fit_to_square(pixels, SIDE) for pixels in scans])
    expected = np.stack([model.predictor.predict(squares) for model in (made, made_later)])
    assert np.abs(expected[0] - expected[1]).max(axis=1).min() > 0.01
    asked = [0, 1, 1, 0, 1, 0]
    questions = [
        Question(lives[model], scan_id(pixels), square)
        for model, pixels, square in zip(asked, scans, squares, strict=True)
    ]
    answers = answer(questions, confidence=0.9)
    for number, (model, question, one) in enumerate(zip(asked, questions, answers, strict=True)):
        assert (one.live, one.scan_id) == (lives[model], question.scan_id)
        probabilities = expected[model, number]
        np.testing.assert_allclose(
            [one.probabilities[label] for label in made.predictor.labels], probabilities, atol=1e-4
        )
        assert one.label == made.predictor.labels[probabilities.argmax()]
