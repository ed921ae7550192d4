"""Listings and concurrent changes in an S3 store."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import pytest

from tumorml.errors import (
    MissingObjectError,
)
from tumorml.objects import object_store
from tumorml.objects.ranged_file import BLOCK_BYTES
from tumorml.objects.s3 import S3Objects
from tumorml.objects.s3_bucket import Bucket
from tumorml.scans.inbox.drops import waiting_drops
from tumorml.settings import Settings


def paged(settings: Settings, size: int) -> tuple[S3Objects, list[int]]:
    """Return a store with small pages, and a list of the number of keys on each requested page."""
    store = object_store(settings)
    assert isinstance(store, S3Objects)
    store._page_size = size
    pages: list[int] = []
    send = store._bucket.request

    def count(operation: str, purpose: str, **parameters: Any) -> Any:
        response = send(operation, purpose, **parameters)
        if operation == "list_objects_v2":
            pages.append(len(response.get("Contents", [])))
        return response

    store._bucket.request = count  # type: ignore[method-assign]
    return store, pages


def test_listing_requests_a_page_only_when_needed(bucket: Settings) -> None:
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


def test_waiting_drops_takes_one_listing(bucket: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    store = object_store(bucket)
    operations: list[str] = []
    send = Bucket.request

    def count(self: Bucket, operation: str, purpose: str, **parameters: Any) -> Any:
        operations.append(operation)
        return send(self, operation, purpose, **parameters)

    monkeypatch.setattr(Bucket, "request", count)
    for number in range(3):
        store.write(f"inbox/mine/{number}.png", b"x")
        store.write(f"inbox/one-{number}.png", b"x")
        operations.clear()
        (mine,) = (drop for drop in waiting_drops(bucket) if drop.name == "mine")
        assert mine.files == number + 1
        assert operations == ["list_objects_v2"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_100_000_keys_are_listed_in_bounded_memory(bucket: Settings) -> None:
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


def test_overwritten_object_cannot_be_read_further(bucket: Settings) -> None:
    store = object_store(bucket)
    store.write("changed", bytes(3 * BLOCK_BYTES))
    with store.open("changed") as stream:
        stream.read(10)
        store.write("changed", b"x" * 3 * BLOCK_BYTES)
        assert stream.read(10) == bytes(10)  # from the block fetched before
        with pytest.raises(MissingObjectError, match="overwritten while it was read"):
            stream.read()


def test_object_overwritten_during_move_is_kept(bucket: Settings) -> None:
    store = object_store(bucket)
    store.write("inbox/a", b"old")

    def overwrite_after_copy(operation: str, purpose: str, **parameters: Any) -> Any:
        response = send(operation, purpose, **parameters)
        if operation == "copy_object":
            store.write("inbox/a", b"new")
        return response

    send = store._bucket.request  # type: ignore[attr-defined]
    store._bucket.request = overwrite_after_copy  # type: ignore[attr-defined]
    store.move("inbox/a", "archive/a")
    assert (store.read("archive/a"), store.read("inbox/a")) == (b"old", b"new")
