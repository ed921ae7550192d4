"""Write all rows of a batch in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tumorml.memory import peak_memory_bytes
from tumorml.objects.keys import archive_key, archive_member_key, quarantine_key, scan_key
from tumorml.results.bulk import copy_rows
from tumorml.results.session import transaction_lock, write_session
from tumorml.results.tables import Batch, BatchFile, Scan, ScanLabel
from tumorml.scans.contents.entry import CHANGED
from tumorml.scans.contents.open_contents import is_archive
from tumorml.scans.images.profile import FileProfile
from tumorml.scans.inbox.claim import Claim
from tumorml.scans.inbox.layout import FileDescription
from tumorml.scans.ingest.gather_batch import GatheredBatch
from tumorml.settings import Settings

_IDS_PER_QUERY = 5_000


def record_batch(
    settings: Settings, batch_id: str, claim: Claim, gathered: GatheredBatch, seconds: float
) -> None:
    """Write the scans, labels and files of a batch, and the state of the batch itself.

    Nothing is written if another process has recorded the batch already.
    """
    with write_session(settings) as session:
        transaction_lock(session, f"batch {batch_id}")
        batch = session.get_one(Batch, batch_id)
        if batch.state != "waiting":
            return
        accepted = [] if gathered.reason else list(_scans(gathered))
        copy_rows(session, Scan, _scan_rows(accepted, batch_id), on_conflict_do_nothing=True)
        copy_rows(session, ScanLabel, _label_rows(accepted, batch_id), on_conflict_do_nothing=True)
        originals = _originals(session, batch_id, {p.scan_id for p in accepted if p.scan_id})
        copy_rows(session, BatchFile, _file_rows(gathered, claim, batch_id, originals))
        batch.state = "quarantined" if gathered.reason else "ingested"
        batch.reason = gathered.reason
        batch.seconds = seconds
        batch.peak_memory_bytes = max(gathered.peak_memory_bytes, peak_memory_bytes())
        batch.data_docs_key = gathered.docs_key
        if gathered.validation:
            batch.validation = gathered.validation.summary
            batch.warnings = gathered.validation.failed_warnings


def archive_location(batch_id: str, claim: Claim, *, quarantined: bool) -> str:
    """Return the key to which a dropped archive is moved."""
    key = quarantine_key if quarantined else archive_key
    return key(batch_id, claim.files[0].path)


def _scans(gathered: GatheredBatch) -> Iterator[FileProfile]:
    return (p for p in gathered.profiles.values() if gathered.role(p.path) == "scan")


def _scan_rows(accepted: Iterable[FileProfile], batch_id: str) -> list[dict[str, Any]]:
    """Return the rows sorted by id, so that two batches with common scans cannot deadlock."""
    rows = {
        profile.scan_id: {
            "id": profile.scan_id,
            "width": profile.width,
            "height": profile.height,
            "mean": profile.mean,
            "deviation": profile.deviation,
            "entropy": profile.entropy,
            "foreground_share": profile.foreground_share,
            "object_key": scan_key(str(profile.scan_id)),
            "batch_id": batch_id,
        }
        for profile in accepted
    }
    return [rows[scan_id] for scan_id in sorted(filter(None, rows))]


def _label_rows(accepted: Iterable[FileProfile], batch_id: str) -> list[dict[str, Any]]:
    pairs = {(str(p.scan_id), p.label) for p in accepted if p.label}
    return [
        {"scan_id": scan_id, "label": label, "batch_id": batch_id}
        for scan_id, label in sorted(pairs)
    ]


def _originals(session: Session, batch_id: str, scan_ids: set[str]) -> dict[str, str]:
    """Return, by scan id, a sentence that names the earlier batch and file with the same scan."""
    ordered = sorted(scan_ids)
    sentences: dict[str, str] = {}
    for start in range(0, len(ordered), _IDS_PER_QUERY):
        rows = session.execute(
            select(Scan.id, Scan.batch_id, func.min(BatchFile.path))
            .outerjoin(
                BatchFile,
                (BatchFile.batch_id == Scan.batch_id)
                & (BatchFile.scan_id == Scan.id)
                & (BatchFile.outcome == "taken_in"),
            )
            .where(Scan.id.in_(ordered[start : start + _IDS_PER_QUERY]), Scan.batch_id != batch_id)
            .group_by(Scan.id, Scan.batch_id)
        )
        for scan_id, other, path in rows:
            sentences[scan_id] = f"The same picture as {path or 'a file'} in batch {other}."
    return sentences


def _file_rows(
    gathered: GatheredBatch, claim: Claim, batch_id: str, originals: dict[str, str]
) -> Iterator[dict[str, Any]]:
    first_paths: dict[str, str] = {}
    for path, profile in gathered.profiles.items():
        outcome, reason = gathered.role(path), profile.reason
        if (outcome == "scan" and gathered.reason) or outcome == "refused":
            outcome = "refused"
            reason = reason or f"The whole drop is refused. {gathered.reason}"
        elif outcome == "companion":
            reason = gathered.descriptions[path].reason
        else:
            scan_id = str(profile.scan_id)
            reason = originals.get(scan_id)
            if scan_id in first_paths:
                reason = reason or f"The same picture as {first_paths[scan_id]} in this batch."
            first_paths.setdefault(scan_id, path)
            outcome = "duplicate" if reason else "taken_in"
        yield _file_row(gathered, batch_id, profile, outcome, reason) | {
            "object_key": _original_key(gathered, claim, batch_id, profile, outcome)
        }
    for path, reason in gathered.missing.items():
        profile = FileProfile(path)
        yield _file_row(gathered, batch_id, profile, "refused", reason) | {"object_key": None}
    if not gathered.profiles and is_archive(claim):
        (archive,) = claim.files
        profile = FileProfile(archive.path, size_bytes=archive.size)
        changed = gathered.reason == CHANGED
        key = None if changed else archive_location(batch_id, claim, quarantined=True)
        yield _file_row(gathered, batch_id, profile, "refused", gathered.reason) | {
            "object_key": key
        }


def _file_row(
    gathered: GatheredBatch, batch_id: str, profile: FileProfile, outcome: str, reason: str | None
) -> dict[str, Any]:
    description = gathered.descriptions.get(profile.path) or FileDescription("refused")
    return {
        "batch_id": batch_id,
        "path": profile.path,
        "outcome": outcome,
        "reason": reason,
        "size_bytes": profile.size_bytes,
        "sha256": profile.sha256,
        "scan_id": profile.scan_id if outcome in ("taken_in", "duplicate") else None,
        "label": description.label,
        "patient_id": description.patient_id,
        "study_id": description.study_id,
        "site": description.site,
        "acquired_at": description.acquired_at,
        "given_split": description.given_split,
        "attributes": description.attributes,
        "mask_key": gathered.mask_keys.get(profile.path)
        if outcome in ("taken_in", "duplicate")
        else None,
        "mode": profile.mode,
        "format": profile.format,
        "warnings": gathered.warnings(profile.path),
    }


def _original_key(
    gathered: GatheredBatch, claim: Claim, batch_id: str, profile: FileProfile, outcome: str
) -> str | None:
    """Return the key of the original file, or None if it stays in the inbox."""
    if profile.reason == CHANGED or (is_archive(claim) and gathered.reason == CHANGED):
        return None
    if not is_archive(claim):
        refused = outcome == "refused" or gathered.reason
        return (quarantine_key if refused else archive_key)(batch_id, profile.path)
    if profile.path in gathered.copies:
        return gathered.copies[profile.path]
    archive = archive_location(batch_id, claim, quarantined=bool(gathered.reason))
    return archive_member_key(archive, profile.path)
