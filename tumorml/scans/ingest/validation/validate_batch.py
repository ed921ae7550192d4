"""Validate a batch: refuse or flag its files, and quarantine or flag the batch itself."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tumorml.scans.images.profile import FileProfile, profile_frame
from tumorml.scans.ingest.validation.rules import Rule, batch_rules, file_rules
from tumorml.scans.ingest.validation.run_rules import docs_context, run_rules
from tumorml.settings import Settings

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, slots=True)
class BatchValidation:
    """The result of validating a batch.

    Attributes:
        batch_reason: Why the whole batch is quarantined; None if it is not.
        refused: Why a rule refuses a file, by path; excludes files that were refused earlier.
        flagged: The names of the failed warnings of each file, by path.
        failed_warnings: The number of rules of severity ``warning`` that failed.
        summary: For the column ``batch.validation``: success, numbers and the result of each rule.
    """

    batch_reason: str | None
    refused: dict[str, str]
    flagged: dict[str, list[str]]
    failed_warnings: int
    summary: dict[str, Any]


def validate_batch(
    profiles: Sequence[FileProfile], settings: Settings, docs: Path, when: datetime
) -> BatchValidation:
    """Validate a batch and write its Data Docs.

    Args:
        profiles: All files that are expected to be scans, including those already refused.
        settings: For the limits.
        docs: An empty folder for the HTML pages; ``index.html`` is the first.
        when: The time in the names of the pages; the same time gives the same names.
    """
    context = docs_context(docs)
    rules_for_files = file_rules(settings)
    results = run_rules(context, "files", profile_frame(profiles), rules_for_files, when)
    refused: dict[str, str] = {}
    flagged: dict[str, list[str]] = {}
    earlier_reasons = {profile.path: profile.reason for profile in profiles}
    for rule, result in zip(rules_for_files, results, strict=True):
        for row in result.get("unexpected_index_list") or ():
            path = row["path"]
            if rule.severity == "warning":
                flagged.setdefault(path, []).append(rule.name)
            elif not earlier_reasons[path]:
                refused.setdefault(path, rule.sentence)
    numbers = _batch_numbers(profiles, refused)
    rules_for_batch = batch_rules(settings)
    batch_results = run_rules(context, "batch", _one_row(numbers), rules_for_batch, when)
    summary = _summary(rules_for_files, results, numbers)
    summary += _summary(rules_for_batch, batch_results, numbers)
    failed = [result for result in summary if not result["success"]]
    return BatchValidation(
        batch_reason=" ".join(
            rule.sentence.format(**numbers)
            for rule, result in zip(rules_for_batch, batch_results, strict=True)
            if rule.severity == "critical" and not result["success"]
        )
        or None,
        refused=refused,
        flagged=flagged,
        failed_warnings=sum(result["severity"] == "warning" for result in failed),
        summary={"success": not failed, "numbers": numbers, "expectations": summary},
    )


def _batch_numbers(profiles: Sequence[FileProfile], refused: dict[str, str]) -> dict[str, Any]:
    accepted = [p for p in profiles if not p.reason and p.path not in refused]
    labels = Counter(profile.label for profile in accepted if profile.label)
    by_scan: dict[str | None, set[str]] = {}
    for profile in accepted:
        if profile.label:
            by_scan.setdefault(profile.scan_id, set()).add(profile.label)
    count = len(profiles)
    return {
        "files": count,
        "refused": count - len(accepted),
        "refused_share": (count - len(accepted)) / count if count else 0.0,
        "scans": len(accepted),
        "labels": dict(labels),
        "label_divergence": _divergence(labels),
        "conflicting_scans": sum(len(labels) > 1 for labels in by_scan.values()),
    }


def _divergence(labels: Counter[str]) -> float | None:
    """Return the Kullback-Leibler divergence of the label shares from equal shares, in nats."""
    total = labels.total()
    if not total:
        return None
    return sum(n / total * math.log(n / total * len(labels)) for n in labels.values())


def _one_row(numbers: dict[str, Any]) -> pandas.DataFrame:
    import pandas

    columns = ("files", "refused_share", "scans", "label_divergence", "conflicting_scans")
    frame = pandas.DataFrame([{name: numbers[name] for name in columns}])
    return frame.astype({"label_divergence": "float64"}).assign(path="(batch)")


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
