import os
import time
import zipfile
from pathlib import Path

import pytest

from tests.factories.drop_files import png, write_files, write_inbox, write_tar, write_zip
from tests.factories.s3_server import S3Server
from tumorml.errors import TumorMLError
from tumorml.objects import object_store
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.inbox.drops import waiting_drops
from tumorml.scans.ingest.put_drop import put_drop
from tumorml.settings import Settings


@pytest.fixture
def unsettled(tmp_path: Path) -> Settings:
    """Settings whose drops settle only after an hour; no results store."""
    return Settings(home=tmp_path / "home", settle_seconds=3600)


def test_put_drop_refuses_a_text_file(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("no scan")
    with pytest.raises(TumorMLError, match="is not a folder, a zip, a tar or an image"):
        put_drop(settings, tmp_path / "notes.md")
    assert waiting_drops(settings) == []


def test_put_folder_is_complete_immediately(unsettled: Settings, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "mine", {"glioma/a.png": png(1), "no/b c[1].png": png(2)})
    assert put_drop(unsettled, folder) == "mine"
    (drop,) = waiting_drops(unsettled)
    assert (drop.name, drop.complete, drop.files) == ("mine", True, 2)
    assert drop.size_bytes == len(png(1)) + len(png(2))


def test_put_archives_and_images_keep_their_suffix(unsettled: Settings, tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "mine.zip", {"glioma/a.png": png(1)})
    packed = write_tar(tmp_path / "old.tar.gz", {"glioma/a.png": png(1)})
    picture = tmp_path / "one.png"
    picture.write_bytes(png(3))
    assert put_drop(unsettled, archive, "theirs") == "theirs.zip"
    assert put_drop(unsettled, packed, "new.tar.gz") == "new.tar.gz"
    assert put_drop(unsettled, picture) == "one.png"
    assert {drop.name for drop in waiting_drops(unsettled) if drop.complete} == {
        "theirs.zip",
        "new.tar.gz",
        "one.png",
    }


def test_put_drop_never_overwrites_a_waiting_drop(unsettled: Settings, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "mine", {"glioma/a.png": png(1)})
    archive = write_zip(tmp_path / "mine.zip", {"glioma/a.png": png(1)})
    assert [put_drop(unsettled, folder) for _ in range(3)] == ["mine", "mine-2", "mine-3"]
    assert [put_drop(unsettled, archive) for _ in range(2)] == ["mine.zip", "mine-2.zip"]


def test_put_drop_refuses_missing_paths_bad_names_and_links(
    unsettled: Settings, tmp_path: Path
) -> None:
    with pytest.raises(TumorMLError, match="does not exist"):
        put_drop(unsettled, tmp_path / "nowhere")
    for name in ("../x", "a/b", "", ".x", "_READY"):
        with pytest.raises(TumorMLError, match="cannot be the name of a drop"):
            put_drop(unsettled, tmp_path, name)
    write_files(tmp_path / "mine", {"glioma/a.png": png(1)})
    (tmp_path / "mine" / "linked").symlink_to(tmp_path)
    with pytest.raises(TumorMLError, match="link to a folder"):
        put_drop(unsettled, tmp_path / "mine")


def test_drop_without_marker_is_complete_after_settling(
    tmp_path: Path,
) -> None:
    settings = Settings(home=tmp_path, settle_seconds=0.4)
    folder = write_inbox(settings, "slow", {"glioma/a.png": png(1)})
    write_zip(settings.home / "objects/inbox/slow.zip", {"glioma/a.png": png(1)})
    assert [drop.complete for drop in waiting_drops(settings)] == [False, False]
    time.sleep(0.5)
    assert [drop.complete for drop in waiting_drops(settings)] == [True, True]
    write_files(folder, {"glioma/b.png": png(2)})
    assert [drop.complete for drop in waiting_drops(settings)] == [False, True]


def test_file_with_an_old_date_must_settle(unsettled: Settings) -> None:
    folder = write_inbox(unsettled, "unzipped", {"glioma/a.png": png(1)})
    os.utime(folder / "glioma/a.png", (1e9, 1e9))
    (drop,) = waiting_drops(unsettled)
    assert not drop.complete


def test_repeated_drop_has_another_fingerprint(unsettled: Settings) -> None:
    prints = set()
    for _ in range(2):
        folder = write_inbox(unsettled, "again", {"glioma/a.png": png(1)})
        os.utime(folder / "glioma/a.png", (1e9, 1e9))
        (drop,) = waiting_drops(unsettled)
        prints.add(drop.fingerprint)
        (folder / "glioma/a.png").unlink()
        time.sleep(0.02)
    assert len(prints) == 2


def test_marker_does_not_change_the_fingerprint(unsettled: Settings) -> None:
    folder = write_inbox(unsettled, "mine", {"glioma/a.png": png(1)})
    (before,) = waiting_drops(unsettled)
    write_files(folder, {"_READY": b""})
    (after,) = waiting_drops(unsettled)
    assert before.fingerprint == after.fingerprint
    assert (before.complete, after.complete) == (False, True)


def test_unfinished_write_is_no_drop(unsettled: Settings) -> None:
    write_files(unsettled.home / "objects/inbox", {f".big.zip.{'a' * 32}.part": b"half"})
    assert waiting_drops(unsettled) == []


def test_missing_inbox_is_empty(unsettled: Settings) -> None:
    assert waiting_drops(unsettled) == []


def test_claiming_twice_creates_one_batch(
    settings: Settings,
) -> None:
    write_inbox(settings, "Größe 7", {"glioma/a.png": png(1)})
    first = claim_drops(settings)
    assert claim_drops(settings) == first
    assert len(first) == 1
    assert first[0].split("-", 3)[3].startswith("gr-e-7-")


def test_put_drop_works_in_a_bucket(s3_server: S3Server, tmp_path: Path) -> None:
    settings = s3_server.settings(Settings(home=tmp_path, settle_seconds=3600), tmp_path.name)
    folder = write_files(tmp_path / "mine", {"glioma/a.png": png(1)})
    archive = write_zip(tmp_path / "mine.zip", {"no/b.png": png(2)}, zipfile.ZIP_STORED)
    assert put_drop(settings, folder) == "mine"
    assert put_drop(settings, archive) == "mine.zip"
    assert [put_drop(settings, folder), put_drop(settings, archive)] == ["mine-2", "mine-2.zip"]
    assert [(d.name, d.complete, d.files) for d in waiting_drops(settings)] == [
        ("mine", True, 1),
        ("mine-2", True, 1),
        ("mine-2.zip", True, 1),
        ("mine.zip", True, 1),
    ]
    store = object_store(settings)
    store.move("inbox/mine/glioma/a.png", "archive/a[1].png")
    assert store.read("archive/a[1].png") == png(1)
