"""How the data of a run were split and held apart, in tables and words."""

from __future__ import annotations

from tumorml.datasets.grouping.sides import SIDES
from tumorml.reports.facts.run_data import DataOfRun, SideOfData
from tumorml.reports.render.document import Table

GROUPS = (
    "Copies of one picture (re-encoded, resized, turned, mirrored) form a group, and so do scans "
    "of one patient where patients are named. A group draws its side by lot, once and for ever, so "
    "that no model is judged on a picture that it has learnt from."
)


def split_statement(data: DataOfRun) -> tuple[str, bool]:
    """How the data were split, and whether that is a warning."""
    if data.run.given_split:
        return (
            "A benchmark on the split that the data set came with: one patient, and one picture, "
            "may stand on both sides. This model can never serve.",
            True,
        )
    return GROUPS, False


def held_out_statement(data: DataOfRun) -> str:
    """What is in the snapshot, and what was left out of it."""
    scans = sum(side.scans for side in data.sides.values())
    reasons = [
        f"{count:,} ({reason.replace('_', ' ')})"
        for reason, count in data.snapshot.held_out.items()
    ]
    return f"The splits hold {scans:,} scans; held out besides: {', '.join(reasons) or 'none'}."


def leak_statement(data: DataOfRun) -> tuple[str, bool]:
    """Whether test scans have twins in training, and whether that is a warning."""
    if data.run.given_split:
        return "Test scans by the closest scan among those that the model learnt from.", False
    if not any(data.leaks.values()):
        return "No comparison of test scans with training scans is recorded.", True
    leaking = sum(sum(by.values()) for kind, by in data.leaks.items() if kind != "none")
    if leaking:
        return (
            f"{leaking:,} test scans have a twin among the scans that the model learnt from, so "
            "this run can be judged on nothing.",
            True,
        )
    return (
        "Every test scan was compared with every scan that the model learnt from; the run would "
        "have failed on a single twin. This finds copies: other slices of a patient are known as "
        "such only where patients are named.",
        False,
    )


def ties_statement(data: DataOfRun) -> str:
    """Which groups turned out to be one; empty where none did."""
    if not data.ties:
        return ""
    ties = ", ".join(f"{count:,} ({sides})" for sides, count in data.ties.items())
    return (
        f"Groups that became one before this run, by their sides: {ties}; where they stood on "
        "two, the later side is held out."
    )


def counts_table(data: DataOfRun) -> Table:
    """Scans and groups of the snapshot by split and label, with masks."""
    rows = []
    for side in SIDES:
        whole = data.sides[side]
        parts = [whole.labels.get(label, SideOfData()) for label in data.labels]
        cells = [f"{part.scans:,}\n{part.groups:,} groups" for part in (*parts, whole)]
        rows.append((side, *cells, f"{whole.masked:,}"))
    return Table(("split", *data.labels, "all", "with a mask"), rows)


def leaks_table(data: DataOfRun) -> Table:
    """Test scans by the closest kind of twin in training."""
    rows = [
        (
            kind.replace("_", " "),
            *(f"{counts.get(label, 0):,}" for label in data.labels),
            f"{sum(counts.values()):,}",
        )
        for kind, counts in data.leaks.items()
    ]
    return Table(("twin in training", *data.labels, "all"), rows)
