"""Sentences and tables about the split of a run's data, its leaks and its merged groups."""

from __future__ import annotations

from typing import NamedTuple

from tumorml.datasets.grouping.sides import SIDES
from tumorml.reports.document import Table
from tumorml.reports.facts.run_data import RunData, SideCounts
from tumorml.results.twin_kinds import TwinKind

GROUPS = (
    "Copies of one picture (re-encoded, resized, turned, mirrored) form a group, and so do scans "
    "of one patient if patient ids are given. A group is assigned to one side at random, and this "
    "side never changes, so that no model is tested on a picture that it was trained on."
)


class Statement(NamedTuple):
    """A sentence or two, and whether they are a warning."""

    text: str
    is_warning: bool


def split_statement(data: RunData) -> Statement:
    """Describe how the data were split."""
    if data.run.given_split:
        return Statement(
            "A benchmark on the data set's own split: scans of one patient and copies of one "
            "picture may be on both sides. This model can never serve.",
            True,
        )
    return Statement(GROUPS, False)


def held_out_statement(data: RunData) -> str:
    """Count the scans in the splits and the scans held out, by reason."""
    scans = sum(side.scans for side in data.sides.values())
    reasons = [
        f"{count:,} ({reason.replace('_', ' ')})"
        for reason, count in data.snapshot.held_out.items()
    ]
    return f"The splits hold {scans:,} scans; also held out: {', '.join(reasons) or 'none'}."


def leak_statement(data: RunData) -> Statement:
    """State whether test scans have twins in training."""
    if data.run.given_split:
        return Statement("Test scans by their closest twin in training.", False)
    if not any(data.leaks.values()):
        return Statement("No comparison of test scans with training scans is recorded.", True)
    leaking = sum(
        sum(by_label.values()) for kind, by_label in data.leaks.items() if kind != TwinKind.NONE
    )
    if leaking:
        return Statement(
            f"{leaking:,} test scans have a twin among the scans that the model was trained on. "
            "The results of this run are not valid.",
            True,
        )
    return Statement(
        "Every test scan was compared with every scan that the model was trained on, and no twin "
        "was found; a single twin would have failed the run. The comparison finds copies. Other "
        "slices of a patient are found only if patient ids are given.",
        False,
    )


def ties_statement(data: RunData) -> str:
    """Count the groups merged before the run; empty if there are none."""
    if not data.ties:
        return ""
    ties = ", ".join(f"{count:,} ({sides})" for sides, count in data.ties.items())
    return (
        f"Groups merged before this run, by their sides: {ties}. If they were on two sides, the "
        "scans of the later side are held out."
    )


def counts_table(data: RunData) -> Table:
    """Tabulate scans and groups of the snapshot by split and label, and scans with a mask."""
    rows = []
    for side in SIDES:
        total = data.sides[side]
        by_label = [total.labels.get(label, SideCounts()) for label in data.labels]
        cells = [f"{part.scans:,}\n{part.groups:,} groups" for part in (*by_label, total)]
        rows.append((side, *cells, f"{total.masked:,}"))
    return Table(("split", *data.labels, "all", "with a mask"), rows)


def leaks_table(data: RunData) -> Table:
    """Tabulate test scans by label and kind of their closest twin in training."""
    rows = [
        (
            kind.replace("_", " "),
            *(f"{counts.get(label, 0):,}" for label in data.labels),
            f"{sum(counts.values()):,}",
        )
        for kind, counts in data.leaks.items()
    ]
    return Table(("twin in training", *data.labels, "all"), rows)
