"""The judgement on a batch, by Great Expectations: which files are refused, or the batch whole.

Two suites, in code. One is about each file: where an expectation of severity ``critical`` fails,
the file is refused; ``warning`` flags it. The other is about the batch as one row of numbers:
``critical`` quarantines the batch, ``warning`` takes it in and flags it.
"""

from __future__ import annotations

import logging
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tumorml.scans.images.profile import FileProfile, profile_frame
from tumorml.settings import Settings

if TYPE_CHECKING:
    import pandas
    from great_expectations.expectations import Expectation

LEAST_DEVIATION = 2.0
LEAST_FOREGROUND_SHARE = 0.01
LARGEST_ASPECT = 4.0
SMALL_SIDE = 64
LARGEST_LABEL_DIVERGENCE = 0.3
"""In nats; two labels of which one has 87 % of the files, four of which one has 62 %."""


@dataclass(frozen=True, slots=True)
class Rule:
    """An expectation, and what a person is told where it fails."""

    name: str
    expectation: Expectation
    sentence: str

    @property
    def severity(self) -> str:
        """``critical`` or ``warning``."""
        return str(self.expectation.severity.value)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a batch and of its files, by path."""

    batch_reason: str | None
    refused: dict[str, str]
    """Reasons of the files that are refused by an expectation, beside those refused before."""
    flagged: dict[str, list[str]]
    """Names of the warnings of each file."""
    failed_warnings: int
    summary: dict[str, Any]
    """For ``batch.validation``: success, and each expectation's outcome."""


def validate(
    profiles: Sequence[FileProfile], settings: Settings, docs: Path, when: datetime
) -> Judgement:
    """Judge a batch and write its Data Docs, with an ``index.html``, into a folder.

    Args:
        profiles: Every file that should be a scan, with those already refused.
        settings: For the limits.
        docs: An empty folder for the HTML pages.
        when: The time that names the pages, so that doing it again gives the same ones.
    """
    context = _context(docs)
    file_rules = _file_rules(settings)
    results = _run(context, "files", profile_frame(profiles), file_rules, when)
    refused: dict[str, str] = {}
    flagged: dict[str, list[str]] = {}
    known = {profile.path: profile.reason for profile in profiles}
    for rule, result in zip(file_rules, results, strict=True):
        for row in result.get("unexpected_index_list") or ():
            path = row["path"]
            if rule.severity == "warning":
                flagged.setdefault(path, []).append(rule.name)
            elif not known[path]:
                refused.setdefault(path, rule.sentence)
    numbers = _batch_numbers(profiles, refused)
    batch_rules = _batch_rules(settings)
    batch_results = _run(context, "batch", _one_row(numbers), batch_rules, when)
    summary = _summary(file_rules, results, numbers)
    summary += _summary(batch_rules, batch_results, numbers)
    failed = [line for line in summary if not line["success"]]
    return Judgement(
        batch_reason=" ".join(
            rule.sentence.format(**numbers)
            for rule, result in zip(batch_rules, batch_results, strict=True)
            if rule.severity == "critical" and not result["success"]
        )
        or None,
        refused=refused,
        flagged=flagged,
        failed_warnings=sum(line["severity"] == "warning" for line in failed),
        summary={"success": not failed, "numbers": numbers, "expectations": summary},
    )


BLANK = "The picture is blank: all its pixels have nearly the same grey."


def _file_rules(settings: Settings) -> list[Rule]:
    import great_expectations.expectations as gxe

    def true(column: str, severity: str) -> Expectation:
        return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[True], severity=severity)

    def least(column: str, value: float, severity: str) -> Expectation:
        return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=value, severity=severity)

    return [
        Rule("readable", true("readable", "critical"), "It cannot be read as a scan."),
        Rule(
            "side",
            least("side", settings.min_scan_side, "critical"),
            f"Its shorter side is less than {settings.min_scan_side} pixels.",
        ),
        Rule(
            "not_blank",
            least("deviation", LEAST_DEVIATION, "critical"),
            BLANK,
        ),
        Rule(
            "foreground",
            least("foreground_share", LEAST_FOREGROUND_SHARE, "critical"),
            f"The picture is nearly empty: less than {LEAST_FOREGROUND_SHARE:.0%} is not black.",
        ),
        Rule(
            "aspect",
            gxe.ExpectColumnValuesToBeBetween(
                column="aspect", max_value=LARGEST_ASPECT, severity="critical"
            ),
            f"One side is more than {LARGEST_ASPECT:g} times as long as the other.",
        ),
        Rule("not_small", least("side", SMALL_SIDE, "warning"), "The scan is small."),
        Rule(
            "extension_matches",
            true("extension_matches", "warning"),
            "The name says another format than the file has.",
        ),
        Rule(
            "no_person_in_metadata",
            gxe.ExpectColumnValuesToBeInSet(
                column="has_exif_person", value_set=[False], severity="warning"
            ),
            "The metadata may name a person.",
        ),
        Rule("single_frame", true("single_frame", "warning"), "Only the first frame is read."),
        Rule("exif_readable", true("exif_readable", "warning"), "The EXIF data is damaged."),
        Rule(
            "split_understood",
            true("split_understood", "warning"),
            "The manifest's split is neither train nor test.",
        ),
    ]


