"""What the newest batches brought: files, refusals, labels that contradict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

SHOWN = 10
"""So many batches, reasons and conflicts are shown at most."""

_BATCHES = """
    select s.*, b.validation from batch_summary s join batch b on b.id = s.batch
    order by s.claimed_at desc, s.batch limit :shown
"""
_REFUSALS = """
    select reason, count(*) as files from batch_file
    where outcome = 'refused' and batch_id = any(:batches)
    group by reason order by files desc, reason limit :shown
"""
_CONFLICTS = """
    select *, count(*) over () as conflicts from label_conflict
    order by score desc nulls first, scan, other_scan limit :shown
"""


def newest_batches(session: Session) -> Sequence[Row[Any]]:
    """Of ``batch_summary`` the newest first, with what their ``validation`` says."""
    return session.execute(text(_BATCHES), {"shown": SHOWN}).all()


def refusals(session: Session, batches: Sequence[str]) -> Sequence[Row[Any]]:
    """The commonest ``reason`` why ``files`` of these batches were refused."""
    return session.execute(text(_REFUSALS), {"batches": list(batches), "shown": SHOWN}).all()


def label_conflicts(session: Session) -> Sequence[Row[Any]]:
    """The surest of ``label_conflict``; each row says how many ``conflicts`` there are."""
    return session.execute(text(_CONFLICTS), {"shown": SHOWN}).all()


def warnings_of(batch: Row[Any]) -> list[str]:
    """What a batch was taken in in spite of."""
    return [
        line["sentence"]
        for line in (batch.validation or {}).get("expectations", ())
        if line["severity"] == "warning" and not line["success"]
    ]
