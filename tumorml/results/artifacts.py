"""Artifact rows: a file that is written again keeps its row, with the new checksum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from tumorml.results.tables import Artifact


def record_artifacts(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ``artifact`` rows, over those of the same keys."""
    if not rows:
        return
    statement = insert(Artifact).values([dict(row) for row in rows])
    new = {name: statement.excluded[name] for name in ("size_bytes", "sha256")}
    session.execute(statement.on_conflict_do_update(index_elements=["object_key"], set_=new))
