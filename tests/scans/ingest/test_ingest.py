import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select, text

from tests.factories.drop_files import (
    batches,
    everything,
    files_of,
    image_bytes,
    ingest_all,
    ingest_one,
    labels_of,
    original,
    picture,
    png,
    start_again,
    write_files,
    write_inbox,
    write_zip,
)
from tumorml.errors import TumorMLError
from tumorml.objects import object_store
from tumorml.objects.local import LocalObjects
from tumorml.objects.s3 import S3Objects
from tumorml.results.session import read_session
from tumorml.results.tables import Scan, ScanLabel
from tumorml.scans.images.decode import decode, scan_id
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.inbox.drops import put_drop, waiting_drops
from tumorml.scans.ingest import finish_batch, intake, plan_shards, put_away, read_shard, record
from tumorml.scans.ingest.fingerprint_scans import fingerprint_scans
from tumorml.scans.ingest.finish_batch import ingest_batch
from tumorml.settings import Settings

FILES = {
    "Training/glioma/a.png": png(1),
    "Training/notumor/b.png": png(2),
    "Testing/glioma/c.png": png(3),
    "Testing/notumor/again.png": png(2),
    "Testing/notumor/bad.png": b"text",
    ".DS_Store": b"system",
}


def count(settings: Settings, table: type) -> int:
    with read_session(settings) as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_a_drop_becomes_scans_labels_and_an_archive(settings: Settings) -> None:
    write_inbox(settings, "first", FILES)
    progress: list[tuple[int, int]] = []
    (batch_id,) = claim_drops(settings)
    ingest_batch(settings, batch_id, on_progress=lambda *step: progress.append(step))
    rows = files_of(settings, batch_id)
    assert labels_of(rows) == {
        "Training/glioma/a.png": "glioma",
        "Testing/notumor/again.png": "no_tumor",
        "Testing/glioma/c.png": "glioma",
    }
    twin = rows["Training/notumor/b.png"]
    assert (twin.outcome, twin.reason) == (
        "duplicate",
        "The same picture as Testing/notumor/again.png of this batch.",
    )
    assert rows["Testing/glioma/c.png"].given_split == "test"
    assert rows[".DS_Store"].outcome == "companion"
    store = object_store(settings)
    with read_session(settings) as session:
        for scan in session.scalars(select(Scan)):
            pixels = decode(store.read(scan.object_key)).pixels
            assert scan_id(pixels) == scan.id
            assert (scan.height, scan.width) == pixels.shape
            assert scan.mean == pytest.approx(pixels.mean())
            assert scan.deviation == pytest.approx(pixels.std())
            assert scan.foreground_share == pytest.approx((pixels >= 16).mean())
    assert progress[-1] == (6, 6)
    assert all(original(settings, rows[path]) == data for path, data in FILES.items())
    (batch,) = batches(settings)
    assert batch.finished_at is not None
    assert batch.seconds and batch.peak_memory_bytes
    assert store.exists(str(batch.data_docs_key))


def test_a_batch_ingested_twice_leaves_the_same_as_once(settings: Settings) -> None:
    write_inbox(settings, "first", FILES)
    (batch_id,) = ingest_all(settings)
    once = everything(settings)
    assert ingest_batch(settings, batch_id) == batch_id
    assert everything(settings) == once
    assert claim_drops(settings) == []


def test_a_picture_dropped_again_is_a_duplicate_and_its_other_label_is_kept(
    settings: Settings,
) -> None:
    write_inbox(settings, "first", {"glioma/a.png": png(1)})
    (first,) = ingest_all(settings)
    as_colour = image_bytes(np.stack([picture(1)] * 3, axis=-1), "BMP")
    write_inbox(settings, "first", {"no/b.bmp": as_colour, "no/c.bmp": as_colour})
    rows = ingest_one(settings)
    reason = f"The same picture as glioma/a.png of the batch {first}."
    assert [(row.outcome, row.reason) for row in rows.values()] == [("duplicate", reason)] * 2
    with read_session(settings) as session:
        labels = session.execute(select(ScanLabel.label, ScanLabel.batch_id)).all()
    assert sorted(map(tuple, labels)) == [
        ("glioma", first),
        ("no_tumor", rows["no/b.bmp"].batch_id),
    ]


def test_an_archive_is_kept_whole_and_says_where_each_file_is(
    settings: Settings, tmp_path: Path
) -> None:
    put_drop(settings, write_zip(tmp_path / "kaggle.zip", FILES))
    (batch_id,) = ingest_all(settings)
    rows = files_of(settings, batch_id)
    key = rows["Training/glioma/a.png"].object_key
    assert key == f"archive/{batch_id}/kaggle.zip!/Training/glioma/a.png"
    bad = rows["Testing/notumor/bad.png"].object_key
    assert bad == f"quarantine/{batch_id}/Testing/notumor/bad.png"
    assert all(original(settings, rows[path]) == data for path, data in FILES.items())
    assert waiting_drops(settings) == []


