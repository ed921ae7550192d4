"""Keeps a few child processes running, and ends them all, quickly, whatever they are doing."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tumorml.errors import TumorMLError
from tumorml.service.local.child_processes import (
    ChildCommand,
    ChildRecord,
    kill_family,
    last_lines,
    record_of,
    start_child,
    write_records,
)

CRASHES_ALLOWED = 4
CRASH_WINDOW_SECONDS = 60.0
GRACE_SECONDS = 8.0
_FIRST_BACKOFF_SECONDS = 1.0
_LONGEST_BACKOFF_SECONDS = 15.0


@dataclass
class _Child:
    command: ChildCommand
    process: subprocess.Popen[bytes] | None = None
    record: ChildRecord | None = None
    restart_at: float | None = None
    crashes: deque[float] = field(default_factory=deque)


class Supervisor:
    """Starts children, restarts those that end, and stops all of them.

    Use from one thread: `start`, then `watch` about once a second, then `stop`. The first of the
    commands is what the others lean on (the API server): it is started first and stopped last.

    Args:
        commands: What to run.
        record_path: Where the children are remembered for `kill_leftovers`, should this process
            be killed itself.
        report: Called with one sentence whenever something happens that a user should see.
    """

    def __init__(
        self, commands: Sequence[ChildCommand], record_path: Path, report: Callable[[str], None]
    ) -> None:
        self._children = [_Child(command) for command in commands]
        self._record_path = record_path
        self._report = report

    def start(self, *names: str) -> None:
        """Start the children of these names, or all of them."""
        for child in self._children:
            if not names or child.command.name in names:
                self._start(child)

    def pids(self) -> dict[str, int]:
        """Pid of each child that runs now, by name."""
        return {
            child.command.name: child.process.pid
            for child in self._children
            if child.process is not None and child.process.poll() is None
        }

    def watch(self) -> None:
        """Look at each child once: report what ended, start again what is due.

        Raises:
            TumorMLError: A vital child ended more than `CRASHES_ALLOWED` times within
                `CRASH_WINDOW_SECONDS`; the message has its last lines and its log's path.
        """
        now = time.monotonic()
        for child in self._children:
            if child.restart_at is not None:
                if now >= child.restart_at:
                    self._start(child)
            elif child.process is not None and (code := child.process.poll()) is not None:
                self._on_end(child, code, now)

    def stop(
        self, grace_seconds: float = GRACE_SECONDS, urgent: Callable[[], bool] = lambda: False
    ) -> None:
        """Ask every child to end, kill what has not within `grace_seconds`, and forget them.

        Only the child itself is asked; what it started is left to it, so that a task that ends
        by itself within the grace still reports its outcome to the API server.

        Args:
            grace_seconds: Time for all children together.
            urgent: Asked ten times a second; true kills at once.
        """
        deadline = time.monotonic() + grace_seconds
        # The last second of the grace is for the child that the others lean on.
        self._end(self._children[1:], deadline - min(1.0, grace_seconds / 4), urgent)
        self._end(self._children[:1], deadline, urgent)
        self._record_path.unlink(missing_ok=True)

    def _start(self, child: _Child) -> None:
        child.restart_at = None
        child.process = start_child(child.command)
        child.record = record_of(child.command.name, child.process.pid)
        records = [other.record for other in self._children if other.record is not None]
        write_records(self._record_path, records)

    def _on_end(self, child: _Child, code: int, now: float) -> None:
        name = child.command.name
        if child.record is not None:
            # Workers of a killed scheduler would go on without one; the new one brings its own.
            kill_family(child.record, child.process)
        child.crashes.append(now)
        while child.crashes and now - child.crashes[0] > CRASH_WINDOW_SECONDS:
            child.crashes.popleft()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit status {code}"
        if child.command.vital and len(child.crashes) > CRASHES_ALLOWED:
            raise TumorMLError(
                f"The {name} {how}, for the {len(child.crashes)}th time within "
                f"{CRASH_WINDOW_SECONDS:.0f} seconds. Its last lines:\n"
                f"{last_lines(child.command.log_path)}\nThe whole log: {child.command.log_path}"
            )
        wait = min(_FIRST_BACKOFF_SECONDS * 2 ** (len(child.crashes) - 1), _LONGEST_BACKOFF_SECONDS)
        child.restart_at = now + wait
        self._report(
            f"The {name} {how}; starting it again in {wait:.0f} s. Log: {child.command.log_path}"
        )

    @staticmethod
    def _end(children: Sequence[_Child], deadline: float, urgent: Callable[[], bool]) -> None:
        asked_at = time.monotonic()
        for child in children:
            if child.process is not None and _runs(child):
                child.process.send_signal(signal.SIGTERM)
        waiting = list(children)
        while waiting:
            now = time.monotonic()
            late = now >= deadline or urgent()
            for child in list(waiting):
                if late or not _runs(child) or now - asked_at >= child.command.grace_seconds:
                    waiting.remove(child)
                    if child.record is not None:
                        kill_family(child.record, child.process)
                    child.process = child.record = child.restart_at = None
            time.sleep(0.05)


def _runs(child: _Child) -> bool:
    return child.process is not None and child.process.poll() is None
