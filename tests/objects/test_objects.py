"""Behavior that a local store and a bucket have in common."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from tests.factories.s3_server import S3Server
from tumorml.errors import MissingObjectError, TumorMLError
from tumorml.objects import ObjectStore, object_store, s3
from tumorml.settings import Settings

PART_BYTES = 5 * 1024**2
"""The minimum of S3."""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "PART_BYTES", PART_BYTES)


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    settings = Settings(home=tmp_path / "home")
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        settings = server.settings(settings, uuid.uuid4().hex)
    return object_store(settings)


def keys(store: ObjectStore, prefix: str) -> list[str]:
    return sorted(stored.key for stored in store.list(prefix))


@pytest.mark.parametrize("key", ["a/b.png", "a/ä b[1]*.png", "a/b?versionId=3", "a/+%20&#.png"])
def test_object_is_written_read_listed_found_and_removed(store: ObjectStore, key: str) -> None:
    assert not store.exists(key) and store.find(key) is None
    for data in (b"first", b"", b"second"):
        store.write(key, data)
        assert store.read(key) == data
        with store.open(key) as stream:
            assert stream.read() == data
    (listed,) = store.list("a")
    assert (listed.key, listed.size, listed.regular) == (key, 6, True)
    assert store.find(key) == listed
    assert store.exists(key)
    store.remove(key)
    store.remove(key)
    assert keys(store, "a") == []


def test_listing_is_limited_to_the_folder(store: ObjectStore) -> None:
    for key in ("in/a", "in/b/c", "in-2/a", "in.zip", "other"):
        store.write(key, b"x")
    assert keys(store, "in") == ["in/a", "in/b/c"]
    assert keys(store, "nothing") == []
    assert store.find("in") is None


def test_overwritten_object_has_a_new_version(store: ObjectStore) -> None:
    store.write("a", b"1")
    before = store.find("a")
    store.write("a", b"2")
    after = store.find("a")
    assert before and after and before.version != after.version


def test_missing_object_is_a_user_error(store: ObjectStore) -> None:
    with pytest.raises(MissingObjectError, match="restore it from a backup"):
        store.read("a/b")
    for attempt in (store.open, lambda key: store.move(key, "c")):
        with pytest.raises(FileNotFoundError):
            attempt("a/b")


@pytest.mark.parametrize("key", ["", "/a", "a/../b", ".."])
def test_invalid_key_is_refused(store: ObjectStore, key: str) -> None:
    with pytest.raises(ValueError, match="not an object key"):
        store.read(key)


def test_large_file_is_stored_and_seekable(store: ObjectStore, tmp_path: Path) -> None:
    source = tmp_path / "large"
    source.write_bytes(bytes(range(256)) * (PART_BYTES // 128 + 1))
    store.write_file("a/large", source)
    with store.open("a/large") as stream:
        assert stream.read() == source.read_bytes()
        stream.seek(PART_BYTES + 3)
        assert stream.read(2) == bytes([3, 4])
    assert store.read("a/large") == source.read_bytes()


@pytest.mark.parametrize("size", [3, 2 * PART_BYTES])
def test_existing_object_is_overwritten_only_on_request(
    store: ObjectStore, tmp_path: Path, size: int
) -> None:
    source = tmp_path / "new"
    source.write_bytes(bytes(size))
    store.write("a", b"old")
    with pytest.raises(FileExistsError):
        store.write_file("a", source, overwrite=False)
    assert store.read("a") == b"old"
    store.write_file("b", source, overwrite=False)
    store.write_file("a", source)
    assert store.are_identical("a", "b")


def test_interrupted_move_is_finished_by_a_second_call(store: ObjectStore) -> None:
    store.write("inbox/a", b"data")
    store.write("archive/a", b"data")  # as after a crash between copy and delete
    store.move("inbox/a", "archive/a")
    assert (keys(store, "inbox"), store.read("archive/a")) == ([], b"data")


def test_identical_objects_have_the_same_bytes(store: ObjectStore, tmp_path: Path) -> None:
    data = bytes(2 * PART_BYTES)
    (tmp_path / "parts").write_bytes(data)
    store.write_file("parts", tmp_path / "parts")
    store.write("one", data)
    store.write("longer", data + b"x")
    store.write("other", data[:-1] + b"x")
    assert store.are_identical("parts", "one")
    assert not store.are_identical("parts", "longer")
    assert not store.are_identical("parts", "other")
    with pytest.raises(FileNotFoundError):
        store.are_identical("parts", "nothing")


def test_unsupported_url_error_names_the_setting(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, object_store_url="ftp://host/folder")
    with pytest.raises(TumorMLError, match="set TUMORML_OBJECT_STORE_URL to file:"):
        object_store(settings)
