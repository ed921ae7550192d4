"""What only a store behind a network meets: outages, wrong settings, many pages, bad wires."""

from __future__ import annotations

import logging
import socketserver
import threading
import time
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from itertools import islice
from pathlib import Path

import pytest

from tests.factories.s3_server import READER, S3Server
from tumorml.errors import (
    MissingObjectError,
    StoreRefusedError,
    StoreUnreachableError,
    TumorMLError,
)
from tumorml.objects import ObjectStore, object_store, s3, s3_bucket
from tumorml.objects.ranged_file import BLOCK_BYTES
from tumorml.objects.s3 import S3Objects
from tumorml.objects.s3_bucket import Bucket
from tumorml.scans.inbox.drops import waiting_drops
from tumorml.settings import Settings


@pytest.fixture
def bucket(s3_server: S3Server, tmp_path: Path) -> Settings:
    return s3_server.settings(Settings(home=tmp_path / "home"), uuid.uuid4().hex)


@pytest.fixture
def own_server(s3_server: S3Server, tmp_path: Path) -> Iterator[S3Server]:
    """A server that may be killed; the credentials are those of the common one."""
    server = S3Server(tmp_path / "own")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def fresh_clients() -> Iterator[None]:
    """Let clients take their credentials anew, and forget them again."""
    s3_bucket.connection.cache_clear()
    yield
    s3_bucket.connection.cache_clear()


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "PART_BYTES", 5 * 1024**2)  # the least that S3 allows
    monkeypatch.setattr(s3_bucket, "_LONGEST_PAUSE_SECONDS", 0.5)


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


def test_an_object_that_is_written_anew_is_not_read_as_one(bucket: Settings) -> None:
    store = object_store(bucket)
    store.write("changed", bytes(3 * BLOCK_BYTES))
    with store.open("changed") as stream:
        stream.read(10)
        store.write("changed", b"x" * 3 * BLOCK_BYTES)
        assert stream.read(10) == bytes(10)  # of the block that was fetched
        with pytest.raises(MissingObjectError, match="written anew while it was read"):
            stream.read()


def test_what_was_written_outlives_a_kill_of_the_server_and_every_call_an_outage(
    own_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not by caplog: whoever configured logging before in this process may have silenced it.
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
    assert any("has trouble" in text for text in warned)


def test_an_outage_in_the_middle_of_a_file_costs_one_part(
    own_server: S3Server, tmp_path: Path
) -> None:
    store = object_store(own_server.settings(Settings(home=tmp_path / "home"), "mine"))
    sent: list[int] = []

    def watch(operation: str, what: str, **request: object) -> object:
        if operation == "upload_part":
            sent.append(int(str(request["PartNumber"])))
            if sent == [1, 2]:
                own_server.kill()
                restart.start()
        return ask(operation, what, **request)

    restart = threading.Timer(2, own_server.start)
    ask = store._bucket.ask  # type: ignore[attr-defined]
    store._bucket.ask = watch  # type: ignore[attr-defined]
    write_in_parts(store, tmp_path)
    restart.join()
    assert sent == [1, 2, 3]
    assert store.read("large") == bytes(3 * s3.PART_BYTES)


@pytest.mark.slow
def test_an_outage_of_half_a_minute_is_survived(own_server: S3Server, tmp_path: Path) -> None:
    settings = own_server.settings(Settings(home=tmp_path / "home"), "mine")
    patience = Settings.model_fields["object_store_patience_seconds"].default
    store = object_store(settings.model_copy(update={"object_store_patience_seconds": patience}))
    store.write("kept", b"kept")
    for stop, go_on in (
        (own_server.kill, own_server.start),
        (own_server.freeze, own_server.thaw),
    ):
        stop()
        later = threading.Timer(30, go_on)
        later.start()
        started = time.monotonic()
        read(store, tmp_path)
        later.join()
        assert time.monotonic() - started > 29


def test_a_store_that_stays_away_is_told_with_the_setting(
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


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"s3_endpoint_url": "not a url"}, "TUMORML_S3_ENDPOINT_URL"),
        ({"object_store_url": "s3://"}, "TUMORML_OBJECT_STORE_URL"),
        ({"object_store_url": "s3://no-such-bucket"}, "TUMORML_OBJECT_STORE_URL"),
    ],
)
def test_a_wrong_setting_is_named(bucket: Settings, wrong: dict[str, str], named: str) -> None:
    with pytest.raises(TumorMLError, match=named):
        list(object_store(bucket.model_copy(update=wrong)).list("a"))


