"""However a drop is cut, and whoever reads its shards, what is left is the same."""

from __future__ import annotations

import io
import itertools
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, func, select

from tests.factories.drop_files import (
    batches,
    everything,
    files_of,
    image_bytes,
    ingest_all,
    labels_of,
    picture,
    png,
    start_again,
    write_inbox,
    write_tar,
    write_zip,
)
from tests.scans.ingest.test_bad_input import BAD, GOOD
from tumorml.errors import StoreRefusedError, TumorMLError
from tumorml.objects import object_store
from tumorml.objects.local import LocalObjects
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Fingerprint
from tumorml.scans.contents.open_contents import DropRefusedError, Entry
from tumorml.scans.contents.tar_archive import TarContents
from tumorml.scans.contents.zip_archive import ZipContents
from tumorml.scans.images.decode import decode
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.inbox.layout import FileDescription
from tumorml.scans.ingest import plan_shards as plan_module
from tumorml.scans.ingest.fingerprint_scans import fingerprint_scans
from tumorml.scans.ingest.finish_batch import finish_batch, ingest_batch
from tumorml.scans.ingest.plan_shards import cut, plan_batch, plan_shards, planned_batches
from tumorml.scans.ingest.read_shard import read_shard
from tumorml.scans.ingest.shard_files import read_work
from tumorml.settings import Settings

SPAWN = multiprocessing.get_context("spawn")
LABELLED = GOOD | BAD | {"glioma/again.png": png(3), ".DS_Store": b"system"}


def mask(corner: int, side: int = 64) -> bytes:
    pixels = np.zeros((side, side), np.uint8)
    pixels[corner : corner + 9, corner : corner + 9] = 255
    return image_bytes(pixels)


def masked_files() -> dict[str, bytes]:
    """Scans first and their masks last, one mask for two, and one picture with two masks."""
    rows = [f"images/{n}.png,glioma,p{n},masks/{n}.png" for n in range(12)]
    rows += ["images/shared.png,glioma,p1,masks/1.png", "images/gone.png,yes,p1,"]
    rows += ["images/0-again.png,glioma,p0,masks/0-other.png", "images/odd.png,lesion,p1,"]
    rows += ["images/large.png,yes,p9,masks/large.png", "images/torn.png,yes,p9,masks/torn.png"]
    files = {f"images/{n}.png": png(n) for n in range(12)}
    files |= {"images/shared.png": png(50), "images/odd.png": png(51), "images/extra.png": png(52)}
    files |= {"images/0-again.png": image_bytes(picture(0), "BMP"), "images/large.png": png(53)}
    files |= {"images/torn.png": png(54), "masks/torn.png": b"text", "masks/large.png": mask(9, 70)}
    files |= {f"masks/{n}.png": mask(n) for n in range(12)} | {"masks/0-other.png": mask(40)}
    return files | {"manifest.csv": "\n".join(["path,label,patient_id,mask", *rows]).encode()}


def drop(settings: Settings, kind: str, files: dict[str, bytes]) -> None:
    inbox = settings.home / "objects" / "inbox"
    if kind == "folder":
        write_inbox(settings, "drop", files)
        return
    packed = settings.home.parent / f"drop.{kind}"
    if kind == "zip":
        write_zip(packed, files)
    elif not packed.exists():  # gzip writes down when it packed
        write_tar(packed, files, "w:gz" if kind == "tar.gz" else "w")
    inbox.mkdir(parents=True, exist_ok=True)
    shutil.copy(packed, inbox)


def of_size(settings: Settings, files: int) -> Settings:
    return settings.model_copy(update={"ingest_shard_files": files})


def read_in_threads(settings: Settings) -> list[dict[str, Any]]:
    """Take in whatever waits as the DAG does it; the shards that it was cut into."""
    shards = plan_shards(settings, claim_drops(settings))
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda shard: read_shard(settings, **shard), reversed(shards)))
        list(pool.map(lambda batch: finish_batch(settings, batch), planned_batches(shards)))
        list(pool.map(lambda shard: fingerprint_scans(settings, **shard), shards))
    return shards


