"""The stack of docker-compose.yml as plain processes of this machine, for want of Docker.

Commands, environments, dependencies and health checks are read from the file. What is rewritten,
because all containers share one network and one file system here:

- a host and port that a container listens on (`postgres:5432`, `127.0.0.1:8080`) becomes a free
  port of 127.0.0.1, and so does what the services listen on themselves;
- `HOSTNAME` is the replica's name, which Docker would set;
- a volume is a folder: one at the home of tumorml is its TUMORML_HOME, one below it a link there;
  of a service with many replicas each has a home of its own, as on a host of its own;
- programs are those of this virtual environment, which all of the images are parts of;
- Postgres, Valkey and the S3 store are those of `stand_ins`, and so are their health checks.

Images, networks, users and limits are not there: nothing here says that they are right.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import stand_ins
from tests.cluster.compose_file import read_env_file, resolve
from tumorml.service.cluster.env_file import write_env_file
from tumorml.service.local.supervision.child_processes import (
    ChildCommand,
    ChildRecord,
    kill_session,
    log_tail,
    record_child,
    start_child,
)
from tumorml.settings import PROJECT_ROOT

CONTAINER_HOME = "/var/lib/tumorml"
LISTENING = {"postgres": 5432, "broker": 6379, "store": 8333}
LISTENING |= {"api-server": 8080, "api": 8081, "ui": 8082}
"""Each service that listens, and the port in its container; the test of the file holds it right."""


@dataclass
class Replica:
    """One process that stands for a container."""

    command: ChildCommand
    health: Sequence[str] | None
    process: subprocess.Popen[bytes] | None = None
    record: ChildRecord | None = None


class Cluster:
    """A stack; its services are started, killed and started again by name.

    Args:
        folder: An empty folder for everything that it keeps.
        settings: What a group would write into `settings.env`.
        replicas: How often a service runs, where that is not once.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, str], replicas: Mapping[str, int] | None = None
    ) -> None:
        folder.chmod(0o711)  # Postgres runs as another user under root
        write_env_file(folder / ".env", gpu=False)
        (folder / "settings.env").write_text(
            "".join(f"{name}={value}\n" for name, value in settings.items())
        )
        self.folder = folder
        self.variables = read_env_file(folder / ".env")
        self.variables["SETTINGS_FILE"] = str(folder / "settings.env")
        ports = _free_ports(len(LISTENING) + 2 * len(stand_ins.STORE_PARTS) - 1)
        self.ports = dict(zip(LISTENING, ports, strict=False))
        self._store_ports = ports[len(LISTENING) :]
        profiles = self.variables["COMPOSE_PROFILES"].split(",")
        self.services: dict[str, Any] = {
            name: service
            for name, service in resolve(self.variables)["services"].items()
            if not service.get("profiles") or set(service["profiles"]) & set(profiles)
        }
        self._count = dict(replicas or {})
        self._replicas: dict[str, Replica] = {}

    def up(self) -> None:
        """Start every service when what it depends on is as the file asks."""
        waiting = dict(self.services)
        while waiting:
            ready = [
                name
                for name, service in waiting.items()
                if not set(service.get("depends_on", ())) & waiting.keys()
            ]
            assert ready, f"they wait for one another: {list(waiting)}"
            for name in ready:
                for needed, how in waiting.pop(name).get("depends_on", {}).items():
                    self._wait(needed, how["condition"])
                for replica in self.names(name):
                    self.start(replica)

    def down(self) -> None:
        """Kill what runs."""
        for name in reversed(list(self._replicas)):
            self.kill(name)

    def names(self, service: str) -> list[str]:
        """The replicas of a service; a service of one is called like it."""
        count = self._count.get(service, 1)
        return [service] if count == 1 else [f"{service}-{n}" for n in range(1, count + 1)]

    def started(self) -> list[str]:
        """The replicas that were ever started, in that order."""
        return list(self._replicas)

    def start(self, name: str) -> None:
        """Start a replica, for the first time or again after a `kill`."""
        replica = self._replicas.get(name) or self._made(name)
        self._replicas[name] = replica
        replica.process = start_child(replica.command)
        replica.record = record_child(name, replica.process.pid)

    def kill(self, name: str) -> None:
        """SIGKILL for the replica and all that it started, as when its container is killed."""
        replica = self._replicas[name]
        if replica.record is not None:
            kill_session(replica.record, replica.process)
        replica.process = replica.record = None

    def is_healthy(self, name: str) -> bool:
        """Whether the replica runs and its health check, run once, says that it is well."""
        replica = self._replicas[name]
        if replica.process is None or replica.process.poll() is not None:
            return False
        assert replica.health is not None, f"{name} has no health check"
        checked = subprocess.run(
            replica.health,
            env=dict(replica.command.environment),
            cwd=PROJECT_ROOT,
            capture_output=True,
            timeout=90,
        )
        return checked.returncode == 0

    def wait_until_healthy(self, name: str, patience_seconds: float = 180.0) -> None:
        """Wait for `is_healthy`.

        Raises:
            AssertionError: It ended, or the patience did; with the end of its log.
        """
        until = time.monotonic() + patience_seconds
        while not self.is_healthy(name):
            assert self.runs(name), f"{name} ended:\n{self.log(name)}"
            assert time.monotonic() < until, f"{name} is not healthy:\n{self.log(name)}"
            time.sleep(1)

    def wait_until_done(self, name: str, patience_seconds: float = 300.0) -> None:
        """Wait for a replica that ends by itself.

        Raises:
            AssertionError: It failed; with the end of its log.
        """
        process = self._replicas[name].process
        assert process is not None
        assert process.wait(timeout=patience_seconds) == 0, self.log(name)

    def runs(self, name: str) -> bool:
        """Whether its process lives."""
        process = self._replicas[name].process
        return process is not None and process.poll() is None

    def is_away(self, name: str) -> bool:
        """Whether it was killed and not started again."""
        return self._replicas[name].process is None

    def policy(self, name: str) -> str:
        """What the file says is to be done when it ends."""
        return str(self.services[self._service(name)].get("restart", "no"))

    def log(self, name: str, lines: int = 40) -> str:
        """The end of what it said."""
        return log_tail(self._replicas[name].command.log_path, lines)

    def environment(self, service: str) -> dict[str, str]:
        """What a process in a container of the service finds in its environment."""
        name = self.names(service)[0]
        replica = self._replicas.get(name) or self._made(name)
        return dict(replica.command.environment)

    def address(self, service: str) -> str:
        """Where a service answers over HTTP."""
        return f"http://127.0.0.1:{self.ports[service]}"

    def _service(self, name: str) -> str:
        return name if name in self.services else name.rpartition("-")[0]

    def _wait(self, service: str, condition: str) -> None:
        for name in self.names(service):
            if condition == "service_completed_successfully":
                self.wait_until_done(name)
            else:
                assert condition == "service_healthy", condition
                self.wait_until_healthy(name)

    def _made(self, name: str) -> Replica:
        service = self._service(name)
        described = self.services[service]
        environment = self._environment(service, name)
        folder = self.folder / "volumes" / service
        command, health = described.get("command"), None
        user = None
        if service in ("postgres", "broker", "store"):
            stand_in = self._stand_in(service, command, environment, folder)
            command, health, user = stand_in.command, stand_in.health, stand_in.user
        elif "healthcheck" in described:
            health = _shell_or_not(self._here(described["healthcheck"]["test"]))
        if user:
            command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
        return Replica(
            ChildCommand(
                name=name,
                arguments=command,
                environment=environment,
                folder=Path("/") if user else PROJECT_ROOT,
                log_path=self.folder / "logs" / f"{name}.log",
            ),
            health,
        )

    def _stand_in(
        self, service: str, command: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> stand_ins.StandIn:
        port = self.ports[service]
        if service == "postgres":
            return stand_ins.postgres(environment, folder, port)
        if service == "broker":
            return stand_ins.broker(command, environment, folder, port)
        return stand_ins.store(command, environment, folder, [port, *self._store_ports])

    def _environment(self, service: str, name: str) -> dict[str, str]:
        described = self.services[service]
        given: dict[str, str] = {}
        for file in described.get("env_file", ()):
            given |= read_env_file(Path(file["path"]))
        given |= {key: str(value) for key, value in described.get("environment", {}).items()}
        environment = {key: self._here(value) for key, value in given.items()}
        # The hosts' names where no port follows them, and addresses that others could reach.
        for key, value in environment.items():
            if value in ("0.0.0.0", *LISTENING):
                environment[key] = "127.0.0.1"
        environment["NO_PROXY"] = "127.0.0.1"
        return environment | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "HOSTNAME": name,
            "TUMORML_HOME": str(self._home(described, name)),
            "TUMORML_AIRFLOW_PORT": str(self.ports["api-server"]),
            "TUMORML_API_PORT": str(self.ports["api"]),
            "TUMORML_UI_PORT": str(self.ports["ui"]),
        }

    def _home(self, described: Mapping[str, Any], name: str) -> Path:
        mounts = dict(text.split(":")[1::-1] for text in described.get("volumes", ()))
        volume = mounts.pop(CONTAINER_HOME, None)
        if volume and name not in self.services:
            volume = f"{volume}-{name.rpartition('-')[2]}"
        home = self.folder / ("volumes" if volume else "containers") / (volume or name)
        home.mkdir(parents=True, exist_ok=True)
        for target, source in mounts.items():
            if target.startswith(CONTAINER_HOME):
                kept, link = (
                    self.folder / "volumes" / source,
                    home / target[len(CONTAINER_HOME) + 1 :],
                )
                kept.mkdir(parents=True, exist_ok=True)
                link.parent.mkdir(parents=True, exist_ok=True)
                if not link.is_symlink():
                    link.symlink_to(kept)
        return home

    def _here(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._here(one) for one in value]
        for service, port in LISTENING.items():
            mine = f"127.0.0.1:{self.ports[service]}"
            value = re.sub(rf"\b({service}|127\.0\.0\.1):{port}\b", mine, value)
        return value


def _shell_or_not(test: Sequence[str]) -> list[str]:
    return ["sh", "-c", test[1]] if test[0] == "CMD-SHELL" else list(test[1:])


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@contextmanager
def running_cluster(settings: Mapping[str, str], replicas: Mapping[str, int]) -> Iterator[Cluster]:
    """A stack from when all of it is up until the block ends; its folder stays where that fails."""
    # Not below pytest's own folder: it is closed to the user that Postgres runs as under root.
    folder = Path(tempfile.mkdtemp(prefix="tumorml-cluster-"))
    cluster = Cluster(folder, settings, replicas)
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()
    shutil.rmtree(folder)
