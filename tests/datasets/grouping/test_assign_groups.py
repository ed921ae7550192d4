from __future__ import annotations

import hashlib
from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from tests.factories.rows import Dropped, add_batch, add_twins, scan_of
from tumorml.datasets.grouping.assign_groups import assign_groups
from tumorml.datasets.grouping.sides import draw_side
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import (
    Batch,
    BatchFile,
    Fingerprint,
    GroupTie,
    Scan,
    ScanGroup,
    ScanLabel,
    Twin,
)
from tumorml.results.twin_kinds import TwinKind
from tumorml.settings import Settings


def groups_of(settings: Settings) -> dict[str, ScanGroup]:
    with read_session(settings) as session:
        return {row.scan_id: row for row in session.scalars(select(ScanGroup))}


def patient_on(side: str, start: int = 0) -> str:
    """Return a patient id whose new group is drawn for the side."""
    for number in range(start, 10_000):
        name = hashlib.sha256(f"patient /p{number}".encode()).hexdigest()[:16]
        if draw_side(f"g-{name}", validation_share=0.15, test_share=0.20) == side:
            return f"p{number}"
    raise AssertionError("no such patient")


def test_scans_of_a_patient_share_a_group_across_batches(settings: Settings) -> None:
    add_batch(settings, "b1", [Dropped("one", "glioma", "p"), Dropped("two", "glioma", "p")])
    assert assign_groups(settings) == 2
    add_batch(settings, "b2", [Dropped("three", "glioma", "p"), Dropped("other", "glioma", "q")])
    assert assign_groups(settings) == 2
    groups = groups_of(settings)
    assert (
        len(
            {
                (groups[scan_of(n)].group_id, groups[scan_of(n)].side)
                for n in ("one", "two", "three")
            }
        )
        == 1
    )
    assert groups[scan_of("other")].group_id != groups[scan_of("one")].group_id


def test_equal_patient_ids_of_two_sites_are_two_patients(settings: Settings) -> None:
    add_batch(settings, "b", [Dropped("a", None, "1", "Delft"), Dropped("b", None, "1", "Mainz")])
    assign_groups(settings)
    groups = groups_of(settings)
    assert groups[scan_of("a")].group_id != groups[scan_of("b")].group_id


def test_patient_id_without_site_joins_the_one_with_a_site(settings: Settings) -> None:
    patients = [f"p{number}" for number in range(40)]
    add_batch(settings, "b1", [Dropped(f"a-{p}", "glioma", p) for p in patients])
    assign_groups(settings)
    add_batch(settings, "b2", [Dropped(f"b-{p}", "glioma", p.upper(), "Mainz") for p in patients])
    assign_groups(settings)
    groups = groups_of(settings)
    for p in patients:
        one, two = groups[scan_of(f"a-{p}")], groups[scan_of(f"b-{p}")]
        assert (one.group_id, one.side) == (two.group_id, two.side)


def test_tie_across_sides_holds_out_the_test_scans(
    settings: Settings,
) -> None:
    train, test = patient_on("train"), patient_on("test")
    add_batch(settings, "b1", [Dropped("a", "glioma", train), Dropped("b", "glioma", test)])
    assign_groups(settings)
    before = {scan: row.side for scan, row in groups_of(settings).items()}
    assert before == {scan_of("a"): "train", scan_of("b"): "test"}

    add_batch(settings, "b2", [Dropped("a", "glioma", test)])
    assign_groups(settings)
    after = groups_of(settings)
    assert {scan: row.side for scan, row in after.items()} == before
    assert len({row.group_id for row in after.values()}) == 1
    assert after[scan_of("b")].held_out and not after[scan_of("a")].held_out
    with read_session(settings) as session:
        tie = session.scalars(select(GroupTie)).one()
    assert {tie.kept_side, tie.merged_side} == {"train", "test"}
    assert train in tie.evidence and test in tie.evidence


def test_twins_share_a_group(settings: Settings) -> None:
    add_batch(settings, "b1", [Dropped("a", "glioma", "p"), Dropped("far", "glioma")])
    assign_groups(settings)
    add_batch(settings, "b2", [Dropped("b", "glioma", "q"), Dropped("c", "glioma")])
    add_twins(settings, "a", "b")
    add_twins(settings, "b", "c", kind=TwinKind.SIMILAR, score=0.88)
    assign_groups(settings)
    groups = groups_of(settings)
    assert len({groups[scan_of(name)].group_id for name in "abc"}) == 1
    assert len({groups[scan_of(name)].side for name in "abc"}) == 1
    assert groups[scan_of("far")].group_id != groups[scan_of("a")].group_id


