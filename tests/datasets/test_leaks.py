"""The leak report, and the split that a data set came with."""

from __future__ import annotations

from collections import Counter

import pytest
from sqlalchemy import select

from tests.datasets.test_snapshots import four_class_batch
from tests.factories.rows import Dropped, add_batch, add_twins, model_row, run_row, scan_of
from tumorml.datasets.leaks import leaks_of, learnt_before, write_leak_report
from tumorml.datasets.snapshots import read_snapshot, take_snapshot
from tumorml.errors import TumorMLError
from tumorml.evaluation.evaluate_run import _still_held_apart
from tumorml.labels import Task
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Leak, Run, Snapshot
from tumorml.results.twin_kinds import TwinKind
from tumorml.settings import Settings
from tumorml.training.plan_run import plan_run
from tumorml.training.train_run import train_run

TASK = Task.FOUR_CLASS


def leaking_set(settings: Settings) -> None:
    """A public set as they are: its Testing folder holds relatives of what is in Training."""
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


def test_each_test_scan_is_counted_by_its_closest_relative_in_training(settings: Settings) -> None:
    leaking_set(settings)
    entries = read_snapshot(settings, take_snapshot(settings, TASK, given_split=True))
    kinds = leaks_of(settings, entries)
    # The pair of mirrored twins has two labels, but on a given split files are taken as they are.
    assert {name: kinds[scan_of(name)] for name in ("copy", "mirror", "next", "kin", "clean")} == {
        "copy": TwinKind.REENCODED,
        "mirror": TwinKind.MIRRORED,
        "next": TwinKind.SIMILAR,
        "kin": TwinKind.SAME_GROUP,
        "clean": TwinKind.NONE,
    }
    assert kinds[scan_of("glioma-0")] == TwinKind.EXACT


def test_a_given_split_is_followed_file_by_file(settings: Settings) -> None:
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


def test_without_a_split_of_its_own_there_is_none_to_follow(settings: Settings) -> None:
    add_batch(settings, "b", four_class_batch())
    with pytest.raises(TumorMLError, match="came with a split of its own"):
        take_snapshot(settings, TASK, given_split=True)


def test_the_leak_report_has_a_row_for_each_kind_and_label(settings: Settings) -> None:
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


def test_a_run_whose_training_data_touches_a_test_group_fails(settings: Settings) -> None:
    add_batch(settings, "b", [d._replace(patient=None) for d in four_class_batch()])
    snapshot = take_snapshot(settings, TASK)
    run_id = str(plan_run(settings, snapshot, task=TASK, trigger="t").run_id)
    names = {scan_of(d.name): d.name for d in four_class_batch()}
    entries = read_snapshot(settings, snapshot)
    seen = next(e.scan_id for e in entries if e.split == "train" and e.label == "glioma")
    held = next(e.scan_id for e in entries if e.split == "test" and e.label == "glioma")
    add_twins(settings, names[seen], names[held], kind=TwinKind.MIRRORED)
    with pytest.raises(TumorMLError, match=r"1 test scans .* relative in its training data"):
        train_run(settings, run_id)
    with read_session(settings) as session:
        run = session.get_one(Run, run_id)
        assert run.state == "failed" and "mirrored" in str(run.reason)
    assert held not in {e.scan_id for e in read_snapshot(settings, take_snapshot(settings, TASK))}


def test_a_tie_that_came_after_the_snapshot_keeps_the_test_scan_out_of_judgement(
    settings: Settings,
) -> None:
    add_batch(settings, "b", [d._replace(patient=None) for d in four_class_batch()])
    entries = read_snapshot(settings, take_snapshot(settings, TASK))
    names = {scan_of(d.name): d.name for d in four_class_batch()}
    seen = next(e.scan_id for e in entries if e.split == "train")
    held = next(e.scan_id for e in entries if e.split == "test" and e.label == "glioma")
    add_batch(settings, "c", [Dropped(names[scan], None, "one patient") for scan in (seen, held)])
    assert leaks_of(settings, entries)[held] == TwinKind.NONE  # nobody has looked yet
    left = _still_held_apart(settings, "r", entries)
    assert {e.scan_id for e in entries} - {e.scan_id for e in left} == {held}


def test_what_a_champion_learnt_counts_for_the_run_that_goes_on_from_it(settings: Settings) -> None:
    add_batch(settings, "b", four_class_batch())
    first = take_snapshot(settings, TASK)
    entries = read_snapshot(settings, first)
    learnt = next(e.scan_id for e in entries if e.split == "train" and e.label == "glioma")
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
        assert learnt_before(session, "warm") == learnt_before(session, "from its file") == seen
        assert (
            learnt_before(session, "from another file") == learnt_before(session, "cold") == set()
        )
    later = [e for e in entries if e.split == "test"]
    names = {scan_of(d.name): d.name for d in four_class_batch()}
    add_twins(settings, names[learnt], names[later[0].scan_id], kind=TwinKind.MIRRORED)
    assert leaks_of(settings, later)[later[0].scan_id] == "none"
    assert leaks_of(settings, later, {learnt})[later[0].scan_id] == TwinKind.MIRRORED
