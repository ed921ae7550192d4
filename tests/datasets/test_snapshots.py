from __future__ import annotations

import io

import pyarrow.parquet as pq
import pytest
from sqlalchemy import func, select

from tests.factories.rows import Dropped, add_batch, four_class_batch, scan_of
from tumorml.datasets.snapshots import (
    SnapshotEntry,
    check_no_leak,
    read_snapshot,
    take_snapshot,
    tasks_with_enough_scans,
)
from tumorml.errors import TumorMLError
from tumorml.labels import Task
from tumorml.objects import object_store
from tumorml.results.session import read_session
from tumorml.results.tables import Snapshot, SnapshotScan
from tumorml.settings import Settings


def test_snapshot_id_changes_with_the_data_only(settings: Settings) -> None:
    add_batch(settings, "b1", four_class_batch())
    first = take_snapshot(settings, Task.FOUR_CLASS)
    assert take_snapshot(settings, Task.FOUR_CLASS) == first
    with read_session(settings) as session:
        assert session.scalar(select(func.count()).select_from(SnapshotScan)) == 240
    add_batch(settings, "b2", [Dropped("new", "glioma", "new")])
    assert take_snapshot(settings, Task.FOUR_CLASS) != first


def test_merged_groups_give_a_new_snapshot(settings: Settings) -> None:
    add_batch(settings, "b1", [d._replace(patient=None) for d in four_class_batch()])
    first = take_snapshot(settings, Task.FOUR_CLASS)
    side = [e.scan_id for e in read_snapshot(settings, first) if e.split == "test"]
    names = {scan_of(d.name): d.name for d in four_class_batch()}
    add_batch(settings, "b2", [Dropped(names[scan], None, "p") for scan in side[:2]])
    second = take_snapshot(settings, Task.FOUR_CLASS)
    assert second != first
    groups = {e.scan_id: e.group_id for e in read_snapshot(settings, second)}
    assert groups[side[0]] == groups[side[1]]


def test_snapshot_is_stored_as_parquet(settings: Settings) -> None:
    add_batch(settings, "b1", four_class_batch())
    snapshot = take_snapshot(settings, Task.FOUR_CLASS)
    table = pq.read_table(io.BytesIO(object_store(settings).read(f"snapshots/{snapshot}.parquet")))
    assert table.column("scan_id").to_pylist() == [
        e.scan_id for e in read_snapshot(settings, snapshot)
    ]
    assert set(table.column("split").to_pylist()) == {"train", "validation", "test"}


def test_four_class_labels_count_as_binary_labels_only(
    settings: Settings,
) -> None:
    add_batch(
        settings, "b1", [*four_class_batch(), Dropped("t", "tumor"), Dropped("n", "no_tumor")]
    )
    binary = {
        e.scan_id: e.label for e in read_snapshot(settings, take_snapshot(settings, Task.BINARY))
    }
    assert binary[scan_of("t")] == "tumor" and binary[scan_of("glioma-1")] == "tumor"
    four = {
        e.scan_id: e.label
        for e in read_snapshot(settings, take_snapshot(settings, Task.FOUR_CLASS))
    }
    assert scan_of("t") not in four and four[scan_of("n")] == "no_tumor"


def test_scan_with_two_labels_is_held_out_and_counted(settings: Settings) -> None:
    add_batch(settings, "b1", four_class_batch())
    add_batch(settings, "b2", [Dropped("glioma-1", "meningioma")])
    snapshot = take_snapshot(settings, Task.FOUR_CLASS)
    assert scan_of("glioma-1") not in {e.scan_id for e in read_snapshot(settings, snapshot)}
    with read_session(settings) as session:
        assert session.get_one(Snapshot, snapshot).held_out == {"label_conflict": 1}
    binary = {e.scan_id for e in read_snapshot(settings, take_snapshot(settings, Task.BINARY))}
    assert scan_of("glioma-1") in binary


def test_too_few_scans_error_names_the_labels(settings: Settings) -> None:
    add_batch(settings, "b1", [Dropped("a", "glioma")])
    with pytest.raises(TumorMLError, match="meningioma"):
        take_snapshot(settings, Task.FOUR_CLASS)
    assert tasks_with_enough_scans(settings) == []
    add_batch(settings, "b2", four_class_batch())
    assert tasks_with_enough_scans(settings) == list(Task)


def test_group_on_two_sides_is_refused() -> None:
    with pytest.raises(TumorMLError, match="g1"):
        check_no_leak(
            [
                SnapshotEntry("a", "glioma", "train", "g1"),
                SnapshotEntry("b", "glioma", "test", "g1"),
            ]
        )


def test_missing_label_can_be_allowed_but_one_label_is_refused(
    settings: Settings,
) -> None:
    add_batch(settings, "b1", [d for d in four_class_batch() if d.label == "glioma"])
    with pytest.raises(TumorMLError, match="Too few training scans"):
        take_snapshot(settings, Task.FOUR_CLASS)
    settings = settings.model_copy(update={"min_training_scans_per_label": 0})
    with pytest.raises(TumorMLError, match=r"have one label, glioma\. Drop scans of another label"):
        take_snapshot(settings, Task.FOUR_CLASS)
    add_batch(settings, "b2", [d for d in four_class_batch() if d.label != "no_tumor"])
    labels = {e.label for e in read_snapshot(settings, take_snapshot(settings, Task.FOUR_CLASS))}
    assert labels == {"glioma", "meningioma", "pituitary"}
