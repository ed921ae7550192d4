"""Slices: parts of a test set by batch, site, size or manifest column."""

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
"""Largest number of slices by one column; the largest slices are kept."""


def find_slices(
    session: Session, scan_ids: Sequence[str], columns: Sequence[str]
) -> dict[str, NDArray[np.bool_]]:
    """Divide scans into slices by the values of columns.

    A scan is in several slices of a column if it came in several files with different values, and
    in none if it has no value. A slice of all scans is left out. If a column has more than
    ``MOST_VALUES`` values, its smallest slices are left out, with a warning.

    Args:
        session: On the results store; read-only is enough.
        scan_ids: n ids.
        columns: ``batch`` (id of the batch that first contained the scan), ``site``, ``size`` (the
            longer side in pixels, in three bands), or any other column of the manifests.

    Returns:
        bool [n] by name, for instance ``site=Mainz``; sorted by name and never all true.
    """
    positions_by_value = _positions_by_value(
        session, scan_ids, list(dict.fromkeys(map(str.casefold, columns)))
    )
    slices = {}
    for column, values in positions_by_value.items():
        if len(values) > MOST_VALUES:
            logger.warning(
                "the column %s has %s values among %s scans; only the %s largest slices are used",
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


def _positions_by_value(
    session: Session, scan_ids: Sequence[str], columns: Sequence[str]
) -> dict[str, dict[str, list[int]]]:
    """Return positions in ``scan_ids`` by column and value; positions may repeat."""
    numbered_ids = (
        func.unnest(literal(list(scan_ids), ARRAY(Text)))
        .table_valued("scan_id", with_ordinality="number", name="numbered")
        .render_derived()
    )
    rows = session.execute(
        select(numbered_ids.c.number, *map(_value, columns))
        .join(Scan, Scan.id == numbered_ids.c.scan_id)
        .outerjoin(BatchFile, BatchFile.scan_id == Scan.id)
    )
    members: dict[str, dict[str, list[int]]] = {name: defaultdict(list) for name in columns}
    for number, *values in rows:
        for column, value in zip(columns, values, strict=True):
            if value is not None:
                members[column][value].append(number - 1)
    return members


def _value(column: str) -> ColumnElement[Any]:
    """Return the SQL expression of a column's value for a scan or its file; null if unset."""
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
