"""Nothing that a person, or an attacker, drops may stop the rest or be lost."""

import hashlib
import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.factories.drop_files import (
    batches,
    image_bytes,
    ingest_all,
    ingest_one,
    original,
    picture,
    png,
    png_bomb,
    stored_digests,
    write_files,
    write_inbox,
    write_tar,
    write_zip,
)
from tumorml.scans.inbox.drops import put_drop, waiting_drops
from tumorml.settings import Settings

GOOD = {f"glioma/good{number}.png": png(number) for number in range(12)}
BAD = {
    "glioma/cut.jpg": image_bytes(picture(50), "JPEG")[:300],
    "glioma/corrupt.png": png(51)[:200] + b"\0" * 60 + png(51)[260:],
    "glioma/text.jpg": b"this is text",
    "glioma/empty.png": b"",
    "glioma/bomb.png": png_bomb(),
    "glioma/blank.png": image_bytes(picture(1) * 0),
    "glioma/dark.png": image_bytes(picture(1) // 20),
    "glioma/strip.png": image_bytes(picture(1, 200)[:40]),
    "astrocytoma/a.png": png(52),
    "beside.png": png(53),
    "glioma/nested.zip": b"PK\x03\x04 and so on",
}
REASONS = {
    "glioma/cut.jpg": "cut short or damaged",
    "glioma/corrupt.png": "cut short or damaged",
    "glioma/text.jpg": "not an image",
    "glioma/empty.png": "empty",
    "glioma/bomb.png": "900,000,000|more than",
    "glioma/blank.png": "blank",
    "glioma/dark.png": "nearly empty",
    "glioma/strip.png": "4 times as long",
    "astrocytoma/a.png": "not the name of a label; known are glioma, ",
    "beside.png": "beside the label folders",
    "glioma/nested.zip": "zip archive",
}


def drop_by_hand(settings: Settings, kind: str, files: dict[str, bytes]) -> None:
    inbox = settings.home / "objects/inbox"
    if kind == "folder":
        write_inbox(settings, "bad", files)
    elif kind == "zip":
        write_zip(inbox / "bad.zip", files)
    else:
        write_tar(inbox / f"bad.{kind}", files, f"w:{kind.removeprefix('tar').strip('.')}")


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_bad_files_are_refused_with_reasons_and_the_rest_is_taken_in(
    settings: Settings, kind: str
) -> None:
    drop_by_hand(settings, kind, GOOD | BAD)
    rows = ingest_one(settings)
    assert {path for path, row in rows.items() if row.outcome == "taken_in"} == set(GOOD)
    refused = {path: row.reason for path, row in rows.items() if row.outcome == "refused"}
    assert set(refused) == set(BAD)
    for path, reason in REASONS.items():
        assert any(part in str(refused[path]) for part in reason.split("|")), (path, refused[path])
    for path, data in (GOOD | BAD).items():
        assert original(settings, rows[path]) == data
        assert rows[path].sha256 == hashlib.sha256(data).hexdigest()
        if path in BAD:
            assert str(rows[path].object_key).startswith("quarantine/")
    (batch,) = batches(settings)
    assert batch.state == "ingested"
    reasons = settings.home / "objects/quarantine" / batch.id / "reasons.json"
    assert "astrocytoma/a.png" in reasons.read_text()
    assert waiting_drops(settings) == []


def test_a_batch_with_too_many_refused_files_is_quarantined_whole(settings: Settings) -> None:
    files = {"glioma/a.png": png(1)} | {f"glioma/{n}.png": b"text" for n in range(2)}
    write_inbox(settings, "mostly bad", files)
    rows = ingest_one(settings)
    (batch,) = batches(settings)
    assert batch.state == "quarantined"
    assert batch.reason == "2 of 3 files are refused, a larger share than 50%."
    assert {row.outcome for row in rows.values()} == {"refused"}
    assert "The whole drop was refused" in str(rows["glioma/a.png"].reason)
    assert {original(settings, row) for row in rows.values()} == set(files.values())


@pytest.mark.parametrize("marker", [False, True])
def test_an_empty_drop_is_refused_with_its_reason(settings: Settings, marker: bool) -> None:
    folder = settings.home / "objects/inbox/nothing/in here"
    for times in (1, 2):
        folder.mkdir(parents=True)
        if marker:
            write_files(folder.parent, {"_READY": b""})
        ingest_all(settings)
        assert [(b.state, b.reason) for b in batches(settings)] == [
            ("quarantined", "The drop is empty: there is no file in it.")
        ] * times
        assert not folder.parent.exists()


def test_paths_that_lead_outside_are_refused(settings: Settings, tmp_path: Path) -> None:
    outside = ["../evil.png", "/etc/evil.png", "C:\\evil.png", "a\\..\\..\\evil.png", "b/../c.png"]
    files = GOOD | {name: png(70 + n) for n, name in enumerate(outside)}
    write_zip(settings.home / "objects/inbox/evil.zip", files)
    write_tar(settings.home / "objects/inbox/evil.tar", files, "w")
    ingest_all(settings)
    assert [batch.state for batch in batches(settings)] == ["ingested"] * 2
    from tests.factories.drop_files import files_of

    for batch in batches(settings):
        rows = files_of(settings, batch.id)
        for name in outside:
            assert rows[name].outcome == "refused"
            assert "leads out" in str(rows[name].reason)
        assert sum(row.outcome in ("taken_in", "duplicate") for row in rows.values()) == len(GOOD)
    assert not list(settings.home.rglob("evil.png"))


def test_links_and_devices_in_a_tar_are_refused(settings: Settings) -> None:
    path = write_tar(settings.home / "objects/inbox/links.tar", GOOD, "w")
    kinds = {
        "glioma/soft.png": tarfile.SYMTYPE,
        "glioma/hard.png": tarfile.LNKTYPE,
        "glioma/device.png": tarfile.CHRTYPE,
        "glioma/pipe.png": tarfile.FIFOTYPE,
    }
    with tarfile.open(path, "a") as archive:
        for name, kind in kinds.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    rows = ingest_one(settings)
    assert {p for p, row in rows.items() if row.outcome == "refused"} == set(kinds)
    assert "link" in str(rows["glioma/soft.png"].reason)
    assert "link" in str(rows["glioma/hard.png"].reason)
    assert "device" in str(rows["glioma/pipe.png"].reason)


def test_links_and_pipes_in_a_folder_are_refused_and_never_opened(settings: Settings) -> None:
    folder = write_inbox(settings, "links", GOOD)
    (folder / "glioma/soft.png").symlink_to("/etc/passwd")
    (folder / "glioma/loop").symlink_to(folder)
    os.mkfifo(folder / "glioma/pipe.png")
    rows = ingest_one(settings)
    refused = {p: row for p, row in rows.items() if row.outcome == "refused"}
    assert set(refused) == {"glioma/soft.png", "glioma/loop", "glioma/pipe.png"}
    assert all("link" in str(row.reason) for row in refused.values())
    moved = settings.home / "objects" / str(refused["glioma/soft.png"].object_key)
    assert moved.is_symlink()


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz"])
def test_a_bomb_in_an_archive_is_refused(settings: Settings, kind: str) -> None:
    bomb = bytes(120 * 1024**2)
    small = settings.model_copy(update={"max_archive_ratio": 150.0})
    drop_by_hand(small, kind, GOOD | {"glioma/bomb.png": bomb})
    rows = ingest_one(small)
    (batch,) = batches(small)
    if kind == "zip":
        assert "packed size" in str(rows["glioma/bomb.png"].reason)
        assert batch.state == "ingested"
    else:
        assert batch.state == "quarantined"
        assert "times its size" in str(batch.reason)
        assert str(rows[f"bad.{kind}"].object_key).startswith("quarantine/")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.bz2"])
@pytest.mark.parametrize(
    ("limit", "reason"),
    [({"max_archive_files": 5}, "more than 5 files"), ({"max_archive_bytes": 9_000}, "9,000")],
)
def test_an_archive_over_a_limit_is_refused_whole(
    settings: Settings, kind: str, limit: dict[str, int], reason: str
) -> None:
    limited = settings.model_copy(update=limit)
    drop_by_hand(limited, kind, GOOD)
    ingest_all(limited)
    (batch,) = batches(limited)
    assert batch.state == "quarantined"
    assert reason in str(batch.reason)
    kept = settings.home / "objects/quarantine" / batch.id / f"bad.{kind}"
    assert kept.is_file()


def test_a_zip_whose_headers_lie_about_sizes_is_still_counted(settings: Settings) -> None:
    path = write_zip(
        settings.home / "objects/inbox/lies.zip", GOOD | {"glioma/x.png": bytes(10**7)}
    )
    data = path.read_bytes()
    real = (10**7).to_bytes(4, "little")
    assert data.count(real) == 2
    path.write_bytes(data.replace(real, (500).to_bytes(4, "little")))
    rows = ingest_one(settings)
    assert rows["glioma/x.png"].outcome == "refused"
    assert sum(row.outcome == "taken_in" for row in rows.values()) == len(GOOD)


def test_an_encrypted_or_oddly_packed_member_is_refused(settings: Settings) -> None:
    path = settings.home / "objects/inbox/odd.zip"
    write_zip(path, GOOD)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("glioma/bzip.png", png(80), zipfile.ZIP_BZIP2)
        archive.writestr("glioma/secret.png", png(81))
    data = bytearray(path.read_bytes())
    place = data.rfind(b"PK\x01\x02")
    data[place + 8] |= 1
    path.write_bytes(data)
    rows = ingest_one(settings)
    assert "ordinary zip" in str(rows["glioma/bzip.png"].reason)
    assert "encrypted" in str(rows["glioma/secret.png"].reason)


@pytest.mark.parametrize("name", ["cut.zip", "cut.tar.gz", "cut.tar", "cut.tar.bz2", "cut.tar.xz"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_an_archive_that_is_cut_short_is_kept_in_quarantine(
    settings: Settings, name: str, share: float
) -> None:
    kind = name.removeprefix("cut.")
    drop_by_hand(settings, kind, GOOD)
    path = settings.home / "objects/inbox" / f"bad.{kind}"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    ingest_all(settings)
    (batch,) = batches(settings)
    assert (batch.state, waiting_drops(settings)) == ("quarantined", [])
    assert hashlib.sha256(data[: int(len(data) * share)]).hexdigest() in stored_digests(settings)


def test_names_that_are_not_utf_8_are_refused_and_stored_escaped(settings: Settings) -> None:
    folder = write_inbox(settings, "names", GOOD)
    (folder / "glioma" / os.fsdecode(b"caf\xe9.png")).write_bytes(png(90))
    (folder / "glioma" / os.fsdecode(b"\xff" * 250)).write_bytes(png(91))
    tar_path = write_tar(settings.home / "objects/inbox/names.tar", GOOD, "w")
    with tarfile.open(tar_path, "a", encoding="latin-1", format=tarfile.GNU_FORMAT) as archive:
        member = tarfile.TarInfo("glioma/caf\xe9.png")
        member.size = len(png(90))
        archive.addfile(member, io.BytesIO(png(90)))
    zip_path = write_zip(
        settings.home / "objects/inbox/names.zip", GOOD | {"glioma/cafX.png": png(90)}
    )
    zip_path.write_bytes(zip_path.read_bytes().replace(b"cafX.png", b"caf\xe9.png"))
    from tests.factories.drop_files import files_of

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


def test_a_manifest_with_missing_and_contradictory_rows_costs_only_those_files(
    settings: Settings,
) -> None:
    listed = "".join(f"{path},glioma,p{n}\n" for n, path in enumerate(GOOD))
    extra = "gone.png,glioma,p\ntwice.png,glioma,p\ntwice.png,yes,p\nodd.png,lesion,p\n"
    files = GOOD | {
        "manifest.csv": f"path,label,patient_id\n{listed}{extra}".encode(),
        "twice.png": png(60),
        "odd.png": png(61),
        "extra.png": png(62),
    }
    write_inbox(settings, "listed", files)
    rows = ingest_one(settings)
    assert rows["gone.png"].reason == "Named by the manifest but not in the drop."
    assert rows["gone.png"].object_key is None
    assert "Listed twice" in str(rows["twice.png"].reason)
    assert "'lesion' is not known" in str(rows["odd.png"].reason)
    assert rows["extra.png"].reason == "Not listed in manifest.csv."
    assert rows["manifest.csv"].outcome == "companion"
    assert sum(row.outcome == "taken_in" for row in rows.values()) == len(GOOD)
    assert all(original(settings, rows[path]) == data for path, data in files.items())


def test_a_manifest_without_labels_quarantines_the_drop(settings: Settings) -> None:
    files = {"manifest.csv": b"path,class\na.png,glioma\n", "a.png": png(1)}
    write_zip(settings.home / "objects/inbox/unlabelled.zip", files)
    rows = ingest_one(settings)
    (batch,) = batches(settings)
    assert batch.state == "quarantined"
    assert "needs one column 'label'; its first line has path, class" in str(batch.reason)
    assert original(settings, rows["a.png"]) == png(1)


def test_names_that_clash_with_the_services_own_or_each_other_lose_nothing(
    settings: Settings,
) -> None:
    write_inbox(settings, "clash", GOOD | {"reasons.json": b"mine"})
    path = settings.home / "objects/inbox/clash.zip"
    write_zip(path, GOOD)
    with zipfile.ZipFile(path, "a") as archive:
        for name, data in [("x", b"1"), ("x/y.png", b"2"), ("x//y.png", b"3"), ("n" * 300, b"4")]:
            archive.writestr(name, data)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("glioma/good1.png", png(99))
    from tests.factories.drop_files import files_of

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


def test_a_linked_folder_in_the_inbox_is_refused_and_what_it_points_to_is_left_alone(
    settings: Settings, tmp_path: Path
) -> None:
    theirs = write_files(tmp_path / "theirs", GOOD)
    inbox = settings.home / "objects/inbox"
    inbox.mkdir(parents=True)
    (inbox / "linked").symlink_to(theirs)
    ingest_all(settings)
    (batch,) = batches(settings)
    assert batch.state == "quarantined"
    assert len(list(theirs.rglob("*.png"))) == len(GOOD)
    assert not (inbox / "linked").exists()


def test_a_dropped_text_file_is_not_ignored(settings: Settings) -> None:
    write_files(settings.home / "objects/inbox", {"notes.txt": b"hello", "scans.rar": b"Rar!..."})
    ingest_all(settings)
    assert [batch.state for batch in batches(settings)] == ["quarantined"] * 2
    assert waiting_drops(settings) == []


def test_put_drop_refuses_nothing_that_ingest_can_explain(
    settings: Settings, tmp_path: Path
) -> None:
    folder = write_files(tmp_path / "mine", GOOD | {"glioma/text.jpg": b"text"})
    put_drop(settings, folder)
    shutil.rmtree(folder)
    rows = ingest_one(settings)
    assert "not an image" in str(rows["glioma/text.jpg"].reason)
