import hashlib
import tarfile
import zipfile

import pytest

from tests.factories.drop_files import (
    batches,
    ingest_all,
    ingest_one,
    png,
    stored_digests,
    write_tar,
    write_zip,
)
from tests.factories.mixed_drops import (
    GOOD_FILES,
    write_drop,
)
from tumorml.scans.inbox.drops import waiting_drops
from tumorml.settings import Settings


def test_links_and_devices_in_a_tar_are_refused(settings: Settings) -> None:
    path = write_tar(settings.home / "objects/inbox/links.tar", GOOD_FILES, "w")
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


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz"])
def test_archive_bomb_is_refused(settings: Settings, kind: str) -> None:
    bomb = bytes(120 * 1024**2)
    small = settings.model_copy(update={"max_archive_ratio": 150.0})
    write_drop(small, kind, GOOD_FILES | {"glioma/bomb.png": bomb}, "bad")
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
def test_archive_over_a_limit_is_quarantined(
    settings: Settings, kind: str, limit: dict[str, int], reason: str
) -> None:
    limited = settings.model_copy(update=limit)
    write_drop(limited, kind, GOOD_FILES, "bad")
    ingest_all(limited)
    (batch,) = batches(limited)
    assert batch.state == "quarantined"
    assert reason in str(batch.reason)
    kept = settings.home / "objects/quarantine" / batch.id / f"bad.{kind}"
    assert kept.is_file()


def test_zip_with_wrong_sizes_in_headers_is_limited(settings: Settings) -> None:
    path = write_zip(
        settings.home / "objects/inbox/wrong-sizes.zip", GOOD_FILES | {"glioma/x.png": bytes(10**7)}
    )
    data = path.read_bytes()
    real = (10**7).to_bytes(4, "little")
    assert data.count(real) == 2
    path.write_bytes(data.replace(real, (500).to_bytes(4, "little")))
    rows = ingest_one(settings)
    assert rows["glioma/x.png"].outcome == "refused"
    assert sum(row.outcome == "taken_in" for row in rows.values()) == len(GOOD_FILES)


def test_encrypted_and_bzip2_zip_members_are_refused(settings: Settings) -> None:
    path = settings.home / "objects/inbox/odd.zip"
    write_zip(path, GOOD_FILES)
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
def test_truncated_archive_is_quarantined_unchanged(
    settings: Settings, name: str, share: float
) -> None:
    kind = name.removeprefix("cut.")
    write_drop(settings, kind, GOOD_FILES, "bad")
    path = settings.home / "objects/inbox" / f"bad.{kind}"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    ingest_all(settings)
    (batch,) = batches(settings)
    assert (batch.state, waiting_drops(settings)) == ("quarantined", [])
    assert hashlib.sha256(data[: int(len(data) * share)]).hexdigest() in stored_digests(settings)
