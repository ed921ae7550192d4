import multiprocessing
import os
import signal
from typing import Any

import pytest

from tests.factories.drop_files import (
    batches,
    everything,
    files_of,
    ingest_all,
    labels_of,
    png,
    start_again,
    write_inbox,
)
from tests.factories.mixed_drops import (
    GOOD_FILES,
    LABELED_FILES,
    ingest_in_threads,
    masked_files,
    with_shard_files,
    write_drop,
)
from tumorml.errors import StoreRefusedError, TumorMLError
from tumorml.objects.local import LocalObjects
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.ingest.finish_batch import finish_batch, ingest_batch
from tumorml.scans.ingest.plan_shards import plan_shards
from tumorml.scans.ingest.read_shard import read_shard
from tumorml.settings import Settings

SPAWN = multiprocessing.get_context("spawn")


def read_and_be_killed(settings: Settings, shard: dict[str, Any]) -> None:
    def die(done: int, _: int) -> None:
        if done == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    read_shard(settings, **shard, on_progress=die)


def read_one(settings: Settings, shard: dict[str, Any]) -> None:
    read_shard(settings, **shard)


def in_a_process(settings: Settings, function: Any, shard: dict[str, Any]) -> Any:
    process = SPAWN.Process(target=function, args=(settings, shard))
    process.start()
    return process


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_killed_shard_is_read_again(settings: Settings, kind: str) -> None:
    sharded = with_shard_files(settings, 10)
    write_drop(settings, kind, LABELED_FILES)
    ingest_all(settings)
    expected = everything(settings)
    start_again(settings)
    write_drop(settings, kind, LABELED_FILES)
    shards = plan_shards(sharded, claim_drops(sharded))
    killed = in_a_process(sharded, read_and_be_killed, shards[0])
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    with pytest.raises(TumorMLError, match="could not be read"):
        finish_batch(sharded, shards[0]["batch_id"])
    assert batches(settings)[0].state == "waiting"
    ingest_in_threads(sharded)
    assert everything(settings) == expected


def test_processes_can_read_shards_concurrently(settings: Settings) -> None:
    sharded = with_shard_files(settings, 10)
    write_drop(settings, "folder", masked_files())
    ingest_all(settings)
    expected = everything(settings)
    start_again(settings)
    write_drop(settings, "folder", masked_files())
    shards = plan_shards(sharded, claim_drops(sharded))
    assert len(shards) >= 3
    running = [in_a_process(sharded, read_one, shard) for shard in (*shards[:2], shards[0])]
    for process in running:
        process.join()
        assert process.exitcode == 0
    ingest_in_threads(sharded)
    assert everything(settings) == expected


def test_read_shard_is_not_read_again(settings: Settings) -> None:
    sharded = with_shard_files(settings, 1)
    folder = write_inbox(settings, "drop", GOOD_FILES)
    (shard, *_) = plan_shards(sharded, claim_drops(sharded))
    read_shard(sharded, **shard)
    (folder / "glioma/good0.png").rename(folder / "glioma/elsewhere.png")
    read: list[int] = []
    read_shard(sharded, **shard, on_progress=lambda done, _: read.append(done))
    assert read == []
    ingest_all(sharded)
    rows = files_of(settings, shard["batch_id"])
    assert "changed or removed" in str(rows["glioma/good0.png"].reason)
    assert len(labels_of(rows)) == len(GOOD_FILES) - 1


def test_batch_with_unreadable_shard_waits_and_others_finish(
    settings: Settings,
) -> None:
    sharded = with_shard_files(settings, 5)
    write_inbox(settings, "damaged", GOOD_FILES)
    write_inbox(settings, "lost", {"no/a.png": png(60)})
    write_inbox(settings, "sound", {"no/b.png": png(61)})
    damaged, lost, sound = claim_drops(sharded)
    claim = settings.home / f"objects/claims/{lost}.json"
    kept = claim.read_bytes()
    claim.unlink()
    shards = plan_shards(sharded, [damaged, lost, sound])
    assert {"batch_id": lost, "shard": 1, "shards": 1} in shards
    work = settings.home / f"objects/claims/{damaged}/work-0002.json.gz"
    work.rename(work.with_name("away"))
    failed = []
    for shard in shards:
        try:
            read_shard(sharded, **shard)
        except TumorMLError:
            failed.append((shard["batch_id"], shard["shard"]))
    assert sorted(failed) == sorted([(damaged, 2), (lost, 1)])
    with pytest.raises(TumorMLError, match=f"{damaged} waits, because shards 2 could not"):
        finish_batch(sharded, damaged)
    with pytest.raises(TumorMLError):
        finish_batch(sharded, lost)
    finish_batch(sharded, sound)
    assert [b.state for b in batches(settings)] == ["waiting", "waiting", "ingested"]
    work.with_name("away").rename(work)
    claim.write_bytes(kept)
    ingest_in_threads(sharded)
    assert [b.state for b in batches(settings)] == ["ingested"] * 3


def test_expired_credentials_refuse_no_file(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_inbox(settings, "drop", {f"glioma/{n}.png": png(n) for n in range(3)})
    (batch,) = claim_drops(settings)
    read = LocalObjects.read

    def deny_inbox(self: LocalObjects, key: str) -> bytes:
        if key.startswith("inbox/"):
            raise StoreRefusedError("the token has expired")
        return read(self, key)

    with monkeypatch.context() as patch, pytest.raises(StoreRefusedError):
        patch.setattr(LocalObjects, "read", deny_inbox)
        ingest_batch(settings, batch)
    ingest_batch(settings, batch)
    assert {row.outcome for row in files_of(settings, batch).values()} == {"taken_in"}
