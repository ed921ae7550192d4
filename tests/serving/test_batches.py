"""Questions are answered together, in order, and no more wait than may."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from tumorml.serving.batches import Batches, QueueFullError


def test_what_waits_is_answered_together_and_each_gets_its_own() -> None:
    held, sizes = threading.Event(), []

    def double(questions: Sequence[int]) -> list[int]:
        held.wait(10)
        sizes.append(len(questions))
        return [2 * question for question in questions]

    batches: Batches[int, int] = Batches("test", double, most=4, limit=100)
    batches.start()
    futures = batches.ask([1])
    while len(batches):  # the first has been taken out, and is held
        pass
    futures += batches.ask([2, 3, 4]) + batches.ask([5, 6])
    held.set()
    assert [future.result(10) for future in futures] == [2, 4, 6, 8, 10, 12]
    assert sizes == [1, 4, 1]
    batches.stop()


def test_all_of_a_request_wait_or_none() -> None:
    held = threading.Event()

    def hold(questions: Sequence[int]) -> list[int]:
        held.wait(10)
        return list(questions)

    batches: Batches[int, int] = Batches("test", hold, most=1, limit=3)
    batches.start()
    futures = batches.ask([0])
    while len(batches):
        pass
    futures += batches.ask([1, 2])
    with pytest.raises(QueueFullError):
        batches.ask([3, 4])
    futures += batches.ask([5])
    held.set()
    assert [future.result(10) for future in futures] == [0, 1, 2, 5]
    batches.stop()
    with pytest.raises(QueueFullError):
        batches.ask([6])


def test_an_error_is_told_to_those_who_asked_and_the_next_are_answered() -> None:
    def fail_on_one(questions: Sequence[int]) -> list[int]:
        if 1 in questions:
            raise ValueError("one")
        return list(questions)

    batches: Batches[int, int] = Batches("test", fail_on_one, most=1, limit=10)
    batches.start()
    bad, good = batches.ask([1, 2])
    with pytest.raises(ValueError, match="one"):
        bad.result(10)
    assert good.result(10) == 2
    batches.stop()
