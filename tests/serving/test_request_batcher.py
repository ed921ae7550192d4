"""Items are processed in batches and in order, even if some batches fail."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from tumorml.serving.request_batcher import BatcherStoppedError, RequestBatcher


def test_queued_items_share_a_batch_and_get_their_own_result() -> None:
    release, sizes = threading.Event(), []

    def double(items: Sequence[int]) -> list[int]:
        release.wait(10)
        sizes.append(len(items))
        return [2 * item for item in items]

    batcher: RequestBatcher[int, int] = RequestBatcher("test", double, max_batch_size=4)
    batcher.start()
    futures = batcher.submit([1])
    while len(batcher):  # until the thread has taken the first item and waits for the release
        pass
    futures += batcher.submit([2, 3, 4]) + batcher.submit([5, 6])
    release.set()
    assert [future.result(10) for future in futures] == [2, 4, 6, 8, 10, 12]
    assert sizes == [1, 4, 1]
    batcher.stop(10)


def test_stopped_batcher_finishes_queue_and_refuses_new_items() -> None:
    release = threading.Event()

    def wait(items: Sequence[int]) -> list[int]:
        release.wait(10)
        return list(items)

    batcher: RequestBatcher[int, int] = RequestBatcher("test", wait, max_batch_size=1)
    batcher.start()
    futures = batcher.submit([0, 1, 2])
    batcher.stop(0.01)
    with pytest.raises(BatcherStoppedError):
        batcher.submit([3])
    release.set()
    assert [future.result(10) for future in futures] == [0, 1, 2]
    batcher.stop(10)
    assert not batcher.is_alive


def test_error_is_raised_to_its_batch_and_the_next_is_processed() -> None:
    def fail_on_one(items: Sequence[int]) -> list[int]:
        if 1 in items:
            raise ValueError("one")
        return list(items)

    batcher: RequestBatcher[int, int] = RequestBatcher("test", fail_on_one, max_batch_size=1)
    batcher.start()
    bad, good = batcher.submit([1, 2])
    with pytest.raises(ValueError, match="one"):
        bad.result(10)
    assert good.result(10) == 2
    batcher.stop(10)


def test_missing_result_is_an_error_of_its_batch_only() -> None:
    def forget_one(items: Sequence[int]) -> list[int]:
        return [item for item in items if item != 1]

    batcher: RequestBatcher[int, int] = RequestBatcher("test", forget_one, max_batch_size=1)
    batcher.start()
    bad, good = batcher.submit([1, 2])
    with pytest.raises(ValueError, match="0 results for 1 items"):
        bad.result(10)
    assert good.result(10) == 2
    batcher.stop(10)
