"""Print an audit to the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tumorml.datasets.audit.findings import HELD_OUT, Audit
from tumorml.datasets.grouping.sides import SIDES
from tumorml.reports.audit.page import KIND_WORDS
from tumorml.results.twin_kinds import AUDIT_KINDS

_SHOWN = 5


def print_audit(console: Console, audit: Audit) -> None:
    """Print verdict, counts, leak-free split, label conflicts and unreadable files."""
    all_labels = audit.overall
    color = "red" if audit.leaks else "green"
    console.print(f"\n[bold {color}]{escape(audit.verdict)}[/]\n", highlight=False)
    images = "test images" if audit.has_split else "images"
    where = "in training" if audit.has_split else "elsewhere in the set"
    table = Table(title=f"{images} by their closest twin {where}", header_style="bold")
    table.add_column("label")
    for heading in (images, *(KIND_WORDS[kind] for kind in AUDIT_KINDS), "with a twin"):
        table.add_column(heading, justify="right")
    for count in (*audit.labels, all_labels):
        table.add_row(
            escape(count.label or "(no label)"),
            f"{count.total:,}",
            *(f"{count.kinds[kind]:,}" for kind in AUDIT_KINDS),
            f"{100 * count.with_twin / count.total:.1f} %",
            style="bold" if count is all_labels else None,
        )
    console.print(table)
    if all_labels.byte_identical:
        console.print(f"{all_labels.byte_identical:,} of the exact copies are identical files")

    leak_free = Table(title="scans by side in a leak-free split", header_style="bold")
    leak_free.add_column("label")
    for side in (*SIDES, HELD_OUT):
        leak_free.add_column(side.replace("_", " "), justify="right")
    for label, sides in audit.leak_free_split.items():
        cells = (f"{sides[side]:,}" for side in (*SIDES, HELD_OUT))
        leak_free.add_row(escape(label or "(no label)"), *cells)
    leak_free.add_row(
        "groups", *(f"{audit.groups.get(side, 0):,}" for side in SIDES), "", style="dim"
    )
    console.print(leak_free)

    _print_some(
        console,
        f"{len(audit.conflicts):,} pairs with contradicting labels",
        [
            f"{c.first.path} ({c.first.label}) and {c.second.path} ({c.second.label}), "
            f"{KIND_WORDS[c.kind]}, {c.score:.2f}"
            for c in audit.conflicts
        ],
    )
    _print_some(
        console,
        f"{len(audit.with_personal_metadata):,} files with metadata that may identify a person",
        [file.path for file in audit.with_personal_metadata],
    )
    _print_some(
        console,
        f"{len(audit.unreadable):,} files that could not be read",
        [f"{file.path}: {file.reason}" for file in audit.unreadable],
    )


def _print_some(console: Console, heading: str, lines: list[str]) -> None:
    console.print(heading, style="bold" if lines else "dim", highlight=False)
    for line in lines[:_SHOWN]:
        console.print(f"  {escape(line)}", highlight=False)
    if len(lines) > _SHOWN:
        console.print(f"  and {len(lines) - _SHOWN:,} more", style="dim")
