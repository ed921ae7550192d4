"""Outages of an S3 store."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.factories.http_servers import serving
from tests.factories.s3_server import S3Server
from tumorml.errors import (
    StoreUnreachableError,
)
from tumorml.objects import ObjectStore, object_store, s3, s3_bucket
from tumorml.settings import Settings


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "PART_BYTES", 5 * 1024**2)  # the minimum of S3
    monkeypatch.setattr(s3_bucket, "_MAX_PAUSE_SECONDS", 0.5)


def write(store: ObjectStore, folder: Path) -> None:
    store.write("new", b"x" * 100)


def write_in_parts(store: ObjectStore, folder: Path) -> None:
    (folder / "large").write_bytes(bytes(3 * s3.PART_BYTES))
    store.write_file("large", folder / "large")


def read(store: ObjectStore, folder: Path) -> None:
    assert store.read("kept") == b"kept"


def open_large(store: ObjectStore, folder: Path) -> None:
    with store.open("kept-large") as stream:
        assert len(stream.read()) == 3 * s3.PART_BYTES


def list_all(store: ObjectStore, folder: Path) -> None:
    assert "kept" in [stored.key.rpartition("/")[2] for stored in store.list("all")]


def test_every_call_waits_for_the_end_of_an_outage(
    own_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not caplog: an earlier test in this process may have disabled this logger.
    warned: list[str] = []
    monkeypatch.setattr(s3_bucket.log, "warning", lambda text, *_: warned.append(text))
    store = object_store(own_server.settings(Settings(home=tmp_path / "home"), "mine"))
    (tmp_path / "kept-large").write_bytes(bytes(3 * s3.PART_BYTES))
    store.write_file("kept-large", tmp_path / "kept-large")
    for key in ("kept", "all/kept"):
        store.write(key, b"kept")
    own_server.kill()
    calls: list[Callable[[ObjectStore, Path], None]]
    calls = [write, write_in_parts, read, open_large, list_all]
    with ThreadPoolExecutor(len(calls)) as pool:
        running = [pool.submit(call, store, tmp_path) for call in calls]
        time.sleep(2)
        assert not any(call.done() for call in running)
        own_server.start()
        for call in running:
            call.result(timeout=30)
    assert store.read("new") == b"x" * 100
    assert len(store.read("large")) == 3 * s3.PART_BYTES
    assert any("is not available" in text for text in warned)


def test_outage_during_upload_repeats_one_part(own_server: S3Server, tmp_path: Path) -> None:
    store = object_store(own_server.settings(Settings(home=tmp_path / "home"), "mine"))
    sent: list[int] = []

    def watch(operation: str, purpose: str, **parameters: object) -> object:
        if operation == "upload_part":
            sent.append(int(str(parameters["PartNumber"])))
            if sent == [1, 2]:
                own_server.kill()
                restart.start()
        return send(operation, purpose, **parameters)

    restart = threading.Timer(2, own_server.start)
    send = store._bucket.request  # type: ignore[attr-defined]
    store._bucket.request = watch  # type: ignore[attr-defined]
    write_in_parts(store, tmp_path)
    restart.join()
    assert sent == [1, 2, 3]
    assert store.read("large") == bytes(3 * s3.PART_BYTES)


@pytest.mark.slow
def test_outage_of_30_seconds_is_survived(own_server: S3Server, tmp_path: Path) -> None:
    settings = own_server.settings(Settings(home=tmp_path / "home"), "mine")
    patience = Settings.model_fields["object_store_patience_seconds"].default
    store = object_store(settings.model_copy(update={"object_store_patience_seconds": patience}))
    store.write("kept", b"kept")
    for interrupt, restore in (
        (own_server.kill, own_server.start),
        (own_server.freeze, own_server.thaw),
    ):
        interrupt()
        later = threading.Timer(30, restore)
        later.start()
        started = time.monotonic()
        read(store, tmp_path)
        later.join()
        assert time.monotonic() - started > 29


def test_unreachable_store_error_names_endpoint_setting(
    s3_server: S3Server, tmp_path: Path
) -> None:
    for endpoint in ("http://127.0.0.1:9", "http://no-such-host.invalid:8333"):
        settings = Settings(
            home=tmp_path,
            object_store_url="s3://bucket",
            s3_endpoint_url=endpoint,
            object_store_patience_seconds=0.5,
        )
        with pytest.raises(StoreUnreachableError, match="TUMORML_S3_ENDPOINT_URL") as caught:
            object_store(settings).read("a")
        assert endpoint in str(caught.value)


def test_bytes_corrupted_in_transit_are_sent_again(
    bucket: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    store = object_store(bucket)
    corrupted: list[str] = []

    class CorruptingProxy(BaseHTTPRequestHandler):
        """A proxy that changes one byte of the first body in each direction."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._forward()

        def do_PUT(self) -> None:
            self._forward()

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.command == "PUT" and "PUT" not in corrupted:
                corrupted.append("PUT")
                body = body.replace(b"precious", b"precioux")
            host = str(bucket.s3_endpoint_url).removeprefix("http://")
            connection = HTTPConnection(host)
            headers = {k: v for k, v in self.headers.items() if k != "Expect"}
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            data = response.read()
            if self.command == "GET" and "GET" not in corrupted:
                corrupted.append("GET")
                data = data.replace(b"precious", b"precioux")
            self.send_response(response.status)
            for name, value in response.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
            connection.close()

    with serving(CorruptingProxy) as url:
        bad = object_store(bucket.model_copy(update={"s3_endpoint_url": url}))
        caplog.set_level(logging.INFO)
        bad.write("a", b"precious")
        assert store.read("a") == b"precious"
        assert bad.read("a") == b"precious"
    assert corrupted == ["PUT", "GET"]
