import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.factories.drop_files import (
    batches,
    files_of,
    ingest_all,
    original,
    png,
    write_inbox,
    write_tar,
    write_zip,
)
from tests.factories.mixed_drops import GOOD_FILES
from tumorml.scans.inbox.drops import waiting_drops
from tumorml.settings import Settings


def test_archive_paths_leading_outside_are_refused(settings: Settings, tmp_path: Path) -> None:
    outside = ["../evil.png", "/etc/evil.png", "C:\\evil.png", "a\\..\\..\\evil.png", "b/../c.png"]
    files = GOOD_FILES | {name: png(70 + n) for n, name in enumerate(outside)}
    write_zip(settings.home / "objects/inbox/evil.zip", files)
    write_tar(settings.home / "objects/inbox/evil.tar", files, "w")
    ingest_all(settings)
    assert [batch.state for batch in batches(settings)] == ["ingested"] * 2
    for batch in batches(settings):
        rows = files_of(settings, batch.id)
        for name in outside:
            assert rows[name].outcome == "refused"
            assert "leads out" in str(rows[name].reason)
        assert sum(row.outcome in ("taken_in", "duplicate") for row in rows.values()) == len(
            GOOD_FILES
        )
    assert not list(settings.home.rglob("evil.png"))


def test_names_that_are_not_utf_8_are_refused_and_escaped(settings: Settings) -> None:
    folder = write_inbox(settings, "names", GOOD_FILES)
    (folder / "glioma" / os.fsdecode(b"caf\xe9.png")).write_bytes(png(90))
    (folder / "glioma" / os.fsdecode(b"\xff" * 250)).write_bytes(png(91))
    tar_path = write_tar(settings.home / "objects/inbox/names.tar", GOOD_FILES, "w")
    with tarfile.open(tar_path, "a", encoding="latin-1", format=tarfile.GNU_FORMAT) as archive:
        member = tarfile.TarInfo("glioma/caf\xe9.png")
        member.size = len(png(90))
        archive.addfile(member, io.BytesIO(png(90)))
    zip_path = write_zip(
        settings.home / "objects/inbox/names.zip", GOOD_FILES | {"glioma/cafX.png": png(90)}
    )
    zip_path.write_bytes(zip_path.read_bytes().replace(b"cafX.png", b"caf\xe9.png"))
    ids = ingest_all(settings)
    assert len(ids) == 3
    for batch_id in ids:
        row = files_of(settings, batch_id)["glioma/caf\\xe9.png"]
        assert row.outcome == "refused"
        assert "not UTF-8" in str(row.reason)
    folder_rows = files_of(
        settings, next(i for i in ids if "names-tar" not in i and "zip" not in i)
    )
    assert original(settings, folder_rows["glioma/caf\\xe9.png"]) == png(90)
    assert original(settings, folder_rows["glioma/" + "\\xff" * 250]) == png(91)
    assert waiting_drops(settings) == []


def test_files_with_clashing_names_are_all_kept(
    settings: Settings,
) -> None:
    write_inbox(settings, "clash", GOOD_FILES | {"reasons.json": b"mine"})
    path = settings.home / "objects/inbox/clash.zip"
    write_zip(path, GOOD_FILES)
    with zipfile.ZipFile(path, "a") as archive:
        for name, data in [("x", b"1"), ("x/y.png", b"2"), ("x//y.png", b"3"), ("n" * 300, b"4")]:
            archive.writestr(name, data)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("glioma/good1.png", png(99))
    folder_batch, zip_batch = ingest_all(settings)
    rows = files_of(settings, folder_batch)
    assert original(settings, rows["reasons.json"]) == b"mine"
    rows = files_of(settings, zip_batch)
    assert rows["glioma/good1.png (2)"].outcome == "taken_in"
    assert {original(settings, rows[name]) for name in ("x", "x/y.png", "x//y.png", "n" * 300)} == {
        b"1",
        b"2",
        b"3",
        b"4",
    }
