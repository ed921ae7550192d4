"""Rows of the table ``artifact``: files in the object store."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from tumorml.results.tables import Artifact


def artifact_row(
    kind: str,
    key: str,
    data: bytes,
    scan_id: str | None = None,
    model_version_id: str | None = None,
    run_id: str | None = None,
    *,
    media_type: str = "image/png",
) -> dict[str, object]:
    """Return the ``artifact`` row of a file that was stored under a key."""
    return {
        "object_key": key,
        "kind": kind,
        "media_type": media_type,
        "size_bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "run_id": run_id,
        "model_version_id": model_version_id,
        "scan_id": scan_id,
    }


def record_artifacts(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert ``artifact`` rows. A row with the same key gets the new size and checksum."""
    if not rows:
        return
    statement = insert(Artifact).values([dict(row) for row in rows])
    updated = {name: statement.excluded[name] for name in ("size_bytes", "sha256")}
    session.execute(statement.on_conflict_do_update(index_elements=["object_key"], set_=updated))
