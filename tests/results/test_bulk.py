from __future__ import annotations

from typing import Any

from sqlalchemy import select

from tumorml.results.bulk import copy_rows
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Batch
from tumorml.settings import Settings


def test_copied_rows_keep_json_nulls_quotes_and_commas(settings: Settings) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "one", "drop_name": 'a,"b"\n', "fingerprint": "f", "validation": {"x": [1, None]}},
        {"id": r"\N", "drop_name": "", "fingerprint": "g", "validation": None},
    ]
    with write_session(settings) as session:
        assert copy_rows(session, Batch, rows) == 2
    with read_session(settings) as session:
        two, one = session.scalars(select(Batch).order_by(Batch.id.collate("C")))
        assert (one.drop_name, one.validation) == ('a,"b"\n', {"x": [1, None]})
        assert (two.drop_name, two.validation) == ("", None)


def test_rows_that_exist_are_skipped_on_request(settings: Settings) -> None:
    first = {"id": "one", "drop_name": "a", "fingerprint": "f"}
    second = {"id": "two", "drop_name": "b", "fingerprint": "f"}
    with write_session(settings) as session:
        assert copy_rows(session, Batch, [first]) == 1
        changed = first | {"drop_name": "changed"}
        assert copy_rows(session, Batch, [changed, second], on_conflict_do_nothing=True) == 1
        assert copy_rows(session, Batch, []) == 0
    with read_session(settings) as session:
        found = session.execute(select(Batch.id, Batch.drop_name).order_by(Batch.id)).all()
        assert [tuple(row) for row in found] == [("one", "a"), ("two", "b")]
