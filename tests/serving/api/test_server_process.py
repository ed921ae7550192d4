"""The process `tumorml serve`: it logs no secrets, and a huge upload does not fill its memory."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import httpx
import pytest
from sqlalchemy import make_url

from tests.factories.predictions import one_image
from tests.factories.running_api import wait_until
from tumorml.results.session import reader_url, writer_url
from tumorml.serving.api.api_keys import add_key
from tumorml.settings import Settings

ENVIRONMENT_KEY = "the key from the environment"
UNKNOWN_KEY = "a key that does not exist"
PASSWORD = "the password of the database"
MEGABYTE = 1024**2
UPLOAD_BYTES = 200 * MEGABYTE


@dataclass(frozen=True)
class ServerProcess:
    """A running server: its URL, process id, output file and a writer's key."""

    url: str
    pid: int
    output: Path
    writer_key: str


@pytest.fixture
def server(settings: Settings, champion: str, tmp_path: Path) -> Iterator[ServerProcess]:
    writer_key = add_key(settings, "ann", "writer")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    digest = hashlib.sha256(ENVIRONMENT_KEY.encode()).hexdigest()
    environment = os.environ | {
        "TUMORML_HOME": str(settings.home),
        "TUMORML_DATABASE_URL": with_password(writer_url(settings)),
        "TUMORML_READER_DATABASE_URL": with_password(reader_url(settings)),
        "TUMORML_API_PORT": str(port),
        "TUMORML_API_KEYS": f"bob:reader:{digest}",
    }
    output = tmp_path / "output"
    with output.open("w") as file:
        command = [sys.executable, "-m", "tumorml.cli", "serve"]
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    url = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        assert process.poll() is None, output.read_text()
        try:
            return httpx.get(f"{url}/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(is_ready, seconds=120)
        yield ServerProcess(url, process.pid, output, writer_key)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def with_password(url: str) -> str:
    """Add a password to a database URL; the local Postgres accepts any."""
    return make_url(url).set(password=PASSWORD).render_as_string(hide_password=False)


def test_keys_and_passwords_are_not_logged(server: ServerProcess, settings: Settings) -> None:
    image = {"images": one_image()[0][1]}
    garbage = {"images": ("a.png", b"garbage")}
    for key, files, status in (
        (server.writer_key, image, 200),
        (server.writer_key, garbage, 422),
        (ENVIRONMENT_KEY, image, 403),
        (UNKNOWN_KEY, image, 401),
    ):
        headers = {"X-API-Key": key, "Authorization": f"Bearer {key}"}
        url = f"{server.url}/predict"
        response = httpx.post(url, files=files, headers=headers, timeout=60)
        assert response.status_code == status
        assert key not in response.text
        in_url = httpx.post(f"{url}?api_key={key}", files=files, headers=headers, timeout=60)
        assert in_url.status_code in (401, 403, 422)
    logged = server.output.read_text()
    logs = [path for path in settings.home.rglob("*.log*") if path.is_file()]
    logged += "".join(path.read_text(errors="replace") for path in logs)
    assert server.url in logged
    for secret in (server.writer_key, ENVIRONMENT_KEY, UNKNOWN_KEY, PASSWORD):
        assert secret not in logged


def test_upload_of_200_mb_gets_413_without_filling_memory(server: ServerProcess) -> None:
    headers = {"X-API-Key": server.writer_key}
    for announced in (True, False):
        before = peak_memory_bytes(server.pid)
        response = send_huge_upload(server, announced=announced)
        assert response.status == 413
        assert response.headers["content-type"] == "application/problem+json"
        assert "bytes" in response.read().decode()
        assert peak_memory_bytes(server.pid) - before < 40 * MEGABYTE
        url = f"{server.url}/predict"
        assert httpx.post(url, files=one_image(), headers=headers, timeout=60).status_code == 200


def send_huge_upload(server: ServerProcess, *, announced: bool) -> HTTPResponse:
    """Send a form with one image of 200 MB until the server closes the connection.

    Args:
        server: The server.
        announced: Send a Content-Length; otherwise the body is chunked.
    """
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    connection.putrequest("POST", "/predict")
    connection.putheader("X-API-Key", server.writer_key)
    connection.putheader("Content-Type", "multipart/form-data; boundary=b")
    if announced:
        connection.putheader("Content-Length", str(UPLOAD_BYTES))
    else:
        connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    head = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
    try:
        for start in range(0, UPLOAD_BYTES, MEGABYTE):
            part = (head if start == 0 else b"").ljust(MEGABYTE, b"\0")
            connection.send(part if announced else b"%x\r\n%s\r\n" % (len(part), part))
    except (BrokenPipeError, ConnectionResetError):
        pass
    return connection.getresponse()


def peak_memory_bytes(pid: int) -> int:
    """Return the peak resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
