"""Many callers, one network: scans that wait are answered, and written down, a batch at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class EndedError(Exception):
    """Nobody answers any more."""


class RequestBatcher(Generic[Question, Answer]):
    """Answers questions in batches, one batch at a time, in a thread of its own.

    A batch is whatever waits when the one before is done, so that nobody waits for company.

    Args:
        answer: From questions to their answers, in the same order. What it raises is raised to
            everybody in the batch.
        most: Of one batch.
    """

    def __init__(
        self,
        name: str,
        answer: Callable[[Sequence[Question]], Sequence[Answer]],
        *,
        most: int,
    ) -> None:
        self._answer = answer
        self._most = most
        self._waiting: deque[tuple[Question, Future[Answer]]] = deque()
        self._changed = threading.Condition()
        self._ends = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Answer what waits, then end; after the timeout, leave it."""
        with self._changed:
            self._ends = True
            self._changed.notify()
        self._thread.join(timeout_seconds)

    @property
    def is_alive(self) -> bool:
        """Whether somebody answers."""
        return self._thread.is_alive()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def ask(self, questions: Sequence[Question]) -> list[Future[Answer]]:
        """Let questions wait for their answers.

        Raises:
            EndedError: Nobody answers any more.
        """
        futures: list[Future[Answer]] = [Future() for _ in questions]
        with self._changed:
            if self._ends:
                raise EndedError
            self._waiting.extend(zip(questions, futures, strict=True))
            self._changed.notify()
        return futures

    def _work(self) -> None:
        while batch := self._next():
            wanted = [pair for pair in batch if pair[1].set_running_or_notify_cancel()]
            if not wanted:
                continue
            try:
                answers = self._answer([question for question, _ in wanted])
                if len(answers) != len(wanted):
                    raise ValueError(f"{len(answers)} answers to {len(wanted)} questions")
            except Exception as error:  # told to whoever asked
                for _, future in wanted:
                    future.set_exception(error)
                continue
            for (_, future), answer in zip(wanted, answers, strict=True):
                future.set_result(answer)

    def _next(self) -> list[tuple[Question, Future[Answer]]]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ends)
            return [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