@pytest.mark.parametrize("files", [LABELLED, masked_files()], ids=["folders", "manifest"])
@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz"])
def test_however_a_drop_is_cut_the_same_rows_and_objects_are_left(
    settings: Settings, kind: str, files: dict[str, bytes]
) -> None:
    drop(settings, kind, files)
    ingest_all(settings)
    whole = everything(settings)
    assert len(whole["fingerprint"]) > 5
    for size, least in ((1, 18), (3, 6), (10, 3)):
        start_again(settings)
        drop(settings, kind, files)
        shards = read_in_threads(of_size(settings, size))
        assert len(shards) == 1 if kind.startswith("tar") else len(shards) >= least
        assert everything(settings) == whole
        start_again(settings)
        drop(settings, kind, files)
        ingest_all(of_size(settings, size))
        assert everything(settings) == whole


@pytest.mark.parametrize(
    "files",
    [
        {"glioma/a.png": b"text", "glioma/b.png": b"text", "glioma/c.png": png(1)},
        {"manifest.csv": b"path,class\na.png,glioma\n", "a.png": png(1), "b.png": png(2)},
        {},
    ],
    ids=["mostly bad", "manifest without labels", "empty"],
)
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_drop_that_is_refused_whole_is_so_however_it_is_cut(
    settings: Settings, kind: str, files: dict[str, bytes]
) -> None:
    left = []
    for size in (2_000, 1):
        drop(settings, kind, files)
        (settings.home / "objects/inbox/drop").mkdir(parents=True, exist_ok=kind == "folder")
        if kind == "zip":
            (settings.home / "objects/inbox/drop").rmdir()
        read_in_threads(of_size(settings, size))
        left.append(everything(settings))
        assert batches(settings)[0].state == "quarantined"
        start_again(settings)
    assert left[0] == left[1]


def test_a_mask_is_in_the_shard_of_its_scans_wherever_it_lies(settings: Settings) -> None:
    entries = [Entry(name, 1) for name in ("a", "b", "c", "d", "e", "mask c", "mask ab", "loose")]
    descriptions = {entry.path: FileDescription("scan") for entry in entries}
    descriptions |= {
        "a": FileDescription("scan", mask="mask ab"),
        "b": FileDescription("scan", mask="mask ab"),
    }
    descriptions |= {"c": FileDescription("scan", mask="mask c")}
    shards = list(cut(entries, descriptions, of_size(settings, 2), 1_000))
    assert shards == [[0, 1, 6], [2, 5], [3, 4], [7]]
    assert list(cut(entries, descriptions, of_size(settings, 1), 3)) == [
        [0, 1, 6],
        [2, 3, 5],
        [4, 7],
    ]
    assert list(cut([], {}, settings, 1_000)) == [[]]


def test_of_several_masks_of_one_picture_the_first_files_stays_whoever_is_read_first(
    settings: Settings,
) -> None:
    cutting = of_size(settings, 1)
    write_inbox(settings, "drop", masked_files())
    read_in_threads(cutting)  # from the last shard to the first
    rows = files_of(settings, batches(settings)[0].id)
    both = rows["images/0-again.png"], rows["images/0.png"]
    assert both[0].mask_key == both[1].mask_key
    stored = decode(object_store(settings).read(str(both[0].mask_key)), min_side=1).pixels
    assert stored[45, 45] == 255 and stored[4, 4] == 0
    write_inbox(settings, "later", masked_files() | {"masks/0-other.png": mask(20)})
    read_in_threads(cutting)
    stored = decode(object_store(settings).read(str(both[0].mask_key)), min_side=1).pixels
    assert stored[45, 45] == 255 and stored[25, 25] == 0


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
def test_a_shard_that_was_killed_is_read_again(settings: Settings, kind: str) -> None:
    cutting = of_size(settings, 10)
    drop(settings, kind, LABELLED)
    ingest_all(settings)
    whole = everything(settings)
    start_again(settings)
    drop(settings, kind, LABELLED)
    shards = plan_shards(cutting, claim_drops(cutting))
    killed = in_a_process(cutting, read_and_be_killed, shards[0])
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    with pytest.raises(TumorMLError, match="could not be read"):
        finish_batch(cutting, shards[0]["batch_id"])
    assert batches(settings)[0].state == "waiting"
    read_in_threads(cutting)
    assert everything(settings) == whole


def test_shards_are_read_at_once_in_processes_and_one_of_them_twice(settings: Settings) -> None:
    cutting = of_size(settings, 10)
    drop(settings, "folder", masked_files())
    ingest_all(settings)
    whole = everything(settings)
    start_again(settings)
    drop(settings, "folder", masked_files())
    shards = plan_shards(cutting, claim_drops(cutting))
    assert len(shards) >= 3
    running = [in_a_process(cutting, read_one, shard) for shard in (*shards[:2], shards[0])]
    for process in running:
        process.join()
        assert process.exitcode == 0
    read_in_threads(cutting)
    assert everything(settings) == whole


