from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.factories.rows import Dropped, add_batch, add_twins, four_class_batch, scan_of
from tumorml.datasets.labeling import (
    labels_and_conflicts,
    settle_label,
    settle_labels,
    settled_labels,
)
from tumorml.datasets.snapshots import read_snapshot, take_snapshot
from tumorml.errors import TumorMLError
from tumorml.labels import LABELS, Task, contradict
from tumorml.results.session import read_session
from tumorml.results.tables import Snapshot
from tumorml.results.twin_kinds import TwinKind
from tumorml.settings import Settings


def conflicts(settings: Settings) -> set[frozenset[str]]:
    with read_session(settings) as session:
        rows = session.execute(text("select scan, other_scan from label_conflict")).all()
    return {frozenset(filter(None, row)) for row in rows}


def labels_in_snapshot(settings: Settings, task: Task = Task.FOUR_CLASS) -> dict[str, str]:
    return {e.scan_id: e.label for e in read_snapshot(settings, take_snapshot(settings, task))}


def test_scan_with_two_labels_is_held_out_until_settled(settings: Settings) -> None:
    add_batch(settings, "b1", [*four_class_batch(), Dropped("x", "glioma")])
    add_batch(settings, "b2", [Dropped("x", "meningioma")])
    assert conflicts(settings) == {frozenset({scan_of("x")})}
    assert scan_of("x") not in labels_in_snapshot(settings)
    assert settle_label(settings, scan_of("x")[:12], "Meningioma", reason="MR 7", who="me")
    assert conflicts(settings) == set()
    assert labels_in_snapshot(settings)[scan_of("x")] == "meningioma"
    with read_session(settings) as session:
        held_out = [row.held_out for row in session.query(Snapshot).order_by(Snapshot.created_at)]
    assert held_out == [{"label_conflict": 1}, {}]


def test_twins_with_different_labels_are_both_held_out(settings: Settings) -> None:
    add_batch(settings, "b", [*four_class_batch(), Dropped("x", "glioma"), Dropped("y", "no")])
    add_twins(settings, "x", "y", kind=TwinKind.MIRRORED)
    x, y = scan_of("x"), scan_of("y")
    add_batch(settings, "c", [Dropped("y", "pituitary")])
    assert frozenset({x, y}) in conflicts(settings)
    assert not {x, y} & labels_in_snapshot(settings).keys()


def test_twin_of_a_scan_with_two_labels_is_held_out(settings: Settings) -> None:
    add_batch(settings, "b", [*four_class_batch(), Dropped("q", "glioma")])
    add_batch(settings, "c", [Dropped("q", "meningioma"), Dropped("r", "pituitary")])
    add_twins(settings, "q", "r")
    assert not {scan_of("q"), scan_of("r")} & labels_in_snapshot(settings).keys()
    assert frozenset({scan_of("q"), scan_of("r")}) in conflicts(settings)


def test_settled_twins_may_have_different_labels(settings: Settings) -> None:
    add_batch(
        settings, "b", [*four_class_batch(), Dropped("x", "glioma"), Dropped("y", "pituitary")]
    )
    add_twins(settings, "x", "y")
    settle_label(settings, scan_of("x"), "glioma", reason="seen", who="me")
    assert conflicts(settings)
    settle_label(settings, scan_of("y"), "pituitary", reason="seen", who="me")
    assert conflicts(settings) == set()
    labels = labels_in_snapshot(settings)
    assert (labels[scan_of("x")], labels[scan_of("y")]) == ("glioma", "pituitary")


def test_similar_twins_may_have_different_labels(settings: Settings) -> None:
    add_batch(
        settings, "b", [*four_class_batch(), Dropped("x", "glioma"), Dropped("y", "no_tumor")]
    )
    add_twins(settings, "x", "y", kind=TwinKind.SIMILAR, score=0.89)
    assert conflicts(settings) == set()
    assert {scan_of("x"), scan_of("y")} <= labels_in_snapshot(settings).keys()


def test_tumor_label_does_not_conflict_with_a_tumor_type(settings: Settings) -> None:
    add_batch(settings, "b1", [*four_class_batch(), Dropped("x", "glioma")])
    add_batch(settings, "b2", [Dropped("x", "tumor")])
    assert conflicts(settings) == set()
    assert labels_in_snapshot(settings)[scan_of("x")] == "glioma"
    assert labels_in_snapshot(settings, Task.BINARY)[scan_of("x")] == "tumor"


@pytest.mark.parametrize(
    ("scan", "label", "reason", "message"),
    [
        ("ffff", "glioma", "why", "No scan id begins with 'ffff'"),
        ("", "glioma", "why", "More than one scan id begins with ''"),
        (scan_of("x"), "cyst", "why", "'cyst' is not a label"),
        (scan_of("x"), "glioma", " ", "Give a reason"),
    ],
)
def test_invalid_label_decision_is_refused_with_the_problem(
    settings: Settings, scan: str, label: str, reason: str, message: str
) -> None:
    add_batch(settings, "b", [Dropped("x", "glioma"), Dropped("y", "glioma")])
    with pytest.raises(TumorMLError, match=message):
        settle_label(settings, scan, label, reason=reason, who="me")


def test_labels_conflict_through_an_unlabeled_twin(
    settings: Settings,
) -> None:
    """In a crowd some pairs have no row, so scans connected through other twins count, too."""
    add_batch(settings, "b", [*four_class_batch(), Dropped("x", "glioma"), Dropped("between")])
    add_batch(settings, "c", [Dropped("y", "pituitary")])
    add_twins(settings, "x", "between")
    add_twins(settings, "between", "y", kind=TwinKind.MIRRORED)
    assert not {scan_of("x"), scan_of("y")} & labels_in_snapshot(settings).keys()
    for name in ("x", "y"):
        settle_label(settings, scan_of(name), "glioma", reason="seen", who="me")
    assert {scan_of("x"), scan_of("y")} <= labels_in_snapshot(settings).keys()


ALL_LABELS = sorted({label for labels in LABELS.values() for label in labels})


def test_view_and_snapshots_agree_on_conflicts(settings: Settings) -> None:
    pairs = [(one, two) for one in ALL_LABELS for two in ALL_LABELS if one <= two]
    for one, two in pairs:
        add_batch(
            settings, f"{one}/{two}", [Dropped(f"{one}|{two}", one), Dropped(f"{two}|{one}.", two)]
        )
        add_twins(settings, f"{one}|{two}", f"{two}|{one}.")
    expected = {
        frozenset({scan_of(f"{one}|{two}"), scan_of(f"{two}|{one}.")})
        for one, two in pairs
        if contradict(one, two)
    }
    assert conflicts(settings) == expected and len(expected) == 7
    with read_session(settings) as session:
        held_out = {scan for task in Task for scan in labels_and_conflicts(session, task)[1]}
    assert held_out == frozenset().union(*expected)


def test_labels_are_settled_for_all_scans_or_none(settings: Settings) -> None:
    add_batch(settings, "b", [Dropped("x", "glioma"), Dropped("y", "pituitary")])
    with pytest.raises(TumorMLError, match="No scan id begins"):
        settle_labels(settings, [scan_of("x"), "nobody"], "glioma", reason="seen", who="me")
    with read_session(settings) as session:
        assert settled_labels(session) == {}
    both = [scan_of("x"), scan_of("y")]
    assert settle_labels(settings, both, "glioma", reason="seen", who="me") == both
    with read_session(settings) as session:
        assert settled_labels(session) == dict.fromkeys(both, "glioma")
