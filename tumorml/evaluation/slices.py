"""Parts of a test set: by batch, by site, by size, by what manifests say."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ARRAY, ColumnElement, Text, case, func, literal, select
from sqlalchemy.orm import Session

from tumorml.results.tables import BatchFile, Scan

logger = logging.getLogger(__name__)

MOST_VALUES = 50
"""Of a column with more values than this, only so many are looked at, the largest."""


def slices_of(
    session: Session, scan_ids: Sequence[str], columns: Sequence[str]
) -> dict[str, NDArray[np.bool_]]:
    """The parts of some scans, by what is known of them.

    A scan that several files brought with several values is in the slice of each, one without a
    value in none. A slice that holds every scan is left out, and so are, with a warning, the
    smallest of a column that has more than ``MOST_VALUES`` values among these scans.

    Args:
        session: On the results store; one that can only read is enough.
        scan_ids: n ids.
        columns: ``batch`` (the one that brought the scan first, by its id), ``site``, ``size`` (the
            longer side in pixels, in three bands), or any further column of the drops' manifests.

    Returns:
        By name, for instance ``site=Mainz``, in the names' order: bool [n], never all true.
    """
    members = _members(session, scan_ids, list(dict.fromkeys(map(str.casefold, columns))))
    slices = {}
    for column, values in members.items():
        if len(values) > MOST_VALUES:
            logger.warning(
                "the column %s has %s values among these %s scans: slices by the %s most frequent",
                column,
                len(values),
                len(scan_ids),
                MOST_VALUES,
            )
        largest = sorted(values.items(), key=lambda item: (-len(item[1]), item[0]))
        for value, positions in largest[:MOST_VALUES]:
            chosen = np.zeros(len(scan_ids), np.bool_)
            chosen[positions] = True
            if not chosen.all():
                slices[f"{column}={value}"] = chosen
    return dict(sorted(slices.items()))


def _members(
    session: Session, scan_ids: Sequence[str], columns: Sequence[str]
) -> dict[str, dict[str, list[int]]]:
    """Positions of the scans by value by column; one that several files brought can come twice."""
    asked = (
        func.unnest(literal(list(scan_ids), ARRAY(Text)))
        .table_valued("scan_id", with_ordinality="number", name="asked")
        .render_derived()
    )
    rows = session.execute(
        select(asked.c.number, *map(_value, columns))
        .join(Scan, Scan.id == asked.c.scan_id)
        .outerjoin(BatchFile, BatchFile.scan_id == Scan.id)
    )
    members: dict[str, dict[str, list[int]]] = {name: defaultdict(list) for name in columns}
    for number, *values in rows:
        for column, value in zip(columns, values, strict=True):
            if value is not None:
                members[column][value].append(number - 1)
    return members


def _value(column: str) -> ColumnElement[Any]:
    """What a column says of a scan or of a file that brought it; null where it says nothing."""
    if column == "batch":
        return Scan.batch_id.expression
    if column == "site":
        return BatchFile.site.expression
    if column == "size":
        longer_side = func.greatest(Scan.width, Scan.height)
        return case(
            (longer_side < 256, "under 256"),
            (longer_side < 512, "256 to 511"),
            else_="512 and more",
        )
    attribute: ColumnElement[Any] = BatchFile.attributes[column].astext
    return attribute
