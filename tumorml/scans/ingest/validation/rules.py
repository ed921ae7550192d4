"""The rules for files and batches.

A file that fails a ``critical`` rule is refused; one that fails a ``warning`` is flagged. A batch
that fails a ``critical`` rule is quarantined; one that fails a ``warning`` is ingested and flagged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tumorml.settings import Settings

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

BLANK_REASON = "The picture is blank: all its pixels have nearly the same gray level."
MIN_DEVIATION = 2.0
"""Standard deviation of the gray levels (0 to 255)."""
MIN_FOREGROUND_SHARE = 0.01
MAX_ASPECT = 4.0
SMALL_SIDE = 64
"""Pixels."""
MAX_LABEL_DIVERGENCE = 0.3
"""Kullback-Leibler divergence in nats from equal shares of the labels.

With two labels the limit is reached if one has 87 % of the files, with four if one has 62 %.
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """An expectation, and the message that people see if it fails."""

    name: str
    expectation: Expectation
    sentence: str

    @property
    def severity(self) -> str:
        """``critical`` or ``warning``; see the module's docstring."""
        return str(self.expectation.severity.value)


def file_rules(settings: Settings) -> list[Rule]:
    """Return the rules for the table with one row per file."""
    import great_expectations.expectations as gxe

    def is_true(column: str, severity: str) -> Expectation:
        return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[True], severity=severity)

    def at_least(column: str, value: float, severity: str) -> Expectation:
        return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=value, severity=severity)

    return [
        Rule("readable", is_true("readable", "critical"), "It cannot be read as a scan."),
        Rule(
            "side",
            at_least("side", settings.min_scan_side, "critical"),
            f"Its shorter side is less than {settings.min_scan_side} pixels.",
        ),
        Rule(
            "not_blank",
            at_least("deviation", MIN_DEVIATION, "critical"),
            BLANK_REASON,
        ),
        Rule(
            "foreground",
            at_least("foreground_share", MIN_FOREGROUND_SHARE, "critical"),
            f"The picture is nearly empty: less than {MIN_FOREGROUND_SHARE:.0%} is not black.",
        ),
        Rule(
            "aspect",
            gxe.ExpectColumnValuesToBeBetween(
                column="aspect", max_value=MAX_ASPECT, severity="critical"
            ),
            f"One side is more than {MAX_ASPECT:g} times as long as the other.",
        ),
        Rule("not_small", at_least("side", SMALL_SIDE, "warning"), "The scan is small."),
        Rule(
            "extension_matches",
            is_true("extension_matches", "warning"),
            "The suffix of the name is not that of the file's format.",
        ),
        Rule(
            "no_person_in_metadata",
            gxe.ExpectColumnValuesToBeInSet(
                column="has_exif_person", value_set=[False], severity="warning"
            ),
            "The metadata may name a person.",
        ),
        Rule("single_frame", is_true("single_frame", "warning"), "Only the first frame is read."),
        Rule("exif_readable", is_true("exif_readable", "warning"), "The EXIF data is damaged."),
        Rule(
            "split_understood",
            is_true("split_understood", "warning"),
            "The split in the manifest is neither train nor test.",
        ),
    ]


def batch_rules(settings: Settings) -> list[Rule]:
    """Return the rules for the table with one row for the whole batch."""
    import great_expectations.expectations as gxe

    def at_most(column: str, value: float, severity: str) -> Expectation:
        return gxe.ExpectColumnValuesToBeBetween(column=column, max_value=value, severity=severity)

    return [
        Rule(
            "has_scans",
            gxe.ExpectColumnValuesToBeBetween(column="scans", min_value=1, severity="critical"),
            "It contains no acceptable scan.",
        ),
        Rule(
            "refused_share",
            at_most("refused_share", settings.max_refused_share, "critical"),
            "{refused} of {files} files are refused; the limit is "
            f"{settings.max_refused_share:.0%}.",
        ),
        Rule(
            "label_mix",
            at_most("label_divergence", MAX_LABEL_DIVERGENCE, "warning"),
            "Some labels are far more common than others.",
        ),
        Rule(
            "one_label_a_scan",
            at_most("conflicting_scans", 0, "warning"),
            "The same picture has different labels.",
        ),
    ]