def test_tie_across_sides_records_the_twins_and_their_score(settings: Settings) -> None:
    train, test = patient_on("train"), patient_on("test")
    add_batch(settings, "b1", [Dropped("a", "glioma", train), Dropped("b", "glioma", test)])
    assign_groups(settings)
    add_batch(settings, "b2", [Dropped("between", "glioma")])
    add_twins(settings, "a", "between", kind=TwinKind.MIRRORED, score=0.95)
    add_twins(settings, "b", "between", score=0.99)
    assign_groups(settings)
    after = groups_of(settings)
    assert after[scan_of("between")].side == "train" and after[scan_of("b")].held_out
    with read_session(settings) as session:
        tie = session.scalars(select(GroupTie)).one()
    assert tie.score in (0.95, 0.99)
    assert scan_of("between") in (tie.scan_id, tie.other_id)
    assert "twins" in tie.evidence


def test_new_scan_of_a_merged_group_gets_the_first_side(
    settings: Settings,
) -> None:
    """A training group merged with a test and a validation group still grows in training."""
    for start in range(0, 60, 20):  # the order of ids decides the order of scans
        train, test, validation = (patient_on(s, start) for s in ("train", "test", "validation"))
        names = [f"{name}{start}" for name in ("a", "b", "h", "n")]
        a, b, h, n = names
        add_batch(
            settings,
            f"b{start}",
            [Dropped(a, "glioma", train), Dropped(b, "glioma", test), Dropped(h, None, validation)],
        )
        assign_groups(settings)
        add_twins(settings, a, b)
        assign_groups(settings)
        add_twins(settings, b, h)
        assign_groups(settings)
        add_batch(settings, f"c{start}", [Dropped(n, "glioma", validation)])
        assign_groups(settings)
        rows = {name: groups_of(settings)[scan_of(name)] for name in names}
        assert len({row.group_id for row in rows.values()}) == 1
        assert [rows[name].held_out for name in names] == [False, True, True, False]
        assert (rows[a].side, rows[n].side) == ("train", "train")


def test_second_assignment_changes_nothing(settings: Settings) -> None:
    add_batch(settings, "b", [Dropped("a", None, "p"), Dropped("b", None, "p"), Dropped("c")])
    assign_groups(settings)
    first = {scan: (row.group_id, row.side) for scan, row in groups_of(settings).items()}
    assert assign_groups(settings) == 0
    assert {scan: (row.group_id, row.side) for scan, row in groups_of(settings).items()} == first


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_sides_are_drawn_in_their_shares(share: float) -> None:
    sides = [
        draw_side(f"g-{number}", validation_share=0.1, test_share=share) for number in range(4000)
    ]
    assert abs(sides.count("test") / 4000 - share) < 0.03
    assert abs(sides.count("validation") / 4000 - 0.1) < 0.03


scans = st.builds(
    Dropped,
    name=st.sampled_from("abcdefgh"),
    label=st.just("glioma"),
    patient=st.one_of(st.none(), st.sampled_from(["p1", "p2", "p3", "p4"])),
    site=st.sampled_from([None, "Delft"]),
    given_split=st.none(),
    attributes=st.none(),
    width=st.just(64),
    height=st.just(64),
)
names = st.sampled_from("abcdefgh")
alike = st.sets(st.tuples(names, names).filter(lambda pair: pair[0] < pair[1]), max_size=6)


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    batches=st.lists(st.lists(scans, min_size=1, max_size=6), min_size=1, max_size=4),
    twins=alike,
    data=st.data(),
)
def test_sides_are_stable_and_groups_independent_of_drop_order(
    settings: Settings,
    batches: list[list[Dropped]],
    twins: set[tuple[str, str]],
    data: st.DataObject,
) -> None:
    def partition(order: list[int]) -> set[frozenset[str]]:
        with write_session(settings) as session:
            for table in (
                GroupTie,
                ScanGroup,
                ScanLabel,
                BatchFile,
                Twin,
                Fingerprint,
                Scan,
                Batch,
            ):
                session.execute(delete(table))
        sides: dict[str, str] = {}
        present: set[str] = set()
        for index in order:
            before = set(present)
            present |= {dropped.name for dropped in batches[index]}
            add_batch(settings, f"b{index}", batches[index])
            for one, other in twins:
                if {one, other} <= present and not {one, other} <= before:
                    add_twins(settings, one, other)
            assign_groups(settings)
            now = groups_of(settings)
            assert all(now[scan].side == side for scan, side in sides.items())
            sides = {scan: row.side for scan, row in now.items()}
            usable = defaultdict(set)
            for row in now.values():
                if not row.held_out:
                    usable[row.group_id].add(row.side)
            assert all(len(sides_of_group) == 1 for sides_of_group in usable.values())
        members = defaultdict(set)
        for scan, row in groups_of(settings).items():
            members[row.group_id].add(scan)
        return {frozenset(group) for group in members.values()}

    order = list(range(len(batches)))
    shuffled = data.draw(st.permutations(order))
    assert partition(order) == partition(list(shuffled))
