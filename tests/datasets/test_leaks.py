from __future__ import annotations

from collections import Counter

import pytest
from sqlalchemy import select

from tests.factories.rows import (
    Dropped,
    add_batch,
    add_twins,
    four_class_batch,
    model_row,
    run_row,
    scan_of,
)
from tumorml.datasets.leaks import find_leaks, scans_seen_by_ancestors, write_leak_report
from tumorml.datasets.snapshots import read_snapshot, take_snapshot
from tumorml.errors import TumorMLError
from tumorml.evaluation.evaluate_run import _without_related_scans
from tumorml.labels import Task
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Leak, Run, Snapshot
from tumorml.results.twin_kinds import TwinKind
from tumorml.settings import Settings
from tumorml.training.plan_run import plan_run
from tumorml.training.train_run import train_run

TASK = Task.FOUR_CLASS


def leaking_set(settings: Settings) -> None:
    """Add a public data set whose Testing folder has relatives of scans in Training."""
    test = [
        Dropped(name, "glioma", patient, None, "test")
        for name, patient in (
            ("glioma-0", None),
            ("copy", None),
            ("mirror", None),
            ("next", None),
            ("kin", "glioma-3"),
            ("clean", None),
        )
    ]
    train = [dropped._replace(given_split="train") for dropped in four_class_batch()]
    add_batch(settings, "b", train + test)
    add_twins(settings, "copy", "glioma-20")
    add_twins(settings, "copy", "glioma-22", kind=TwinKind.SIMILAR, score=0.9)
    add_twins(settings, "mirror", "meningioma-8", kind=TwinKind.MIRRORED)
    add_twins(settings, "next", "glioma-30", kind=TwinKind.SIMILAR, score=0.9)


def test_each_test_scan_has_its_closest_relation_to_training(settings: Settings) -> None:
    leaking_set(settings)
    entries = read_snapshot(settings, take_snapshot(settings, TASK, given_split=True))
    kinds = find_leaks(settings, entries)
    # The mirrored twins have two labels. A given split takes files as they are.
    assert {name: kinds[scan_of(name)] for name in ("copy", "mirror", "next", "kin", "clean")} == {
        "copy": TwinKind.REENCODED,
        "mirror": TwinKind.MIRRORED,
        "next": TwinKind.SIMILAR,
        "kin": TwinKind.SAME_GROUP,
        "clean": TwinKind.NONE,
    }
    assert kinds[scan_of("glioma-0")] == TwinKind.EXACT


def test_given_split_assigns_files_not_groups(settings: Settings) -> None:
    leaking_set(settings)
    own = take_snapshot(settings, TASK)
    given = take_snapshot(settings, TASK, given_split=True)
    assert own != given
    splits = Counter(
        e.split for e in read_snapshot(settings, given) if e.scan_id == scan_of("glioma-0")
    )
    assert splits["test"] == 1 and splits.total() == 2
    assert sum(e.split == "test" for e in read_snapshot(settings, given)) == 6
    with read_session(settings) as session:
        assert session.get_one(Snapshot, given).given_split
    plan = plan_run(settings, given, task=TASK, trigger="t")
    with read_session(settings) as session:
        assert session.get_one(Run, plan.run_id).given_split


def test_given_split_of_drops_without_one_is_an_error(settings: Settings) -> None:
    add_batch(settings, "b", four_class_batch())
    with pytest.raises(TumorMLError, match="No drop came with a split"):
        take_snapshot(settings, TASK, given_split=True)


def test_leak_report_counts_test_scans_by_kind(settings: Settings) -> None:
    leaking_set(settings)
    snapshot = take_snapshot(settings, TASK, given_split=True)
    run_id = str(plan_run(settings, snapshot, task=TASK, trigger="t").run_id)
    for _ in range(2):
        write_leak_report(settings, run_id, read_snapshot(settings, snapshot))
    with read_session(settings) as session:
        counts = {row.kind: row.scans for row in session.scalars(select(Leak))}
    assert counts == {
        TwinKind.EXACT: 1,
        TwinKind.REENCODED: 1,
        TwinKind.MIRRORED: 1,
        TwinKind.SIMILAR: 1,
        TwinKind.SAME_GROUP: 1,
        TwinKind.NONE: 1,
    }


def test_run_fails_if_a_test_scan_has_a_twin_in_training(settings: Settings) -> None:
    add_batch(settings, "b", [d._replace(patient=None) for d in four_class_batch()])
    snapshot = take_snapshot(settings, TASK)
    run_id = str(plan_run(settings, snapshot, task=TASK, trigger="t").run_id)
    names = {scan_of(d.name): d.name for d in four_class_batch()}
    entries = read_snapshot(settings, snapshot)
    seen = next(e.scan_id for e in entries if e.split == "train" and e.label == "glioma")
    held = next(e.scan_id for e in entries if e.split == "test" and e.label == "glioma")
    add_twins(settings, names[seen], names[held], kind=TwinKind.MIRRORED)
    with pytest.raises(TumorMLError, match=r"1 test scans .* related to its training data"):
        train_run(settings, run_id)
    with read_session(settings) as session:
        run = session.get_one(Run, run_id)
        assert run.state == "failed" and "mirrored" in str(run.reason)
    assert held not in {e.scan_id for e in read_snapshot(settings, take_snapshot(settings, TASK))}


def test_scan_tied_to_training_after_the_snapshot_is_not_judged(
    settings: Settings,
) -> None:
    add_batch(settings, "b", [d._replace(patient=None) for d in four_class_batch()])
    entries = read_snapshot(settings, take_snapshot(settings, TASK))
    names = {scan_of(d.name): d.name for d in four_class_batch()}
    seen = next(e.scan_id for e in entries if e.split == "train")
    held = next(e.scan_id for e in entries if e.split == "test" and e.label == "glioma")
    add_batch(settings, "c", [Dropped(names[scan], None, "one patient") for scan in (seen, held)])
    assert find_leaks(settings, entries)[held] == TwinKind.NONE  # groups are not assigned yet
    left = _without_related_scans(settings, "r", entries)
    assert {e.scan_id for e in entries} - {e.scan_id for e in left} == {held}


def test_scans_seen_by_the_ancestor_of_a_warm_start_leak(settings: Settings) -> None:
    add_batch(settings, "b", four_class_batch())
    first = take_snapshot(settings, TASK)
    entries = read_snapshot(settings, first)
    learned = next(e.scan_id for e in entries if e.split == "train" and e.label == "glioma")
    plan = plan_run(settings, first, task=TASK, trigger="first")
    with write_session(settings) as session:
        session.add(model_row("m", str(plan.run_id), TASK, sha256="of the file"))
        session.flush()
        for name, start in {
            "warm": {"warm_start_id": "m"},
            "from its file": {"weights_sha256": "of the file"},
            "from another file": {"weights_sha256": "of another"},
            "cold": {},
        }.items():
            session.add(run_row(name, TASK, first, trigger=name, **start))
    with read_session(settings) as session:
        seen = {e.scan_id for e in entries if e.split != "test"}
        for run in ("warm", "from its file"):
            assert scans_seen_by_ancestors(session, run) == seen
        for run in ("from another file", "cold"):
            assert scans_seen_by_ancestors(session, run) == set()
    later = [e for e in entries if e.split == "test"]
    names = {scan_of(d.name): d.name for d in four_class_batch()}
    add_twins(settings, names[learned], names[later[0].scan_id], kind=TwinKind.MIRRORED)
    assert find_leaks(settings, later)[later[0].scan_id] == TwinKind.NONE
    assert find_leaks(settings, later, {learned})[later[0].scan_id] == TwinKind.MIRRORED
