import pytest
from sqlalchemy import delete, func, select

from tests.factories.drop_files import (
    batches,
    everything,
    files_of,
    ingest_all,
    png,
    start_again,
    write_inbox,
    write_zip,
)
from tests.factories.mixed_drops import (
    GOOD_FILES,
    LABELED_FILES,
    ingest_in_threads,
    mask_png,
    masked_files,
    with_shard_files,
    write_drop,
)
from tumorml.objects import object_store
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Fingerprint
from tumorml.scans.contents.entry import Entry
from tumorml.scans.images.decode import decode
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.inbox.layout import FileDescription
from tumorml.scans.ingest import plan_shards as plan_module
from tumorml.scans.ingest.fingerprint_scans import fingerprint_scans
from tumorml.scans.ingest.plan_shards import (
    plan_batch,
    plan_shards,
    planned_batches,
    split_into_shards,
)
from tumorml.scans.ingest.shard_files import read_work
from tumorml.settings import Settings


@pytest.mark.parametrize("files", [LABELED_FILES, masked_files()], ids=["folders", "manifest"])
@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz"])
def test_shard_size_does_not_change_rows_or_objects(
    settings: Settings, kind: str, files: dict[str, bytes]
) -> None:
    write_drop(settings, kind, files)
    ingest_all(settings)
    expected = everything(settings)
    assert len(expected["fingerprint"]) > 5
    for size, least in ((1, 18), (3, 6), (10, 3)):
        start_again(settings)
        write_drop(settings, kind, files)
        shards = ingest_in_threads(with_shard_files(settings, size))
        assert len(shards) == 1 if kind.startswith("tar") else len(shards) >= least
        assert everything(settings) == expected
        start_again(settings)
        write_drop(settings, kind, files)
        ingest_all(with_shard_files(settings, size))
        assert everything(settings) == expected


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
def test_shard_size_does_not_change_a_quarantined_drop(
    settings: Settings, kind: str, files: dict[str, bytes]
) -> None:
    contents = []
    for size in (2_000, 1):
        write_drop(settings, kind, files)
        (settings.home / "objects/inbox/drop").mkdir(parents=True, exist_ok=kind == "folder")
        if kind == "zip":
            (settings.home / "objects/inbox/drop").rmdir()
        ingest_in_threads(with_shard_files(settings, size))
        contents.append(everything(settings))
        assert batches(settings)[0].state == "quarantined"
        start_again(settings)
    assert contents[0] == contents[1]


def test_mask_is_in_the_shard_of_its_scans(settings: Settings) -> None:
    entries = [Entry(name, 1) for name in ("a", "b", "c", "d", "e", "mask c", "mask ab", "loose")]
    descriptions = {entry.path: FileDescription("scan") for entry in entries}
    descriptions |= {
        "a": FileDescription("scan", mask="mask ab"),
        "b": FileDescription("scan", mask="mask ab"),
    }
    descriptions |= {"c": FileDescription("scan", mask="mask c")}
    shards = list(split_into_shards(entries, descriptions, with_shard_files(settings, 2), 1_000))
    assert shards == [[0, 1, 6], [2, 5], [3, 4], [7]]
    assert list(split_into_shards(entries, descriptions, with_shard_files(settings, 1), 3)) == [
        [0, 1, 6],
        [2, 3, 5],
        [4, 7],
    ]
    assert list(split_into_shards([], {}, settings, 1_000)) == [[]]


def test_mask_of_the_first_file_is_stored_if_there_are_several(
    settings: Settings,
) -> None:
    sharded = with_shard_files(settings, 1)
    write_inbox(settings, "drop", masked_files())
    ingest_in_threads(sharded)  # from the last shard to the first
    rows = files_of(settings, batches(settings)[0].id)
    both = rows["images/0-again.png"], rows["images/0.png"]
    assert both[0].mask_key == both[1].mask_key
    stored = decode(object_store(settings).read(str(both[0].mask_key)), min_side=1).pixels
    assert stored[45, 45] == 255 and stored[4, 4] == 0
    write_inbox(settings, "later", masked_files() | {"masks/0-other.png": mask_png(20)})
    ingest_in_threads(sharded)
    stored = decode(object_store(settings).read(str(both[0].mask_key)), min_side=1).pixels
    assert stored[45, 45] == 255 and stored[25, 25] == 0


def test_shard_work_lists_only_the_files_of_the_shard(settings: Settings) -> None:
    sharded = with_shard_files(settings, 4)
    write_inbox(settings, "drop", GOOD_FILES)
    (batch_id,) = claim_drops(sharded)
    assert plan_batch(sharded, batch_id).shards == 3
    store = object_store(settings)
    works = [read_work(store, batch_id, shard) for shard in (1, 2, 3)]
    assert [len(work.claim.files) for work in works] == [4, 4, 4]
    assert sorted(f.profile.path for work in works for f in work.files) == sorted(GOOD_FILES)


def test_plan_does_not_change_with_the_shard_size(settings: Settings) -> None:
    write_inbox(settings, "drop", GOOD_FILES)
    ids = claim_drops(settings)
    assert len(plan_shards(with_shard_files(settings, 4), ids)) == 3
    assert len(plan_shards(with_shard_files(settings, 1), ids)) == 3


def test_batches_beyond_the_shard_limit_wait_for_the_next_run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "MAX_SHARDS", 5)
    sharded = with_shard_files(settings, 1)
    write_inbox(settings, "large", GOOD_FILES)
    write_inbox(settings, "small", {"glioma/s.png": png(80)})
    write_zip(settings.home / "objects/inbox/middle.zip", {f"no/{n}.png": png(n) for n in range(3)})
    large, middle, small = claim_drops(sharded)
    shards = plan_shards(sharded, [large, middle, small])
    assert [(s["batch_id"], s["shard"], s["shards"]) for s in shards] == [
        *((large, number, 4) for number in range(1, 5)),
        (small, 1, 1),
    ]
    assert planned_batches(shards) == [large, small]
    assert planned_batches(plan_shards(sharded, [middle, small])) == [middle, small]
    ingest_in_threads(sharded)
    ingest_in_threads(sharded)
    assert [batch.state for batch in batches(settings)] == ["ingested"] * 3


def test_fingerprint_parts_cover_the_whole_batch(settings: Settings) -> None:
    write_inbox(settings, "drop", GOOD_FILES)
    (batch_id,) = ingest_all(settings)
    with write_session(settings) as session:
        session.execute(delete(Fingerprint))
    made = [fingerprint_scans(settings, batch_id, shard, 3) for shard in (1, 2, 3)]
    assert sum(made) == len(GOOD_FILES) and max(made) < len(GOOD_FILES)
    with read_session(settings) as session:
        assert session.scalar(select(func.count()).select_from(Fingerprint)) == len(GOOD_FILES)
