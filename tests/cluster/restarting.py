"""The restart policy `unless-stopped` of Docker: ended replicas are restarted."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import TracebackType

from tests.cluster.processes import Cluster

_LONGEST_PAUSE_SECONDS = 60.0
_SETTLED_SECONDS = 10.0


class Restarting:
    """Restarts a stack's ended replicas until the block ends.

    Like Docker: the first restart follows at once, the next after a pause that doubles up to a
    minute; the pause is short again after a replica has run for ten seconds. A replica that `down`
    killed is not restarted until `up`.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.restarts: Counter[str] = Counter()
        """Number of restarts of each replica."""
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
        """Kill a replica and keep it down, as when its machine fails."""
        with self._lock:
            self._cluster.kill(name)
            self._due.pop(name, None)

    def up(self, name: str) -> None:
        """Start a replica that `down` killed."""
        with self._lock:
            self._start(name)

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            with self._lock:
                for name in self._cluster.started():
                    if self._cluster.restart_policy(name) == "unless-stopped":
                        self._restart_if_ended(name)

    def _restart_if_ended(self, name: str) -> None:
        if self._cluster.is_killed(name) or self._cluster.is_running(name):
            return
        now = time.monotonic()
        if name not in self._due:
            settled = now - self._started.get(name, 0.0) > _SETTLED_SECONDS
            pause = 0.1 if settled else min(2 * self._pauses[name], _LONGEST_PAUSE_SECONDS)
            self._pauses[name], self._due[name] = pause, now + pause
        if now >= self._due[name]:
            self._cluster.kill(name)  # its descendants end with its container
            self._start(name)
            self.restarts[name] += 1

    def _start(self, name: str) -> None:
        self._due.pop(name, None)
        self._started[name] = time.monotonic()
        self._cluster.start(name)