def test_a_manifest_brings_patients_and_masks(settings: Settings) -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[20:30, 20:30] = 1
    manifest = (
        "path,label,patient_id,mask,split,fold\n"
        "images/1.png,glioma,p1,masks/1.png,train,1\n"
        "images/2.png,glioma,p1,masks/2.png,test,2\n"
        "images/3.png,meningioma,p2,masks/3.png,fold-3,2\n"
        "images/4.png,meningioma,p2,masks/4.png,,2\n"
    )
    files = {
        "images/1.png": png(1),
        "images/2.png": png(2),
        "images/3.png": png(3),
        "images/4.png": png(4),
        "manifest.csv": manifest.encode(),
        "masks/1.png": image_bytes(mask),
        "masks/2.png": image_bytes(mask * 255, "TIFF"),
        "masks/3.png": image_bytes(mask[:50]),
        "masks/4.png": b"text",
    }
    for order in (files, dict(reversed(files.items()))):
        write_zip(settings.home / "objects/inbox/masked.zip", order)
        rows = ingest_one(settings)
        scan = rows["images/1.png"]
        assert (scan.patient_id, scan.given_split) == ("p1", "train")
        assert scan.attributes == {"fold": "1"}
        stored = decode(object_store(settings).read(str(scan.mask_key)), min_side=1).pixels
        assert np.array_equal(stored, mask * 255)
        assert scan.mask_key == f"masks/{str(scan.scan_id)[:2]}/{scan.scan_id}.png"
        assert rows["images/2.png"].mask_key is not None
        assert rows["masks/1.png"].outcome == "companion"
        assert "64 x 50 pixels" in str(rows["masks/3.png"].reason)
        assert rows["masks/4.png"].outcome == "refused"
        assert rows["images/3.png"].mask_key is None
        assert rows["images/3.png"].warnings == ["split_understood"]


def test_what_a_manifest_says_beside_the_known_columns_can_be_asked_for_in_sql(
    settings: Settings,
) -> None:
    files = {
        "a.png": png(1),
        "b.png": png(2),
        "manifest.csv": 'path,label,Plane\na.png,no,"""axial"", \\x\0 Größe"\nb.png,no,\n'.encode(),
    }
    write_inbox(settings, "planes", files)
    rows = ingest_one(settings)
    query = "select path, attributes ->> 'plane' from batch_file where attributes is not null"
    with read_session(settings) as session:
        said = session.execute(text(query)).all()
    assert list(map(tuple, said)) == [("a.png", '"axial", \\x\\x00 Größe')]
    assert rows["manifest.csv"].attributes is None


def test_a_loose_picture_and_a_folder_without_labels_are_unlabelled(settings: Settings) -> None:
    write_files(settings.home / "objects/inbox", {"one.png": png(1), "more/two.png": png(2)})
    ids = ingest_all(settings)
    rows = {path: row for i in ids for path, row in files_of(settings, i).items()}
    assert labels_of(rows) == {"one.png": None, "two.png": None}
    assert count(settings, ScanLabel) == 0


def test_warnings_flag_files_and_are_counted(settings: Settings) -> None:
    files = {"glioma/a.jpg": png(1), "glioma/b.png": png(2, side=40), "no/c.png": png(3)}
    write_inbox(settings, "odd", files)
    rows = ingest_one(settings)
    assert rows["glioma/a.jpg"].warnings == ["extension_matches"]
    assert rows["glioma/b.png"].warnings == ["not_small"]
    assert rows["no/c.png"].warnings is None
    (batch,) = batches(settings)
    assert batch.warnings == 2
    failed = {e["name"] for e in (batch.validation or {})["expectations"] if not e["success"]}
    assert failed == {"extension_matches", "not_small"}


def test_files_that_come_after_the_claim_are_the_next_batch(settings: Settings) -> None:
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


def test_a_file_that_comes_while_its_drop_is_read_stays_for_the_next_batch(
    settings: Settings,
) -> None:
    folder = write_inbox(settings, "growing", {"glioma/a.png": png(1), "glioma/b.png": png(2)})
    (first,) = claim_drops(settings)
    ingest_batch(
        settings,
        first,
        on_progress=lambda done, _: write_files(folder, {f"glioma/late{done}.png": png(10 + done)}),
    )
    (waiting,) = waiting_drops(settings)
    assert waiting.files == 2
    assert len(labels_of(files_of(settings, first))) == 2


class CrashError(Exception):
    pass


def crash_at(monkeypatch: pytest.MonkeyPatch, where: object, name: str, call: int) -> None:
    """Let the n-th call of a function do its work, then raise."""
    real, calls = getattr(where, name), []

    def crashing(*args: object, **options: object) -> object:
        answer = real(*args, **options)
        calls.append(1)
        if len(calls) == call:
            raise CrashError
        return answer

    monkeypatch.setattr(where, name, crashing)


