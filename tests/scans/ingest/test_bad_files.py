import hashlib
import os
import shutil
from pathlib import Path

import pytest

from tests.factories.drop_files import (
    batches,
    ingest_all,
    ingest_one,
    original,
    png,
    write_files,
    write_inbox,
    write_zip,
)
from tests.factories.mixed_drops import (
    BAD_FILES,
    GOOD_FILES,
    REFUSAL_REASONS,
    write_drop,
)
from tumorml.scans.inbox.drops import waiting_drops
from tumorml.scans.ingest.put_drop import put_drop
from tumorml.settings import Settings


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_bad_files_are_refused_and_the_others_ingested(settings: Settings, kind: str) -> None:
    write_drop(settings, kind, GOOD_FILES | BAD_FILES, "bad")
    rows = ingest_one(settings)
    assert {path for path, row in rows.items() if row.outcome == "taken_in"} == set(GOOD_FILES)
    refused = {path: row.reason for path, row in rows.items() if row.outcome == "refused"}
    assert set(refused) == set(BAD_FILES)
    for path, reason in REFUSAL_REASONS.items():
        assert reason in str(refused[path])
    for path, data in (GOOD_FILES | BAD_FILES).items():
        assert original(settings, rows[path]) == data
        assert rows[path].sha256 == hashlib.sha256(data).hexdigest()
        if path in BAD_FILES:
            assert str(rows[path].object_key).startswith("quarantine/")
    (batch,) = batches(settings)
    assert batch.state == "ingested"
    reasons = settings.home / "objects/quarantine" / batch.id / "reasons.json"
    assert "astrocytoma/a.png" in reasons.read_text()
    assert waiting_drops(settings) == []


def test_batch_with_too_many_refused_files_is_quarantined(settings: Settings) -> None:
    files = {"glioma/a.png": png(1)} | {f"glioma/{n}.png": b"text" for n in range(2)}
    write_inbox(settings, "mostly bad", files)
    rows = ingest_one(settings)
    (batch,) = batches(settings)
    assert batch.state == "quarantined"
    assert batch.reason == "2 of 3 files are refused; the limit is 50%."
    assert {row.outcome for row in rows.values()} == {"refused"}
    assert "The whole drop is refused" in str(rows["glioma/a.png"].reason)
    assert {original(settings, row) for row in rows.values()} == set(files.values())


@pytest.mark.parametrize("marker", [False, True])
def test_empty_drop_is_quarantined_with_its_reason(settings: Settings, marker: bool) -> None:
    folder = settings.home / "objects/inbox/nothing/in here"
    for times in (1, 2):
        folder.mkdir(parents=True)
        if marker:
            write_files(folder.parent, {"_READY": b""})
        ingest_all(settings)
        assert [(b.state, b.reason) for b in batches(settings)] == [
            ("quarantined", "The drop is empty: it contains no file.")
        ] * times
        assert not folder.parent.exists()


def test_links_and_pipes_in_a_folder_are_refused(settings: Settings) -> None:
    folder = write_inbox(settings, "links", GOOD_FILES)
    (folder / "glioma/soft.png").symlink_to("/etc/passwd")
    (folder / "glioma/loop").symlink_to(folder)
    os.mkfifo(folder / "glioma/pipe.png")
    rows = ingest_one(settings)
    refused = {p: row for p, row in rows.items() if row.outcome == "refused"}
    assert set(refused) == {"glioma/soft.png", "glioma/loop", "glioma/pipe.png"}
    assert all("link" in str(row.reason) for row in refused.values())
    moved = settings.home / "objects" / str(refused["glioma/soft.png"].object_key)
    assert moved.is_symlink()


def test_wrong_manifest_rows_refuse_only_their_files(
    settings: Settings,
) -> None:
    listed = "".join(f"{path},glioma,p{n}\n" for n, path in enumerate(GOOD_FILES))
    extra = "gone.png,glioma,p\ntwice.png,glioma,p\ntwice.png,yes,p\nodd.png,lesion,p\n"
    files = GOOD_FILES | {
        "manifest.csv": f"path,label,patient_id\n{listed}{extra}".encode(),
        "twice.png": png(60),
        "odd.png": png(61),
        "extra.png": png(62),
    }
    write_inbox(settings, "listed", files)
    rows = ingest_one(settings)
    assert rows["gone.png"].reason == "In the manifest, but not in the drop."
    assert rows["gone.png"].object_key is None
    assert "Listed twice" in str(rows["twice.png"].reason)
    assert "'lesion' is not known" in str(rows["odd.png"].reason)
    assert rows["extra.png"].reason == "Not listed in manifest.csv."
    assert rows["manifest.csv"].outcome == "companion"
    assert sum(row.outcome == "taken_in" for row in rows.values()) == len(GOOD_FILES)
    assert all(original(settings, rows[path]) == data for path, data in files.items())


def test_manifest_without_label_column_quarantines_the_drop(settings: Settings) -> None:
    files = {"manifest.csv": b"path,class\na.png,glioma\n", "a.png": png(1)}
    write_zip(settings.home / "objects/inbox/unlabeled.zip", files)
    rows = ingest_one(settings)
    (batch,) = batches(settings)
    assert batch.state == "quarantined"
    assert "needs exactly one column 'label'; its first line has: path, class" in str(batch.reason)
    assert original(settings, rows["a.png"]) == png(1)


def test_linked_folder_is_refused_and_its_target_unchanged(
    settings: Settings, tmp_path: Path
) -> None:
    theirs = write_files(tmp_path / "theirs", GOOD_FILES)
    inbox = settings.home / "objects/inbox"
    inbox.mkdir(parents=True)
    (inbox / "linked").symlink_to(theirs)
    ingest_all(settings)
    (batch,) = batches(settings)
    assert batch.state == "quarantined"
    assert len(list(theirs.rglob("*.png"))) == len(GOOD_FILES)
    assert not (inbox / "linked").exists()


def test_dropped_text_file_is_quarantined(settings: Settings) -> None:
    write_files(settings.home / "objects/inbox", {"notes.txt": b"hello", "scans.rar": b"Rar!..."})
    ingest_all(settings)
    assert [batch.state for batch in batches(settings)] == ["quarantined"] * 2
    assert waiting_drops(settings) == []


def test_put_drop_leaves_bad_files_in_folders_to_ingest(settings: Settings, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "mine", GOOD_FILES | {"glioma/text.jpg": b"text"})
    put_drop(settings, folder)
    shutil.rmtree(folder)
    rows = ingest_one(settings)
    assert "not a supported image" in str(rows["glioma/text.jpg"].reason)