def test_a_shard_that_was_read_is_not_read_again(settings: Settings) -> None:
    cutting = of_size(settings, 1)
    folder = write_inbox(settings, "drop", GOOD)
    (shard, *_) = plan_shards(cutting, claim_drops(cutting))
    read_shard(cutting, **shard)
    (folder / "glioma/good0.png").rename(folder / "glioma/elsewhere.png")
    read: list[int] = []
    read_shard(cutting, **shard, on_progress=lambda done, _: read.append(done))
    assert read == []
    ingest_all(cutting)
    rows = files_of(settings, shard["batch_id"])
    assert "went away" in str(rows["glioma/good0.png"].reason)
    assert len(labels_of(rows)) == len(GOOD) - 1


def test_a_worker_is_told_of_no_file_that_is_not_in_its_shard(settings: Settings) -> None:
    cutting = of_size(settings, 4)
    write_inbox(settings, "drop", GOOD)
    (batch_id,) = claim_drops(cutting)
    assert plan_batch(cutting, batch_id).shards == 3
    store = object_store(settings)
    told = [read_work(store, batch_id, shard) for shard in (1, 2, 3)]
    assert [len(work.claim.files) for work in told] == [4, 4, 4]
    assert sorted(f.profile.path for work in told for f in work.files) == sorted(GOOD)


def test_a_plan_stays_though_the_setting_changes(settings: Settings) -> None:
    write_inbox(settings, "drop", GOOD)
    ids = claim_drops(settings)
    assert len(plan_shards(of_size(settings, 4), ids)) == 3
    assert len(plan_shards(of_size(settings, 1), ids)) == 3


def test_there_are_never_more_shards_than_airflow_maps(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "MOST_SHARDS", 5)
    cutting = of_size(settings, 1)
    write_inbox(settings, "large", GOOD)
    write_inbox(settings, "small", {"glioma/s.png": png(80)})
    write_zip(settings.home / "objects/inbox/middle.zip", {f"no/{n}.png": png(n) for n in range(3)})
    large, middle, small = claim_drops(cutting)
    shards = plan_shards(cutting, [large, middle, small])
    assert [(s["batch_id"], s["shard"], s["shards"]) for s in shards] == [
        *((large, number, 4) for number in range(1, 5)),
        (small, 1, 1),
    ]
    assert planned_batches(shards) == [large, small]
    assert planned_batches(plan_shards(cutting, [middle, small])) == [middle, small]
    read_in_threads(cutting)
    read_in_threads(cutting)
    assert [batch.state for batch in batches(settings)] == ["ingested"] * 3


def test_a_batch_with_a_damaged_shard_waits_and_the_others_are_finished(
    settings: Settings,
) -> None:
    cutting = of_size(settings, 5)
    write_inbox(settings, "damaged", GOOD)
    write_inbox(settings, "lost", {"no/a.png": png(60)})
    write_inbox(settings, "sound", {"no/b.png": png(61)})
    damaged, lost, sound = claim_drops(cutting)
    claim = settings.home / f"objects/claims/{lost}.json"
    kept = claim.read_bytes()
    claim.unlink()
    shards = plan_shards(cutting, [damaged, lost, sound])
    assert {"batch_id": lost, "shard": 1, "shards": 1} in shards
    work = settings.home / f"objects/claims/{damaged}/work-0002.json.gz"
    work.rename(work.with_name("away"))
    failed = []
    for shard in shards:
        try:
            read_shard(cutting, **shard)
        except TumorMLError:
            failed.append((shard["batch_id"], shard["shard"]))
    assert sorted(failed) == sorted([(damaged, 2), (lost, 1)])
    with pytest.raises(TumorMLError, match=f"{damaged} waits, because its shards 2 could not"):
        finish_batch(cutting, damaged)
    with pytest.raises(TumorMLError):
        finish_batch(cutting, lost)
    finish_batch(cutting, sound)
    assert [b.state for b in batches(settings)] == ["waiting", "waiting", "ingested"]
    work.with_name("away").rename(work)
    claim.write_bytes(kept)
    read_in_threads(cutting)
    assert [b.state for b in batches(settings)] == ["ingested"] * 3


