"""A supervisor that keeps a few child processes running and stops all of them within seconds."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tumorml.errors import TumorMLError
from tumorml.service.local.supervision.child_processes import (
    ChildCommand,
    ChildRecord,
    kill_session,
    log_tail,
    record_child,
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

    Use from one thread: `start`, then `watch` about once a second, then `stop`. The other children
    depend on the first one (the API server): it starts first and stops last.

    Args:
        commands: Commands of the children.
        record_path: File that records the running children; `kill_leftovers` reads it after this
            process was killed.
        report: Called with one sentence for each event that a user should see.
    """

    def __init__(
        self, commands: Sequence[ChildCommand], record_path: Path, report: Callable[[str], None]
    ) -> None:
        self._children = [_Child(command) for command in commands]
        self._record_path = record_path
        self._report = report

    def start(self, *names: str) -> None:
        """Start the children with these names, or all children."""
        for child in self._children:
            if not names or child.command.name in names:
                self._start(child)

    def pids(self) -> dict[str, int]:
        """Return the pid of each running child by name."""
        return {
            child.command.name: child.process.pid
            for child in self._children
            if child.process is not None and child.process.poll() is None
        }

    def watch(self) -> None:
        """Report children that have ended, and restart children whose pause is over.

        Raises:
            TumorMLError: A vital child ended more than `CRASHES_ALLOWED` times within
                `CRASH_WINDOW_SECONDS`; the message has the last lines and the path of its log.
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
        """Send SIGTERM to every child, then SIGKILL to those still alive after the grace time.

        Only the child gets SIGTERM, not its descendants, so that a task that finishes within the
        grace time still reports its result to the API server.

        Args:
            grace_seconds: Grace time for all children together.
            urgent: Polled about 20 times a second; True kills at once.
        """
        deadline = time.monotonic() + grace_seconds
        # The other children depend on the first one, so it is stopped last, within the last second.
        self._end(self._children[1:], deadline - min(1.0, grace_seconds / 4), urgent)
        self._end(self._children[:1], deadline, urgent)
        self._record_path.unlink(missing_ok=True)

    def _start(self, child: _Child) -> None:
        child.restart_at = None
        child.process = start_child(child.command)
        child.record = record_child(child.command.name, child.process.pid)
        records = [other.record for other in self._children if other.record is not None]
        write_records(self._record_path, records)

    def _on_end(self, child: _Child, code: int, now: float) -> None:
        name = child.command.name
        if child.record is not None:
            # Descendants must end, too: workers of a killed scheduler would run beside new ones.
            kill_session(child.record, child.process)
        child.crashes.append(now)
        while child.crashes and now - child.crashes[0] > CRASH_WINDOW_SECONDS:
            child.crashes.popleft()
        ending = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        if child.command.vital and len(child.crashes) > CRASHES_ALLOWED:
            raise TumorMLError(
                f"The {name} {ending}, {len(child.crashes)} crashes within "
                f"{CRASH_WINDOW_SECONDS:.0f} seconds. The last lines of its log:\n"
                f"{log_tail(child.command.log_path)}\nComplete log: {child.command.log_path}"
            )
        wait = min(_FIRST_BACKOFF_SECONDS * 2 ** (len(child.crashes) - 1), _LONGEST_BACKOFF_SECONDS)
        child.restart_at = now + wait
        self._report(f"The {name} {ending}; restart in {wait:.0f} s. Log: {child.command.log_path}")

    @staticmethod
    def _end(children: Sequence[_Child], deadline: float, urgent: Callable[[], bool]) -> None:
        signaled_at = time.monotonic()
        for child in children:
            if child.process is not None and _is_running(child):
                child.process.send_signal(signal.SIGTERM)
        waiting = list(children)
        while waiting:
            now = time.monotonic()
            kill_all = now >= deadline or urgent()
            for child in list(waiting):
                is_late = now - signaled_at >= child.command.grace_seconds
                if kill_all or is_late or not _is_running(child):
                    waiting.remove(child)
                    if child.record is not None:
                        kill_session(child.record, child.process)
                    child.process = child.record = child.restart_at = None
            time.sleep(0.05)


def _is_running(child: _Child) -> bool:
    return child.process is not None and child.process.poll() is None
