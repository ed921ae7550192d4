"""Slices by batch, site, size and manifest columns."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from sqlalchemy import event, text

from tests.factories.rows import Dropped, add_batch, scan_of
from tumorml.evaluation.find_slices import MOST_VALUES, find_slices
from tumorml.results.session import read_session, write_session
from tumorml.settings import Settings


def sliced(settings: Settings, names: str, *columns: str) -> dict[str, str]:
    """Return the names of the scans in each slice, joined."""
    with read_session(settings) as session:
        found = find_slices(session, [scan_of(name) for name in names], columns)
    return {
        key: "".join(name for name, part in zip(names, chosen, strict=True) if part)
        for key, chosen in found.items()
    }


def test_slices_by_batch_site_and_manifest_columns_are_sorted(
    settings: Settings,
) -> None:
    add_batch(
        settings,
        "b-2",
        [
            Dropped("a", site="south", attributes={"plane": "axial", "scanner": "x"}),
            Dropped("b", site="north", attributes={"plane": "coronal"}),
            Dropped("c", site="south", attributes={"scanner": "x"}),
            Dropped("elsewhere", site="west", attributes={"plane": "sagittal"}),
        ],
    )
    add_batch(settings, "b-1", [Dropped("d")])
    expected = {
        "batch=b-1": "d",
        "batch=b-2": "cab",
        "plane=axial": "a",
        "plane=coronal": "b",
        "site=north": "b",
        "site=south": "ca",
    }
    found = sliced(settings, "cadb", "site", "plane", "batch", "site")
    assert {key: "".join(sorted(names)) for key, names in found.items()} == {
        key: "".join(sorted(names)) for key, names in expected.items()
    }
    assert list(found) == list(expected)
    assert sliced(settings, "cadb", "Scanner") == {"scanner=x": "ca"}
    assert sliced(settings, "cadb", "patient_id", "a column 'of' %s nobody") == {}
    assert sliced(settings, "cadb") == {}
    assert sliced(settings, "", "batch", "plane") == {}


def test_positions_follow_the_list_of_scans(settings: Settings) -> None:
    add_batch(settings, "b", [Dropped("a", site="north"), Dropped("b", site="south")])
    with read_session(settings) as session:
        ids = [scan_of(name) for name in ("b", "unknown", "a", "b")]
        found = find_slices(session, ids, ["site"])
    assert {name: chosen.tolist() for name, chosen in found.items()} == {
        "site=north": [False, False, True, False],
        "site=south": [True, False, False, True],
    }
    assert all(chosen.dtype == np.bool_ for chosen in found.values())


def test_size_bands_use_the_longer_side(settings: Settings) -> None:
    sides = [(255, 255), (200, 256), (511, 300), (512, 10), (64, 4000)]
    add_batch(
        settings,
        "b",
        [
            Dropped(name, width=width, height=height)
            for name, (width, height) in zip("abcde", sides, strict=True)
        ],
    )
    assert sliced(settings, "abcde", "size") == {
        "size=256 to 511": "bc",
        "size=512 and more": "de",
        "size=under 256": "a",
    }


def test_scan_with_several_values_is_in_each_slice(
    settings: Settings,
) -> None:
    add_batch(
        settings, "first", [Dropped("a", site="north", attributes={"plane": "axial"}), Dropped("b")]
    )
    add_batch(
        settings,
        "second",
        [Dropped("a", site="south", attributes={"plane": "tilted"}), Dropped("a"), Dropped("c")],
    )
    assert sliced(settings, "abc", "batch", "site", "plane") == {
        "batch=first": "ab",
        "batch=second": "c",
        "plane=axial": "a",
        "plane=tilted": "a",
        "site=north": "a",
        "site=south": "a",
    }


def test_slice_of_all_scans_is_left_out(settings: Settings) -> None:
    add_batch(settings, "b", [Dropped("a", site="north"), Dropped("b", site="north"), Dropped("c")])
    assert sliced(settings, "ab", "batch", "site", "size") == {}
    assert sliced(settings, "abc", "batch", "site", "size") == {"site=north": "ab"}


def test_free_text_column_gives_the_largest_slices_and_a_warning(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    names = [chr(0x4E00 + number) for number in range(MOST_VALUES + 2)]
    notes = [Dropped(name, attributes={"note": name}) for name in names]
    notes[0] = notes[0]._replace(attributes={"note": names[-1]})
    add_batch(settings, "b", notes)
    found = sliced(settings, "".join(names), "note")
    assert len(found) == MOST_VALUES
    assert f"note={names[-1]}" in found and f"note={names[-2]}" not in found
    (warning,) = caplog.messages
    assert "column note has 51 values" in warning


def test_100_000_scans_are_sliced_in_one_query(settings: Settings) -> None:
    number = 100_000
    with write_session(settings) as session:
        for statement in (
            "insert into batch (id, drop_name, fingerprint) values ('b', 'b', '')",
            f"""insert into scan (id, width, height, mean, deviation, entropy, foreground_share,
                                  object_key, batch_id)
                select encode(sha256(n::text::bytea), 'hex'), 1, 1, 1, 1, 1, 1, '', 'b'
                from generate_series(1, {number}) n""",
            f"""insert into batch_file (batch_id, path, outcome, scan_id, attributes)
                select 'b', n, 'taken_in', encode(sha256(n::text::bytea), 'hex'),
                       jsonb_build_object('third', (n % 3)::text)
                from generate_series(1, {number}) n""",
        ):
            session.execute(text(statement))
    ids = [scan_of(str(n)) for n in range(1, number + 1)]
    with read_session(settings) as session:
        queries: list[str] = []
        event.listen(
            session.get_bind(),
            "before_cursor_execute",
            lambda *arguments: queries.append(arguments[2]),
        )
        found = find_slices(session, ids, ["batch", "site", "size", "third"])
    assert len(queries) == 1
    assert list(found) == ["third=0", "third=1", "third=2"]
    assert found["third=0"][2::3].all()
    assert [int(chosen.sum()) for chosen in found.values()] == [33_333, 33_334, 33_333]