def _batch_rules(settings: Settings) -> list[Rule]:
    import great_expectations.expectations as gxe

    def most(column: str, value: float, severity: str) -> Expectation:
        return gxe.ExpectColumnValuesToBeBetween(column=column, max_value=value, severity=severity)

    return [
        Rule(
            "has_scans",
            gxe.ExpectColumnValuesToBeBetween(column="scans", min_value=1, severity="critical"),
            "There is no scan in it that could be taken in.",
        ),
        Rule(
            "refused_share",
            most("refused_share", settings.max_refused_share, "critical"),
            "{refused} of {files} files are refused, a larger share than "
            f"{settings.max_refused_share:.0%}.",
        ),
        Rule(
            "label_mix",
            most("label_divergence", LARGEST_LABEL_DIVERGENCE, "warning"),
            "Some labels are far more common than others.",
        ),
        Rule(
            "one_label_a_scan",
            most("conflicting_scans", 0, "warning"),
            "The same picture has different labels.",
        ),
    ]


def _batch_numbers(profiles: Sequence[FileProfile], refused: dict[str, str]) -> dict[str, Any]:
    kept = [p for p in profiles if not p.reason and p.path not in refused]
    labels = Counter(profile.label for profile in kept if profile.label)
    by_scan: dict[str | None, set[str]] = {}
    for profile in kept:
        if profile.label:
            by_scan.setdefault(profile.scan_id, set()).add(profile.label)
    count = len(profiles)
    return {
        "files": count,
        "refused": count - len(kept),
        "refused_share": (count - len(kept)) / count if count else 0.0,
        "scans": len(kept),
        "labels": dict(labels),
        "label_divergence": _divergence(labels),
        "conflicting_scans": sum(len(labels) > 1 for labels in by_scan.values()),
    }


def _divergence(labels: Counter[str]) -> float | None:
    """Kullback-Leibler divergence of the shares of the labels present from equal ones, in nats."""
    total = labels.total()
    if not total:
        return None
    return sum(n / total * math.log(n / total * len(labels)) for n in labels.values())


def _one_row(numbers: dict[str, Any]) -> pandas.DataFrame:
    import pandas

    columns = ("files", "refused_share", "scans", "label_divergence", "conflicting_scans")
    frame = pandas.DataFrame([{name: numbers[name] for name in columns}])
    return frame.astype({"label_divergence": "float64"}).assign(path="(batch)")


def _context(docs: Path) -> Any:
    """An ephemeral context of Great Expectations whose one site is a folder."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations

    # It sets this level itself while it is imported.
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    context = great_expectations.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False}
    context.delete_data_docs_site("local_site")
    site = {
        "class_name": "SiteBuilder",
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(docs),
        },
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    context.add_data_docs_site("docs", site)
    return context


def _run(
    context: Any, name: str, frame: pandas.DataFrame, rules: list[Rule], when: datetime
) -> list[dict[str, Any]]:
    """The result of each rule's expectation on a frame; adds pages to the Data Docs."""
    import great_expectations as gx

    for rule in rules:
        rule.expectation.meta = {"rule": rule.name}
    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    definition = gx.ValidationDefinition(
        name=name,
        data=asset.add_batch_definition_whole_dataframe("all"),
        suite=context.suites.add(
            gx.ExpectationSuite(name=name, expectations=[rule.expectation for rule in rules])
        ),
    )
    checkpoint = gx.Checkpoint(
        name=name,
        validation_definitions=[context.validation_definitions.add(definition)],
        actions=[gx.checkpoint.UpdateDataDocsAction(name="docs", site_names=["docs"])],
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": ["path"],
        },
    )
    run = context.checkpoints.add(checkpoint).run(
        batch_parameters={"dataframe": frame}, run_id=gx.RunIdentifier(name, when)
    )
    (validated,) = run.run_results.values()
    for result in validated.results:
        if not result.success and "unexpected_count" not in result.result:
            raise RuntimeError(f"an expectation could not be evaluated: {result.exception_info}")
    # Great Expectations answers in an order of its own.
    by_rule = {
        result.expectation_config.meta["rule"]: {"success": result.success, **result.result}
        for result in validated.results
    }
    return [by_rule[rule.name] for rule in rules]


def _summary(
    rules: list[Rule], results: list[dict[str, Any]], numbers: dict[str, Any]
) -> list[dict[str, Any]]:
    return [
        {
            "name": rule.name,
            "severity": rule.severity,
            "success": bool(result["success"]),
            "unexpected": int(result.get("unexpected_count") or 0),
            "sentence": rule.sentence.format(**numbers),
        }
        for rule, result in zip(rules, results, strict=True)
    ]
