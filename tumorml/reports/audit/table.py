"""An audit as a CSV table, one row for each file."""

from __future__ import annotations

from pathlib import Path

from tumorml.csv_export import csv_writer
from tumorml.datasets.audit.findings import Audit

COLUMNS = (
    "path",
    "split",
    "label",
    "group_id",
    "twin_in_training",
    "twin_path",
    "score",
    "byte_identical",
    "scan_id",
    "sha256",
    "exif_person",
    "reason",
)


def write_audit_csv(audit: Audit, path: Path) -> None:
    """Write one row for each file of the set, including unreadable files.

    ``twin_in_training`` is ``none`` for files that were not compared (see ``Finding``); ``score``
    is empty if ``twin_in_training`` is ``same_patient`` or ``none``.
    """
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv_writer(stream)
        writer.writerow(COLUMNS)
        for finding in audit.findings:
            file = finding.file
            writer.writerow(
                (
                    file.path,
                    file.split or "",
                    file.label or "",
                    finding.group_id,
                    finding.twin_in_training,
                    finding.twin.path if finding.twin else "",
                    "" if finding.score is None else f"{finding.score:.4f}",
                    int(finding.byte_identical),
                    file.scan_id or "",
                    file.sha256 or "",
                    int(file.exif_person),
                    file.reason or "",
                )
            )
