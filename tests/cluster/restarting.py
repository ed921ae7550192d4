"""`restart: unless-stopped`, which Docker would see to: what ends is started again."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import TracebackType

from tests.cluster.processes import Cluster

_LONGEST_PAUSE_SECONDS = 60.0
_SETTLED_SECONDS = 10.0


class Restarting:
    """Starts a stack's replicas again while the block lasts.

    As Docker does: at once, then after a pause that doubles up to a minute, and is short again
    once the replica has run for ten seconds. What `down` took away stays away until `up`.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.restarts: Counter[str] = Counter()
        """How often each replica was started again."""
        self._cluster = cluster
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._pauses: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._started: dict[str, float] = {}
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Restarting:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def down(self, name: str) -> None:
        """SIGKILL for a replica, that stays down, as when its machine is gone."""
        with self._lock:
            self._cluster.kill(name)
            self._due.pop(name, None)

    def up(self, name: str) -> None:
        """Start what `down` took away."""
        with self._lock:
            self._start(name)

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            with self._lock:
                for name in self._cluster.started():
                    if self._cluster.restart_policy(name) == "unless-stopped":
                        self._look_at(name)

    def _look_at(self, name: str) -> None:
        if self._cluster.is_killed(name) or self._cluster.is_running(name):
            return
        now = time.monotonic()
        if name not in self._due:
            settled = now - self._started.get(name, 0.0) > _SETTLED_SECONDS
            pause = 0.1 if settled else min(2 * self._pauses[name], _LONGEST_PAUSE_SECONDS)
            self._pauses[name], self._due[name] = pause, now + pause
        if now >= self._due[name]:
            self._cluster.kill(name)  # what it left running goes with its container
            self._start(name)
            self.restarts[name] += 1

    def _start(self, name: str) -> None:
        self._due.pop(name, None)
        self._started[name] = time.monotonic()
        self._cluster.start(name)
