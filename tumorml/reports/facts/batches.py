"""Newest batches, reasons of refusals, and label conflicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

SHOWN = 10
"""Largest number of batches, of reasons and of conflicts returned."""

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
    """Return the newest rows of ``batch_summary``, each with its ``validation``."""
    return session.execute(text(_BATCHES), {"shown": SHOWN}).all()


def refusals(session: Session, batches: Sequence[str]) -> Sequence[Row[Any]]:
    """Return the most frequent ``reason`` of refused ``files`` in these batches."""
    return session.execute(text(_REFUSALS), {"batches": list(batches), "shown": SHOWN}).all()


def label_conflicts(session: Session) -> Sequence[Row[Any]]:
    """Return the strongest rows of ``label_conflict``; ``conflicts`` is the number of all."""
    return session.execute(text(_CONFLICTS), {"shown": SHOWN}).all()


def batch_warnings(batch: Row[Any]) -> list[str]:
    """Return the warnings of a batch's validation, which do not stop an ingest."""
    return [
        line["sentence"]
        for line in (batch.validation or {}).get("expectations", ())
        if line["severity"] == "warning" and not line["success"]
    ]
