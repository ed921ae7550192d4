import pkgutil
from pathlib import Path

import pytest

from tests.factories.drop_files import (
    everything,
    files_of,
    ingest_all,
    labels_of,
    original,
    png,
    start_again,
    write_files,
    write_inbox,
)
from tests.factories.mixed_drops import SMALL_DROP, write_drop
from tumorml.objects.s3 import S3Objects
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.inbox.drops import waiting_drops
from tumorml.scans.ingest.fingerprint_scans import fingerprint_scans
from tumorml.scans.ingest.finish_batch import ingest_batch
from tumorml.scans.ingest.put_drop import put_drop
from tumorml.settings import Settings


class CrashError(Exception):
    pass


def crash_at(monkeypatch: pytest.MonkeyPatch, target: str, call: int) -> None:
    """Make the n-th call of a function raise after it has finished."""
    path, _, name = target.rpartition(".")
    owner = pkgutil.resolve_name(path)
    real, calls = getattr(owner, name), []

    def crashing(*args: object, **options: object) -> object:
        result = real(*args, **options)
        calls.append(name)
        if len(calls) == call:
            raise CrashError
        return result

    monkeypatch.setattr(owner, name, crashing)


INGEST = "tumorml.scans.ingest"
STORE = "tumorml.objects.local.LocalObjects"
CRASHES = [
    (f"{STORE}.write", 1),
    (f"{STORE}.write", 3),
    (f"{INGEST}.gather_batch.validate_batch", 1),
    (f"{INGEST}.finish_batch.plan_batch", 1),
    (f"{INGEST}.plan_shards.write_work", 1),
    (f"{INGEST}.plan_shards.write_plan", 1),
    (f"{INGEST}.read_shard.write_findings", 1),
    (f"{INGEST}.finish_batch.read_shard", 1),
    (f"{INGEST}.finish_batch.gather_batch", 1),
    (f"{INGEST}.record_batch.copy_rows", 1),
    (f"{INGEST}.record_batch.copy_rows", 3),
    (f"{INGEST}.finish_batch.record_batch", 1),
    (f"{INGEST}.move_originals._write_reasons", 1),
    (f"{STORE}.move", 1),
    (f"{STORE}.move", 3),
    (f"{STORE}.remove_empty_folders", 1),
    (f"{INGEST}.finish_batch.move_originals", 1),
]
"""Functions that crash, each with the number of the crashing call."""


@pytest.mark.parametrize("archive", [False, True], ids=["folder", "zip"])
def test_second_call_after_a_crash_ends_like_no_crash(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, archive: bool
) -> None:
    kind = "zip" if archive else "folder"
    write_drop(settings, kind, SMALL_DROP)
    ingest_all(settings)
    expected = everything(settings)
    for target, call in CRASHES:
        if archive and target.endswith(".move") and call > 1:
            continue  # an archive is moved by one call
        start_again(settings)
        write_drop(settings, kind, SMALL_DROP)
        with monkeypatch.context() as patch:
            (batch_id,) = claim_drops(settings)
            crash_at(patch, target, call)
            with pytest.raises(CrashError):
                ingest_batch(settings, batch_id)
        unfinished = claim_drops(settings)
        assert unfinished == ([] if target.endswith("move_originals") else [batch_id]), target
        assert ingest_all(settings) == unfinished
        fingerprint_scans(settings)  # as assign_groups does
        assert everything(settings) == expected, (target, call)
        assert waiting_drops(settings) == []


def test_second_call_finishes_interrupted_moves_in_a_bucket(
    s3_settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put_drop(s3_settings, write_files(tmp_path / "drop", SMALL_DROP))
    (batch_id,) = claim_drops(s3_settings)

    def crash(store: object, key: str) -> None:
        if key.endswith(".png"):
            raise CrashError

    with monkeypatch.context() as patch:
        patch.setattr(S3Objects, "remove", crash)  # files are copied, but not deleted
        with pytest.raises(CrashError):
            ingest_batch(s3_settings, batch_id)
    assert [drop.name for drop in waiting_drops(s3_settings)] == ["drop"]
    assert ingest_all(s3_settings) == [batch_id]
    rows = files_of(s3_settings, batch_id)
    assert all(original(s3_settings, rows[path]) == data for path, data in SMALL_DROP.items())
    assert waiting_drops(s3_settings) == []


def test_files_that_arrive_after_the_claim_are_the_next_batch(settings: Settings) -> None:
    folder = write_inbox(settings, "growing", {"glioma/a.png": png(1), "glioma/b.png": png(2)})
    (first,) = claim_drops(settings)
    write_files(folder, {"glioma/b.png": png(22), "glioma/late.png": png(3), "_READY": b""})
    assert claim_drops(settings) == [first]
    ingest_batch(settings, first)
    rows = files_of(settings, first)
    assert rows["glioma/a.png"].outcome == "taken_in"
    assert "next batch" in str(rows["glioma/b.png"].reason)
    assert rows["glioma/b.png"].object_key is None
    (second,) = claim_drops(settings)
    ingest_batch(settings, second)
    assert labels_of(files_of(settings, second)) == {
        "glioma/b.png": "glioma",
        "glioma/late.png": "glioma",
    }


def test_files_that_arrive_during_reading_stay_in_the_inbox(
    settings: Settings,
) -> None:
    folder = write_inbox(settings, "growing", {"glioma/a.png": png(1), "glioma/b.png": png(2)})
    (first,) = claim_drops(settings)

    def add_file(done: int, _total: int) -> None:
        write_files(folder, {f"glioma/late{done}.png": png(10 + done)})

    ingest_batch(settings, first, on_progress=add_file)
    (waiting,) = waiting_drops(settings)
    assert waiting.files == 2
    assert len(labels_of(files_of(settings, first))) == 2
