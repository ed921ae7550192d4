"""Questions are answered together and in order, whatever happens to some."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from tumorml.serving.request_batcher import EndedError, RequestBatcher


def test_what_waits_is_answered_together_and_each_gets_its_own() -> None:
    held, sizes = threading.Event(), []

    def double(questions: Sequence[int]) -> list[int]:
        held.wait(10)
        sizes.append(len(questions))
        return [2 * question for question in questions]

    batches: RequestBatcher[int, int] = RequestBatcher("test", double, most=4)
    batches.start()
    futures = batches.ask([1])
    while len(batches):  # the first has been taken out, and is held
        pass
    futures += batches.ask([2, 3, 4]) + batches.ask([5, 6])
    held.set()
    assert [future.result(10) for future in futures] == [2, 4, 6, 8, 10, 12]
    assert sizes == [1, 4, 1]
    batches.stop(10)


def test_what_waits_at_the_end_is_answered_and_nothing_after_it() -> None:
    held = threading.Event()

    def hold(questions: Sequence[int]) -> list[int]:
        held.wait(10)
        return list(questions)

    batches: RequestBatcher[int, int] = RequestBatcher("test", hold, most=1)
    batches.start()
    futures = batches.ask([0, 1, 2])
    batches.stop(0.01)
    with pytest.raises(EndedError):
        batches.ask([3])
    held.set()
    assert [future.result(10) for future in futures] == [0, 1, 2]
    batches.stop(10)
    assert not batches.is_alive


def test_an_error_is_told_to_those_who_asked_and_the_next_are_answered() -> None:
    def fail_on_one(questions: Sequence[int]) -> list[int]:
        if 1 in questions:
            raise ValueError("one")
        return list(questions)

    batches: RequestBatcher[int, int] = RequestBatcher("test", fail_on_one, most=1)
    batches.start()
    bad, good = batches.ask([1, 2])
    with pytest.raises(ValueError, match="one"):
        bad.result(10)
    assert good.result(10) == 2
    batches.stop(10)


def test_answers_that_are_too_few_are_an_error_and_the_next_are_answered() -> None:
    def forget_one(questions: Sequence[int]) -> list[int]:
        return [question for question in questions if question != 1]

    batches: RequestBatcher[int, int] = RequestBatcher("test", forget_one, most=1)
    batches.start()
    bad, good = batches.ask([1, 2])
    with pytest.raises(ValueError, match="0 answers to 1 question"):
        bad.result(10)
    assert good.result(10) == 2
    batches.stop(10)
