import pytest

from tests.factories.drop_files import batches, files_of, png, write_inbox
from tests.factories.mixed_drops import BAD_FILES, GOOD_FILES, ingest_in_threads, with_shard_files
from tumorml.objects import object_store
from tumorml.objects.local import LocalObjects
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.ingest.finish_batch import ingest_batch
from tumorml.settings import Settings


def test_recorded_batch_is_finished_by_moving_its_files(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_inbox(settings, "drop", GOOD_FILES)
    (batch_id,) = claim_drops(settings)
    with monkeypatch.context() as patch:
        patch.setattr("tumorml.scans.ingest.finish_batch.move_originals", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ingest_batch(settings, batch_id)
    assert folder.exists()
    assert ingest_in_threads(settings) == [{"batch_id": batch_id, "shard": 1, "shards": 1}]
    assert not folder.exists()


def test_all_files_of_a_bucket_are_moved(settings: Settings, s3_settings: Settings) -> None:
    remote = s3_settings
    store = object_store(remote)
    for path, data in (GOOD_FILES | BAD_FILES).items():
        store.write(f"inbox/drop/{path}", data)
    ingest_in_threads(with_shard_files(remote, 5))
    (batch,) = batches(settings)
    rows = files_of(settings, batch.id)
    assert all(
        store.read(str(rows[p].object_key)) == data for p, data in (GOOD_FILES | BAD_FILES).items()
    )
    assert list(store.list("inbox")) == []


def test_file_changed_during_moves_stays_in_the_inbox(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_inbox(settings, "drop", {f"glioma/{n}.png": png(n) for n in range(3)})
    store = object_store(settings)
    move = LocalObjects.move

    def move_and_overwrite_another(self: LocalObjects, source: str, target: str) -> None:
        move(self, source, target)
        if source.endswith("0.png"):
            self.write(source.replace("0.png", "2.png"), png(9))

    monkeypatch.setattr(LocalObjects, "move", move_and_overwrite_another)
    (batch,) = claim_drops(settings)
    ingest_batch(settings, batch)
    (remaining,) = store.list("inbox")
    assert store.read(remaining.key) == png(9)
    assert len(list(store.list("archive"))) == 2
