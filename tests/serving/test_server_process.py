"""The API as `tumorml serve` runs it: what it prints, and bodies that no memory should hold."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import httpx
import pytest
from sqlalchemy import make_url

from tests.factories.champions import pictures
from tumorml.results.session import reader_url, writer_url
from tumorml.scans.images.decode import encode_png
from tumorml.serving.api.api_keys import add_key
from tumorml.settings import Settings

FROM_ENVIRONMENT = "the key that the environment gives"
PASSWORD = "the password of the database"
MEGABYTE = 1024**2
TOO_LONG = 200 * MEGABYTE


@dataclass(frozen=True)
class Served:
    """A server, what it printed so far, and who may ask it."""

    address: str
    pid: int
    printed: Path
    writer: str


@pytest.fixture
def served(settings: Settings, champion: str, tmp_path: Path) -> Iterator[Served]:
    writer = add_key(settings, "ann", "writer")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    digest = hashlib.sha256(FROM_ENVIRONMENT.encode()).hexdigest()
    environment = os.environ | {
        "TUMORML_HOME": str(settings.home),
        "TUMORML_DATABASE_URL": with_password(writer_url(settings)),
        "TUMORML_READER_DATABASE_URL": with_password(reader_url(settings)),
        "TUMORML_API_PORT": str(port),
        "TUMORML_API_KEYS": f"bob:reader:{digest}",
    }
    printed = tmp_path / "printed"
    with printed.open("w") as file:
        command = [sys.executable, "-m", "tumorml.cli", "serve"]
        server = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 60
        while not is_ready(address):
            assert server.poll() is None, printed.read_text()
            assert time.monotonic() < until
            time.sleep(0.2)
        yield Served(address, server.pid, printed, writer)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def with_password(url: str) -> str:
    """The local Postgres asks for none, so that any will do."""
    return make_url(url).set(password=PASSWORD).render_as_string(hide_password=False)


def is_ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_no_key_and_no_password_is_printed_or_logged(served: Served, settings: Settings) -> None:
    image = {"images": ("a.png", encode_png(pictures(1)[0]))}
    bad = {"images": ("a.png", b"garbage")}
    for key, sent, status in (
        (served.writer, image, 200),
        (served.writer, bad, 422),
        (FROM_ENVIRONMENT, image, 403),
        ("a key that nobody gave", image, 401),
    ):
        headers = {"X-API-Key": key, "Authorization": f"Bearer {key}"}
        answer = httpx.post(f"{served.address}/predict", files=sent, headers=headers, timeout=60)
        assert answer.status_code == status
        assert key not in answer.text
        in_url = httpx.post(
            f"{served.address}/predict?api_key={key}", files=sent, headers=headers, timeout=60
        )
        assert in_url.status_code in (401, 403, 422)
    told = served.printed.read_text()
    logs = [path for path in settings.home.rglob("*.log*") if path.is_file()]
    told += "".join(path.read_text(errors="replace") for path in logs)
    assert "the API answers at" in told
    for secret in (served.writer, FROM_ENVIRONMENT, "a key that nobody gave", PASSWORD):
        assert secret not in told


@pytest.mark.parametrize("announced", [True, False])
def test_two_hundred_megabytes_are_sent_away_without_being_held(
    served: Served, announced: bool
) -> None:
    before = memory(served.pid)
    answer = send(served, announced)
    assert answer.status == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert "bytes" in answer.read().decode()
    assert memory(served.pid) - before < 40 * MEGABYTE
    image = {"images": ("a.png", encode_png(pictures(1)[0]))}
    key = {"X-API-Key": served.writer}
    again = httpx.post(f"{served.address}/predict", files=image, headers=key, timeout=60)
    assert again.status_code == 200


def send(served: Served, announced: bool) -> HTTPResponse:
    """A form with one image of 200 MB; sending ends where the server hangs up."""
    connection = HTTPConnection(served.address.removeprefix("http://"), timeout=60)
    connection.putrequest("POST", "/predict")
    connection.putheader("X-API-Key", served.writer)
    connection.putheader("Content-Type", "multipart/form-data; boundary=b")
    how = ("Content-Length", str(TOO_LONG)) if announced else ("Transfer-Encoding", "chunked")
    connection.putheader(*how)
    connection.endheaders()
    head = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
    try:
        for start in range(0, TOO_LONG, MEGABYTE):
            part = (head if start == 0 else b"").ljust(MEGABYTE, b"\0")
            connection.send(part if announced else b"%x\r\n%s\r\n" % (len(part), part))
    except (BrokenPipeError, ConnectionResetError):
        pass
    return connection.getresponse()


def memory(pid: int) -> int:
    """The most that a process has held at once, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