def test_a_batch_that_was_recorded_but_not_put_away_is_only_finished(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_inbox(settings, "drop", GOOD)
    (batch_id,) = claim_drops(settings)
    with monkeypatch.context() as patch:
        patch.setattr("tumorml.scans.ingest.put_away", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ingest_batch(settings, batch_id)
    assert folder.exists()
    assert read_in_threads(settings) == [{"batch_id": batch_id, "shard": 1, "shards": 1}]
    assert not folder.exists()


def test_the_parts_of_a_batch_have_all_its_fingerprints_between_them(settings: Settings) -> None:
    write_inbox(settings, "drop", GOOD)
    (batch_id,) = ingest_all(settings)
    with write_session(settings) as session:
        session.execute(delete(Fingerprint))
    made = [fingerprint_scans(settings, batch_id, shard, 3) for shard in (1, 2, 3)]
    assert sum(made) == len(GOOD) and max(made) < len(GOOD)
    with read_session(settings) as session:
        assert session.scalar(select(func.count()).select_from(Fingerprint)) == len(GOOD)


def test_a_remote_store_has_its_files_moved_by_many_hands(
    settings: Settings, s3_settings: Settings
) -> None:
    remote = s3_settings
    store = object_store(remote)
    for path, data in (GOOD | BAD).items():
        store.write(f"inbox/drop/{path}", data)
    read_in_threads(of_size(remote, 5))
    (batch,) = batches(settings)
    rows = files_of(settings, batch.id)
    assert all(store.read(str(rows[p].object_key)) == data for p, data in (GOOD | BAD).items())
    assert list(store.list("inbox")) == []


def test_what_is_written_anew_while_others_are_moved_stays_in_the_inbox(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_inbox(settings, "drop", {f"glioma/{n}.png": png(n) for n in range(3)})
    store = object_store(settings)
    move = LocalObjects.move

    def move_while_somebody_writes(self: LocalObjects, source: str, target: str) -> None:
        move(self, source, target)
        if source.endswith("0.png"):
            self.write(source.replace("0.png", "2.png"), png(9))

    monkeypatch.setattr(LocalObjects, "move", move_while_somebody_writes)
    (batch,) = claim_drops(settings)
    ingest_batch(settings, batch)
    (left,) = store.list("inbox")
    assert store.read(left.key) == png(9)
    assert len(list(store.list("archive"))) == 2


def test_credentials_that_have_run_out_refuse_no_file(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_inbox(settings, "drop", {f"glioma/{n}.png": png(n) for n in range(3)})
    (batch,) = claim_drops(settings)
    read = LocalObjects.read

    def no_longer(self: LocalObjects, key: str) -> bytes:
        if key.startswith("inbox/"):
            raise StoreRefusedError("the token has expired")
        return read(self, key)

    with monkeypatch.context() as patch, pytest.raises(StoreRefusedError):
        patch.setattr(LocalObjects, "read", no_longer)
        ingest_batch(settings, batch)
    ingest_batch(settings, batch)
    assert {row.outcome for row in files_of(settings, batch).values()} == {"taken_in"}


def test_an_archive_whose_places_lie_before_its_start_is_damaged(
    settings: Settings, tmp_path: Path
) -> None:
    end = b"PK\5\6" + bytes(18)
    (tmp_path / "drop").write_bytes(b"PK\6\7" + bytes(12) + b"\1\0\0\0" + end)
    with (
        (tmp_path / "drop").open("rb") as stream,
        pytest.raises(DropRefusedError, match="not a zip archive"),
    ):
        ZipContents(stream, settings)


class Refusing(io.BytesIO):
    """An archive whose store lets nobody read on after some reads."""

    def __init__(self, data: bytes, reads: int) -> None:
        super().__init__(data)
        self.reads = reads

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads -= 1
        if self.reads < 0:
            raise StoreRefusedError("the token has expired")
        return super().read(size)


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_nor_do_they_blame_an_archive(
    settings: Settings, tmp_path: Path, write: Callable[..., Path]
) -> None:
    data = write(tmp_path / "drop", {f"glioma/{n}.png": png(n) for n in range(3)}).read_bytes()
    kind = ZipContents if write is write_zip else TarContents
    for reads in itertools.count():
        try:
            contents = kind(Refusing(data, reads), settings)
            read = list(contents.read({entry.path for entry in contents.entries}))
        except StoreRefusedError:
            continue
        assert [failure for _, _, failure in read] == [None] * 3
        assert reads > 4
        break
