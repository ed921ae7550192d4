"""The stack of docker-compose.yml as plain processes of this machine, without Docker.

`replicas` translates each service of the file into a process; this module starts, checks and kills
them. Images, networks, users and limits of the file are not tested here.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster.compose_file import read_env_file, resolve
from tests.cluster.replicas import Replica, Replicas, free_ports
from tests.cluster.stand_ins import STORE_PARTS
from tumorml.service.cluster.env_file import write_env_file
from tumorml.service.local.supervision.child_processes import (
    kill_session,
    log_tail,
    record_child,
    start_child,
)
from tumorml.settings import PROJECT_ROOT

LISTENING = {"postgres": 5432, "broker": 6379, "store": 8333}
LISTENING |= {"api-server": 8080, "api": 8081, "ui": 8082}
"""Each listening service and the port in its container; test_compose_file.py checks the ports."""

TINY_SETTINGS = {
    "TUMORML_DEFAULT_RECIPE": str(PROJECT_ROOT / "tests" / "dags" / "tiny.toml"),
    "TUMORML_PROMOTION_POLICY": str(PROJECT_ROOT / "tests" / "dags" / "lenient.toml"),
}
"""Settings of a stack that trains within seconds and promotes the result."""


class Cluster:
    """A stack whose services are started, killed and restarted by name.

    Args:
        folder: Empty folder for all files of the stack.
        settings: Content of `settings.env`.
        replicas: Number of replicas by service; 1 for services that are not in it.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, str], replicas: Mapping[str, int] | None = None
    ) -> None:
        folder.chmod(0o711)  # under root, Postgres runs as another user
        write_env_file(folder / ".env", gpu=False)
        (folder / "settings.env").write_text(
            "".join(f"{name}={value}\n" for name, value in settings.items())
        )
        self.folder = folder
        self.variables = read_env_file(folder / ".env")
        self.variables["SETTINGS_FILE"] = str(folder / "settings.env")
        ports = free_ports(len(LISTENING) + 2 * len(STORE_PARTS) - 1)
        self.ports = dict(zip(LISTENING, ports, strict=False))
        profiles = self.variables["COMPOSE_PROFILES"].split(",")
        self.services: dict[str, Any] = {
            name: service
            for name, service in resolve(self.variables)["services"].items()
            if not service.get("profiles") or set(service["profiles"]) & set(profiles)
        }
        self._factory = Replicas(
            folder, self.services, LISTENING, self.ports, ports[len(LISTENING) :]
        )
        self._count = dict(replicas or {})
        self._replicas: dict[str, Replica] = {}

    def up(self) -> None:
        """Start every service after the conditions of its `depends_on` are met."""
        waiting = dict(self.services)
        while waiting:
            ready = [
                name
                for name, service in waiting.items()
                if not set(service.get("depends_on", ())) & waiting.keys()
            ]
            assert ready, f"cyclic dependencies: {list(waiting)}"
            for name in ready:
                for needed, dependency in waiting.pop(name).get("depends_on", {}).items():
                    self._wait(needed, dependency["condition"])
                for replica in self.names(name):
                    self.start(replica)

    def down(self) -> None:
        """Kill all replicas."""
        for name in reversed(list(self._replicas)):
            self.kill(name)

    def names(self, service: str) -> list[str]:
        """Return the names of a service's replicas; a single one has the service's name."""
        count = self._count.get(service, 1)
        return [service] if count == 1 else [f"{service}-{n}" for n in range(1, count + 1)]

    def started(self) -> list[str]:
        """Return the replicas that were started at least once, in that order."""
        return list(self._replicas)

    def start(self, name: str) -> None:
        """Start a replica for the first time, or again after `kill`."""
        replica = self._replicas.get(name) or self._factory.replica(name)
        self._replicas[name] = replica
        replica.process = start_child(replica.command)
        replica.record = record_child(name, replica.process.pid)

    def kill(self, name: str) -> None:
        """Send SIGKILL to the replica and its descendants, as when its container is killed."""
        replica = self._replicas[name]
        if replica.record is not None:
            kill_session(replica.record, replica.process)
        replica.process = replica.record = None

    def is_healthy(self, name: str) -> bool:
        """Return whether the replica runs and passes its health check once."""
        replica = self._replicas[name]
        if replica.process is None or replica.process.poll() is not None:
            return False
        assert replica.health is not None, f"{name} has no health check"
        check = subprocess.run(
            replica.health,
            env=dict(replica.command.environment),
            cwd=PROJECT_ROOT,
            capture_output=True,
            timeout=90,
        )
        return check.returncode == 0

    def wait_until_healthy(self, name: str, timeout_seconds: float = 180.0) -> None:
        """Wait for `is_healthy`.

        Raises:
            AssertionError: The replica ended, or the time is over; with the end of its log.
        """
        deadline = time.monotonic() + timeout_seconds
        while not self.is_healthy(name):
            assert self.is_running(name), f"{name} ended:\n{self.log(name)}"
            assert time.monotonic() < deadline, f"{name} is not healthy:\n{self.log(name)}"
            time.sleep(1)

    def wait_until_done(self, name: str, timeout_seconds: float = 300.0) -> None:
        """Wait for a replica that ends by itself.

        Raises:
            AssertionError: It failed; with the end of its log.
        """
        process = self._replicas[name].process
        assert process is not None
        assert process.wait(timeout=timeout_seconds) == 0, self.log(name)

    def is_running(self, name: str) -> bool:
        """Return whether the replica's process is alive."""
        process = self._replicas[name].process
        return process is not None and process.poll() is None

    def is_killed(self, name: str) -> bool:
        """Return whether the replica was killed and not restarted."""
        return self._replicas[name].process is None

    def restart_policy(self, name: str) -> str:
        """Return the `restart` entry of the replica's service."""
        return str(self.services[self._factory.service_of(name)].get("restart", "no"))

    def log(self, name: str, lines: int = 40) -> str:
        """Return the last lines of a replica's log."""
        return log_tail(self._replicas[name].command.log_path, lines)

    def environment(self, service: str) -> dict[str, str]:
        """Return the environment of a process of the service's first replica."""
        name = self.names(service)[0]
        replica = self._replicas.get(name) or self._factory.replica(name)
        return dict(replica.command.environment)

    def address(self, service: str) -> str:
        """Return the HTTP root URL of a service."""
        return f"http://127.0.0.1:{self.ports[service]}"

    def _wait(self, service: str, condition: str) -> None:
        for name in self.names(service):
            if condition == "service_completed_successfully":
                self.wait_until_done(name)
            else:
                assert condition == "service_healthy", condition
                self.wait_until_healthy(name)


@contextmanager
def running_cluster(settings: Mapping[str, str], replicas: Mapping[str, int]) -> Iterator[Cluster]:
    """Run a stack until the block ends; its folder is kept if the block fails."""
    # Under root, Postgres runs as another user, who has no access to pytest's own folders.
    folder = Path(tempfile.mkdtemp(prefix="tumorml-cluster-"))
    cluster = Cluster(folder, settings, replicas)
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()
    shutil.rmtree(folder)