CRASHES = [
    (LocalObjects, "write", 1),
    (LocalObjects, "write", 3),
    (intake, "validate", 1),
    (finish_batch, "plan_batch", 1),
    (plan_shards, "write_work", 1),
    (plan_shards, "write_plan", 1),
    (read_shard, "write_found", 1),
    (finish_batch, "read_shard", 1),
    (finish_batch, "gather", 1),
    (record, "copy_rows", 1),
    (record, "copy_rows", 3),
    (finish_batch, "record", 1),
    (put_away, "_write_reasons", 1),
    (LocalObjects, "move", 1),
    (LocalObjects, "move", 3),
    (LocalObjects, "remove_empty_folders", 1),
    (finish_batch, "put_away", 1),
]


@pytest.mark.parametrize("archive", [False, True], ids=["folder", "zip"])
def test_a_crash_anywhere_is_healed_by_doing_it_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, archive: bool
) -> None:
    def drop() -> None:
        if archive:
            write_zip(settings.home / "objects/inbox/drop.zip", FILES)
        else:
            write_inbox(settings, "drop", FILES)

    drop()
    ingest_all(settings)
    once = everything(settings)
    for where, name, call in CRASHES:
        if archive and name == "move" and call > 1:
            continue
        start_again(settings)
        drop()
        with monkeypatch.context() as patch:
            (batch_id,) = claim_drops(settings)
            crash_at(patch, where, name, call)
            with pytest.raises(CrashError):
                ingest_batch(settings, batch_id)
        left = claim_drops(settings)
        assert left == ([] if name == "put_away" else [batch_id]), name
        assert ingest_all(settings) == left
        fingerprint_scans(settings)  # as assign_groups does
        assert everything(settings) == once, (where, name, call)
        assert waiting_drops(settings) == []


def test_a_crash_in_the_middle_of_moves_in_a_bucket_is_healed(
    s3_settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put_drop(s3_settings, write_files(tmp_path / "drop", FILES))
    (batch_id,) = claim_drops(s3_settings)

    def crash(store: object, key: str) -> None:
        if key.endswith(".png"):
            raise CrashError

    with monkeypatch.context() as patch:
        patch.setattr(S3Objects, "remove", crash)  # all is copied, no picture is deleted
        with pytest.raises(CrashError):
            ingest_batch(s3_settings, batch_id)
    assert [drop.name for drop in waiting_drops(s3_settings)] == ["drop"]
    assert ingest_all(s3_settings) == [batch_id]
    rows = files_of(s3_settings, batch_id)
    assert all(original(s3_settings, rows[path]) == data for path, data in FILES.items())
    assert waiting_drops(s3_settings) == []


def test_the_same_batch_taken_in_twice_at_once_ends_as_once(settings: Settings) -> None:
    write_inbox(settings, "drop", FILES)
    (batch_id,) = claim_drops(settings)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: ingest_batch(settings, batch_id), range(3)))
    rows = files_of(settings, batch_id)
    assert len(labels_of(rows)) == 3
    assert all(original(settings, rows[path]) == data for path, data in FILES.items())
    assert waiting_drops(settings) == []


def test_batches_that_share_scans_can_be_taken_in_at_once(settings: Settings) -> None:
    files = {f"glioma/{n}.png": png(n) for n in range(20)}
    backwards = dict(reversed(files.items()))
    for number in range(3):
        order = backwards if number % 2 else files
        write_zip(settings.home / f"objects/inbox/drop{number}.zip", order)
    ids = claim_drops(settings)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda batch_id: ingest_batch(settings, batch_id), ids))
    rows = [row for batch_id in ids for row in files_of(settings, batch_id).values()]
    assert sum(row.outcome == "taken_in" for row in rows) == 20
    assert sum(row.outcome == "duplicate" for row in rows) == 40
    assert count(settings, Scan) == 20
    assert {batch.state for batch in batches(settings)} == {"ingested"}


def test_claiming_at_once_makes_one_batch(settings: Settings) -> None:
    write_inbox(settings, "drop", FILES)
    with ThreadPoolExecutor(4) as pool:
        claims = list(pool.map(lambda _: claim_drops(settings), range(4)))
    assert len({tuple(claim) for claim in claims}) == 1
    assert len(batches(settings)) == 1


def test_a_bucket_takes_drops_in(s3_settings: Settings, tmp_path: Path) -> None:
    put_drop(s3_settings, write_files(tmp_path / "mine", FILES))
    put_drop(s3_settings, write_zip(tmp_path / "mine.zip", FILES))
    ids = ingest_all(s3_settings)
    for batch_id in ids:
        rows = files_of(s3_settings, batch_id)
        assert {row.outcome for row in rows.values()} >= {"refused", "duplicate", "companion"}
        assert all(original(s3_settings, rows[path]) == data for path, data in FILES.items())
    assert waiting_drops(s3_settings) == []


def test_a_batch_that_is_not_there_is_the_users_error(settings: Settings) -> None:
    with pytest.raises(TumorMLError, match="There is no batch 'b-nothing'"):
        ingest_batch(settings, "b-nothing")


def test_great_expectations_is_quiet(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    write_inbox(settings, "first", FILES)
    ingest_all(settings)
    assert not [r for r in caplog.records if r.name.startswith("great_expectations")]
