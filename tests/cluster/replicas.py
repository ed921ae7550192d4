"""Translate services of docker-compose.yml into processes of this machine.

Commands, environments, volumes and health checks are those of the file. All containers share one
network and one file system here, so these parts are rewritten:

- the host and port of a listening container (`postgres:5432`, `127.0.0.1:8080`) become a free port
  of 127.0.0.1, in the service itself and in the services that connect to it;
- `HOSTNAME`, which Docker would set, is the replica's name;
- volumes are folders: the one mounted at tumorml's home is TUMORML_HOME, one mounted below it is a
  link there; each replica of a service with several has its own home, as on separate hosts;
- programs are those of this virtual environment, which has the packages of all images;
- Postgres, Valkey and the S3 store are those of `stand_ins`, with their own health checks.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import stand_ins
from tests.cluster.compose_file import read_env_file
from tumorml.service.local.supervision.child_processes import ChildCommand, ChildRecord
from tumorml.settings import PROJECT_ROOT

CONTAINER_HOME = "/var/lib/tumorml"


@dataclass
class Replica:
    """A process in place of a container."""

    command: ChildCommand
    health: Sequence[str] | None
    process: subprocess.Popen[bytes] | None = None
    record: ChildRecord | None = None


class Replicas:
    """Makes the replicas of a stack.

    Args:
        folder: Folder of the stack.
        services: Resolved services of the compose file by name.
        container_ports: Port in the container of each listening service.
        ports: Port on this machine of each listening service.
        store_ports: Further ports of the S3 store.
    """

    def __init__(
        self,
        folder: Path,
        services: Mapping[str, Any],
        container_ports: Mapping[str, int],
        ports: Mapping[str, int],
        store_ports: Sequence[int],
    ) -> None:
        self._folder = folder
        self._services = services
        self._container_ports = container_ports
        self._ports = ports
        self._store_ports = store_ports

    def service_of(self, name: str) -> str:
        """Return the service of a replica: `worker-2` belongs to `worker`."""
        return name if name in self._services else name.rpartition("-")[0]

    def replica(self, name: str) -> Replica:
        """Make a replica that is not started yet."""
        service = self.service_of(name)
        definition = self._services[service]
        environment = self._environment(service, name)
        folder = self._folder / "volumes" / service
        command, health = definition.get("command"), None
        user = None
        if service in ("postgres", "broker", "store"):
            stand_in = self._stand_in(service, command, environment, folder)
            command, health, user = stand_in.command, stand_in.health, stand_in.user
        elif "healthcheck" in definition:
            health = _health_command(self._with_local_addresses(definition["healthcheck"]["test"]))
        if user:
            command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
        return Replica(
            ChildCommand(
                name=name,
                arguments=command,
                environment=environment,
                folder=Path("/") if user else PROJECT_ROOT,
                log_path=self._folder / "logs" / f"{name}.log",
            ),
            health,
        )

    def _stand_in(
        self, service: str, command: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> stand_ins.StandIn:
        port = self._ports[service]
        if service == "postgres":
            return stand_ins.postgres(environment, folder, port)
        if service == "broker":
            return stand_ins.broker(command, environment, folder, port)
        return stand_ins.store(command, environment, folder, [port, *self._store_ports])

    def _environment(self, service: str, name: str) -> dict[str, str]:
        definition = self._services[service]
        defined: dict[str, str] = {}
        for file in definition.get("env_file", ()):
            defined |= read_env_file(Path(file["path"]))
        defined |= {key: str(value) for key, value in definition.get("environment", {}).items()}
        environment = {key: self._with_local_addresses(value) for key, value in defined.items()}
        # Values that are only a host name or a bind address have no port to be replaced above.
        for key, value in environment.items():
            if value in ("0.0.0.0", *self._container_ports):
                environment[key] = "127.0.0.1"
        environment["NO_PROXY"] = "127.0.0.1"
        return environment | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self._folder),
            "HOSTNAME": name,
            "TUMORML_HOME": str(self._home(definition, name)),
            "TUMORML_AIRFLOW_PORT": str(self._ports["api-server"]),
            "TUMORML_API_PORT": str(self._ports["api"]),
            "TUMORML_UI_PORT": str(self._ports["ui"]),
        }

    def _home(self, definition: Mapping[str, Any], name: str) -> Path:
        mounts = dict(text.split(":")[1::-1] for text in definition.get("volumes", ()))
        volume = mounts.pop(CONTAINER_HOME, None)
        if volume and name not in self._services:
            volume = f"{volume}-{name.rpartition('-')[2]}"
        home = self._folder / ("volumes" if volume else "containers") / (volume or name)
        home.mkdir(parents=True, exist_ok=True)
        for target, source in mounts.items():
            if target.startswith(CONTAINER_HOME):
                volume_folder = self._folder / "volumes" / source
                link = home / target[len(CONTAINER_HOME) + 1 :]
                volume_folder.mkdir(parents=True, exist_ok=True)
                link.parent.mkdir(parents=True, exist_ok=True)
                if not link.is_symlink():
                    link.symlink_to(volume_folder)
        return home

    def _with_local_addresses(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._with_local_addresses(item) for item in value]
        for service, port in self._container_ports.items():
            local = f"127.0.0.1:{self._ports[service]}"
            value = re.sub(rf"\b({service}|127\.0\.0\.1):{port}\b", local, value)
        return value


def _health_command(test: Sequence[str]) -> list[str]:
    return ["sh", "-c", test[1]] if test[0] == "CMD-SHELL" else list(test[1:])


def free_ports(count: int) -> list[int]:
    """Return free TCP ports of 127.0.0.1."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
