"""Batching of concurrent requests: one thread processes all queued items, batch by batch."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class BatcherStoppedError(Exception):
    """The batcher was stopped and accepts no more items."""


class RequestBatcher(Generic[Item, Result]):
    """Processes items in batches, one batch at a time, in its own thread.

    A batch holds the items that were queued while the previous batch was processed. The thread
    never waits for a batch to fill.

    Args:
        name: Name of the thread.
        process: Maps items to results, in the same order. An exception is set on the future of
            every item of the batch.
        max_batch_size: Maximum number of items in a batch.
    """

    def __init__(
        self,
        name: str,
        process: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        max_batch_size: int,
    ) -> None:
        self._process = process
        self._max_batch_size = max_batch_size
        self._queue: deque[tuple[Item, Future[Result]]] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Stop the thread after it has processed the queue; return after the timeout at the latest.

        The thread keeps on processing the queue if the timeout passes first.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout_seconds)

    @property
    def is_alive(self) -> bool:
        """True while the thread runs."""
        return self._thread.is_alive()

    def __len__(self) -> int:
        """Return the number of queued items."""
        return len(self._queue)

    def submit(self, items: Sequence[Item]) -> list[Future[Result]]:
        """Queue items; return a future for each.

        Raises:
            BatcherStoppedError: `stop` was called before.
        """
        futures: list[Future[Result]] = [Future() for _ in items]
        with self._changed:
            if self._stopping:
                raise BatcherStoppedError
            self._queue.extend(zip(items, futures, strict=True))
            self._changed.notify()
        return futures

    def _run(self) -> None:
        while batch := self._next_batch():
            pending = [pair for pair in batch if pair[1].set_running_or_notify_cancel()]
            if not pending:
                continue
            try:
                results = self._process([item for item, _ in pending])
                if len(results) != len(pending):
                    raise ValueError(f"{len(results)} results for {len(pending)} items")
            except Exception as error:  # raised to the callers by their futures
                for _, future in pending:
                    future.set_exception(error)
                continue
            for (_, future), result in zip(pending, results, strict=True):
                future.set_result(result)

    def _next_batch(self) -> list[tuple[Item, Future[Result]]]:
        """Wait for items; return an empty list when the batcher is stopped and the queue empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._stopping)
            size = min(self._max_batch_size, len(self._queue))
            return [self._queue.popleft() for _ in range(size)]
