import logging
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
    write_files,
    write_inbox,
    write_zip,
)
from tests.factories.mixed_drops import SMALL_DROP
from tumorml.errors import TumorMLError
from tumorml.objects import object_store
from tumorml.results.session import read_session
from tumorml.results.tables import Scan, ScanLabel
from tumorml.scans.images.decode import decode, scan_id
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.inbox.drops import waiting_drops
from tumorml.scans.ingest.finish_batch import ingest_batch
from tumorml.scans.ingest.put_drop import put_drop
from tumorml.settings import Settings


def count(settings: Settings, table: type) -> int:
    with read_session(settings) as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_drop_becomes_scans_labels_and_archived_originals(settings: Settings) -> None:
    write_inbox(settings, "first", SMALL_DROP)
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
        "The same picture as Testing/notumor/again.png in this batch.",
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
    assert all(original(settings, rows[path]) == data for path, data in SMALL_DROP.items())
    (batch,) = batches(settings)
    assert batch.finished_at is not None
    assert batch.seconds and batch.peak_memory_bytes
    assert store.exists(str(batch.data_docs_key))


def test_ingesting_a_batch_twice_changes_nothing(settings: Settings) -> None:
    write_inbox(settings, "first", SMALL_DROP)
    (batch_id,) = ingest_all(settings)
    once = everything(settings)
    assert ingest_batch(settings, batch_id) == batch_id
    assert everything(settings) == once
    assert claim_drops(settings) == []


def test_duplicate_scan_keeps_its_second_label(
    settings: Settings,
) -> None:
    write_inbox(settings, "first", {"glioma/a.png": png(1)})
    (first,) = ingest_all(settings)
    as_color = image_bytes(np.stack([picture(1)] * 3, axis=-1), "BMP")
    write_inbox(settings, "first", {"no/b.bmp": as_color, "no/c.bmp": as_color})
    rows = ingest_one(settings)
    reason = f"The same picture as glioma/a.png in batch {first}."
    assert [(row.outcome, row.reason) for row in rows.values()] == [("duplicate", reason)] * 2
    with read_session(settings) as session:
        labels = session.execute(select(ScanLabel.label, ScanLabel.batch_id)).all()
    assert sorted(map(tuple, labels)) == [
        ("glioma", first),
        ("no_tumor", rows["no/b.bmp"].batch_id),
    ]


def test_object_keys_of_archive_members_locate_their_originals(
    settings: Settings, tmp_path: Path
) -> None:
    put_drop(settings, write_zip(tmp_path / "kaggle.zip", SMALL_DROP))
    (batch_id,) = ingest_all(settings)
    rows = files_of(settings, batch_id)
    key = rows["Training/glioma/a.png"].object_key
    assert key == f"archive/{batch_id}/kaggle.zip!/Training/glioma/a.png"
    bad = rows["Testing/notumor/bad.png"].object_key
    assert bad == f"quarantine/{batch_id}/Testing/notumor/bad.png"
    assert all(original(settings, rows[path]) == data for path, data in SMALL_DROP.items())
    assert waiting_drops(settings) == []


def test_manifest_sets_patients_splits_and_masks(settings: Settings) -> None:
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


def test_other_manifest_columns_are_stored_as_attributes(
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
        planes = session.execute(text(query)).all()
    assert list(map(tuple, planes)) == [("a.png", '"axial", \\x\\x00 Größe')]
    assert rows["manifest.csv"].attributes is None


def test_single_image_and_folder_without_labels_are_unlabeled(settings: Settings) -> None:
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


def test_drops_in_a_bucket_are_ingested(s3_settings: Settings, tmp_path: Path) -> None:
    put_drop(s3_settings, write_files(tmp_path / "mine", SMALL_DROP))
    put_drop(s3_settings, write_zip(tmp_path / "mine.zip", SMALL_DROP))
    ids = ingest_all(s3_settings)
    for batch_id in ids:
        rows = files_of(s3_settings, batch_id)
        assert {row.outcome for row in rows.values()} >= {"refused", "duplicate", "companion"}
        assert all(original(s3_settings, rows[path]) == data for path, data in SMALL_DROP.items())
    assert waiting_drops(s3_settings) == []


def test_unknown_batch_is_a_user_error(settings: Settings) -> None:
    with pytest.raises(TumorMLError, match="There is no batch 'b-nothing'"):
        ingest_batch(settings, "b-nothing")


def test_great_expectations_logs_no_info(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write_inbox(settings, "first", SMALL_DROP)
    ingest_all(settings)
    assert not [r for r in caplog.records if r.name.startswith("great_expectations")]
