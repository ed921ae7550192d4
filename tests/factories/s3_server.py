"""A real S3 server for tests: one process of SeaweedFS with its data in a folder."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import s3fs
from botocore.exceptions import BotoCoreError

from tumorml.settings import Settings

BUCKET = "tumorml"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "writer", "AWS_SECRET_ACCESS_KEY": "writers-secret"}
READER = {"AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": "readers-secret"}
_PORTS = ("master", "volume", "filer", "admin")


class S3Server:
    """A server that can be killed and restarted with its data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._ports = _free_ports(2 * len(_PORTS) + 2)
        (folder / "objects").mkdir(parents=True)
        identities = [
            _identity(CREDENTIALS, ["Admin", "Read", "List", "Write"]),
            _identity(READER, [f"Read:{BUCKET}", f"List:{BUCKET}"]),
        ]
        (folder / "s3.json").write_text(json.dumps({"identities": identities}))

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self._ports[0]}"

    def start(self) -> None:
        ports = [f"-s3.port={self._ports[0]}", f"-s3.port.grpc={self._ports[1]}"]
        for index, name in enumerate(_PORTS, 1):
            http, grpc = self._ports[2 * index : 2 * index + 2]
            ports += [f"-{name}.port={http}", f"-{name}.port.grpc={grpc}"]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    Path(sys.executable).parent / "weed",
                    "mini",
                    f"-dir={self._folder / 'objects'}",
                    "-ip=127.0.0.1",
                    "-ip.bind=127.0.0.1",
                    "-admin.ui=false",
                    "-webdav=false",
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    f"-s3.localSocket={self._folder / 's3.sock'}",
                    f"-filer.localSocket={self._folder / 'filer.sock'}",
                    f"-s3.config={self._folder / 's3.json'}",
                    f"-bucket={BUCKET}",
                    *ports,
                ],
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + 60
        key, secret = CREDENTIALS.values()
        client = s3fs.S3FileSystem(
            key=key, secret=secret, endpoint_url=self.endpoint_url, skip_instance_cache=True
        )
        while time.monotonic() < until:
            assert self._process is not None
            assert self._process.poll() is None, (self._folder / "server.log").read_text()
            try:
                client.call_s3("head_bucket", Bucket=BUCKET)
                return
            except (OSError, BotoCoreError):
                time.sleep(0.05)
        raise TimeoutError((self._folder / "server.log").read_text())

    def kill(self) -> None:
        """Kill the server with SIGKILL."""
        self._signal(signal.SIGKILL)

    def freeze(self) -> None:
        """Pause the server: it accepts connections, but does not answer."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait()

    def settings(self, settings: Settings, prefix: str) -> Settings:
        """The same settings with a prefix of the bucket as object store."""
        return settings.model_copy(
            update={
                "object_store_url": f"s3://{BUCKET}/{prefix}",
                "s3_endpoint_url": self.endpoint_url,
                "object_store_patience_seconds": 30.0,
            }
        )


def environment(settings: Settings) -> dict[str, str]:
    """The environment variables for another process with these settings."""
    values = settings.model_dump(exclude_unset=True, exclude_none=True)
    variables = {f"TUMORML_{name.upper()}": str(value) for name, value in values.items()}
    return {**os.environ, **variables}


def _identity(credentials: Mapping[str, str], actions: list[str]) -> dict[str, object]:
    key, secret = credentials.values()
    pairs = [{"accessKey": key, "secretKey": secret}]
    return {"name": key, "credentials": pairs, "actions": actions}


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