def test_a_server_that_does_not_speak_s3_is_told(bucket: Settings) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<!doctype html>welcome")

    with serving(Page) as url:
        wrong = {"s3_endpoint_url": url, "object_store_patience_seconds": 0.0}
        with pytest.raises(TumorMLError, match="TUMORML_S3_ENDPOINT_URL"):
            list(object_store(bucket.model_copy(update=wrong)).list("a"))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (READER, "does not let the key in AWS_ACCESS_KEY_ID write s3://"),
    ],
)
@pytest.mark.usefixtures("fresh_clients")
def test_wrong_credentials_are_told_with_the_variables(
    bucket: Settings, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str], named: str
) -> None:
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreRefusedError, match=named):
        object_store(bucket).write("a", b"x")


@pytest.mark.usefixtures("fresh_clients")
def test_no_credentials_are_told_with_the_variables(
    bucket: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(TumorMLError, match="there are none: set AWS_ACCESS_KEY_ID"):
        object_store(bucket).read("a")


def paged(settings: Settings, size: int) -> tuple[S3Objects, list[int]]:
    """A store with small pages, and the number of keys of each page that was asked for."""
    store = object_store(settings)
    assert isinstance(store, S3Objects)
    store._page_size = size
    pages: list[int] = []
    ask = store._bucket.ask

    def count(operation: str, what: str, **request: object) -> dict[str, list[object]]:
        answer = ask(operation, what, **request)
        if operation == "list_objects_v2":
            pages.append(len(answer.get("Contents", [])))
        return answer

    store._bucket.ask = count  # type: ignore[method-assign]
    return store, pages


def test_a_listing_asks_for_a_page_only_when_it_is_needed(bucket: Settings) -> None:
    store, pages = paged(bucket, 7)
    written = {f"a/{number % 3}/{number:03d}" for number in range(30)}
    for key in written:
        store.write(key, b"x")
    listing = store.list("a")
    assert len(list(islice(listing, 7))) == 7
    assert pages == [7]
    assert len([*listing]) == 23
    assert pages == [7, 7, 7, 7, 2]
    assert {stored.key for stored in store.list("a")} == written


def test_a_look_at_the_inbox_is_one_listing_and_sees_what_is_new(
    bucket: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = object_store(bucket)
    asked: list[str] = []
    ask = Bucket.ask

    def count(self: Bucket, operation: str, what: str, **request: object) -> object:
        asked.append(operation)
        return ask(self, operation, what, **request)

    monkeypatch.setattr(Bucket, "ask", count)
    for number in range(3):
        store.write(f"inbox/mine/{number}.png", b"x")
        store.write(f"inbox/one-{number}.png", b"x")
        asked.clear()
        (mine,) = (drop for drop in waiting_drops(bucket) if drop.name == "mine")
        assert mine.files == number + 1
        assert asked == ["list_objects_v2"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_keys_are_listed_in_bounded_memory(bucket: Settings) -> None:
    store, pages = paged(bucket, 1000)
    with ThreadPoolExecutor(16) as pool:
        for _ in pool.map(
            lambda number: store.write(f"a/{number % 97:02d}/{number:06d}.png", b"x"),
            range(100_000),
        ):
            pass
    pages.clear()
    tracemalloc.start()
    found = sum(1 for _ in store.list("a"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found, len(pages)) == (100_000, 100)
    assert peak < 30 * 1024**2


def test_what_is_changed_on_the_way_is_noticed_and_sent_again(
    bucket: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    store = object_store(bucket)
    spoiled: list[str] = []

    class Wire(BaseHTTPRequestHandler):
        """A proxy that changes one byte of the first body in each direction."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._pass_on()

        def do_PUT(self) -> None:
            self._pass_on()

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.command == "PUT" and "PUT" not in spoiled:
                spoiled.append("PUT")
                body = body.replace(b"precious", b"precioux")
            host = str(bucket.s3_endpoint_url).removeprefix("http://")
            connection = HTTPConnection(host)
            headers = {k: v for k, v in self.headers.items() if k != "Expect"}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
            if self.command == "GET" and "GET" not in spoiled:
                spoiled.append("GET")
                data = data.replace(b"precious", b"precioux")
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
            connection.close()

    with serving(Wire) as url:
        bad = object_store(bucket.model_copy(update={"s3_endpoint_url": url}))
        caplog.set_level(logging.INFO)
        bad.write("a", b"precious")
        assert store.read("a") == b"precious"
        assert bad.read("a") == b"precious"
    assert spoiled == ["PUT", "GET"]


def test_what_is_written_over_while_it_is_moved_stays(bucket: Settings) -> None:
    store = object_store(bucket)
    store.write("inbox/a", b"old")

    def meddle(operation: str, what: str, **request: object) -> object:
        answer = ask(operation, what, **request)
        if operation == "copy_object":
            store.write("inbox/a", b"new")
        return answer

    ask = store._bucket.ask  # type: ignore[attr-defined]
    store._bucket.ask = meddle  # type: ignore[attr-defined]
    store.move("inbox/a", "archive/a")
    assert (store.read("archive/a"), store.read("inbox/a")) == (b"old", b"new")


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    handler.log_message = lambda *_: None  # type: ignore[method-assign,assignment]
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
