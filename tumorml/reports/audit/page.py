"""An audit as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from tumorml.datasets.audit.findings import HELD_OUT, Audit
from tumorml.datasets.grouping.sides import SIDES
from tumorml.datasets.twins.find_twins import LEAST_LIKENESS, SAME_PICTURE
from tumorml.reports.audit.pairs import Pair
from tumorml.reports.render.html import data_url, render_page
from tumorml.results.twin_kinds import AUDIT_KINDS, TWIN_KINDS, TwinKind

KIND_WORDS = {
    TwinKind.EXACT: "exact copy",
    TwinKind.REENCODED: "re-encoded",
    TwinKind.MIRRORED: "mirrored or turned",
    TwinKind.SIMILAR: "similar",
    TwinKind.SAME_PATIENT: "same patient",
    TwinKind.NONE: "none",
}
"""What people read for each kind; ``similar`` may be the next slice of the same patient."""
LISTED = 100
"""So many conflicts, and reasons for unreadable files, are listed; the CSV has them all."""


def audit_page(
    audit: Audit,
    *,
    name: str,
    pairs: Sequence[Pair],
    pictures: Mapping[str, bytes],
    companions: int = 0,
    notes: Sequence[str] = (),
) -> str:
    """The page.

    Args:
        audit: What it is about.
        name: Of the set.
        pairs: Those that are shown, in order.
        pictures: JPEGs by path; a file without one is shown as missing.
        companions: How many files of the set accompany scans and were passed over.
        notes: Sentences about how the set was understood.
    """
    return render_page(
        "audit.html",
        audit=audit,
        name=name,
        pairs=pairs,
        pictures={path: data_url(jpeg, "image/jpeg") for path, jpeg in pictures.items()},
        companions=companions,
        notes=notes,
        kinds=AUDIT_KINDS,
        twin_kinds=TWIN_KINDS,
        words=KIND_WORDS,
        sides=SIDES,
        held_out=HELD_OUT,
        listed=LISTED,
        least_likeness=LEAST_LIKENESS,
        same_picture=SAME_PICTURE,
        made_at=datetime.now(UTC),
    )
