"""An audit as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from tumorml.datasets.audit.findings import HELD_OUT, Audit
from tumorml.datasets.grouping.sides import SIDES
from tumorml.datasets.twins.find_twins import MIN_LIKENESS, SAME_PICTURE_LIKENESS
from tumorml.reports.audit.pairs import Pair
from tumorml.reports.render.html import data_url, render_page
from tumorml.results.twin_kinds import AUDIT_KINDS, TwinKind

KIND_WORDS = {
    TwinKind.EXACT: "exact copy",
    TwinKind.REENCODED: "re-encoded",
    TwinKind.MIRRORED: "mirrored or turned",
    TwinKind.SIMILAR: "similar",
    TwinKind.SAME_PATIENT: "same patient",
    TwinKind.NONE: "none",
}
"""Display names of the kinds; a ``similar`` scan may be the next slice of the same patient."""
LISTED = 100
"""Largest number of conflicts and of unreadable files on the page; the CSV has all of them."""


def audit_page(
    audit: Audit,
    *,
    name: str,
    pairs: Sequence[Pair],
    pictures: Mapping[str, bytes],
    companions: int = 0,
    notes: Sequence[str] = (),
) -> str:
    """Return the page of an audit.

    Args:
        audit: The summarized audit.
        name: Name of the set.
        pairs: Pairs to show, in order.
        pictures: JPEGs by path; a file without one is shown as missing.
        companions: Number of skipped files that accompany scans (masks, manifest, system files).
        notes: Sentences about how the layout of the set was interpreted.
    """
    return render_page(
        "audit.html",
        package="tumorml.reports.audit",
        audit=audit,
        name=name,
        pairs=pairs,
        pictures={path: data_url(jpeg, "image/jpeg") for path, jpeg in pictures.items()},
        companions=companions,
        notes=notes,
        kinds=AUDIT_KINDS,
        words=KIND_WORDS,
        sides=SIDES,
        held_out=HELD_OUT,
        listed=LISTED,
        least_likeness=MIN_LIKENESS,
        same_picture=SAME_PICTURE_LIKENESS,
        made_at=datetime.now(UTC),
    )
