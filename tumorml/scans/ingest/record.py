"""Write a batch's rows, all in one transaction."""

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
from tumorml.scans.contents.open_contents import CHANGED, is_archive
from tumorml.scans.images.profile import FileProfile
from tumorml.scans.inbox.claim import Claim
from tumorml.scans.inbox.layout import FileDescription
from tumorml.scans.ingest.intake import Intake, file_warnings
from tumorml.settings import Settings

_IDS_AT_ONCE = 5_000


def record(settings: Settings, batch_id: str, claim: Claim, intake: Intake, seconds: float) -> None:
    """Write what became of a batch: its scans, labels, files and the batch itself.

    Where another ingest of the same batch was first, nothing is written.
    """
    with write_session(settings) as session:
        transaction_lock(session, f"batch {batch_id}")
        batch = session.get_one(Batch, batch_id)
        if batch.state != "waiting":
            return
        accepted = [] if intake.reason else list(_scans(intake))
        copy_rows(session, Scan, _scan_rows(accepted, batch_id), on_conflict_do_nothing=True)
        copy_rows(session, ScanLabel, _label_rows(accepted, batch_id), on_conflict_do_nothing=True)
        originals = _originals(session, batch_id, {p.scan_id for p in accepted if p.scan_id})
        copy_rows(session, BatchFile, _file_rows(intake, claim, batch_id, originals))
        batch.state = "quarantined" if intake.reason else "ingested"
        batch.reason = intake.reason
        batch.seconds = seconds
        batch.peak_memory_bytes = max(intake.peak_memory_bytes, peak_memory_bytes())
        batch.data_docs_key = intake.docs_key
        if intake.judgement:
            batch.validation = intake.judgement.summary
            batch.warnings = intake.judgement.failed_warnings


def place_of_archive(batch_id: str, claim: Claim, *, quarantined: bool) -> str:
    """The key at which a dropped archive ends up."""
    place = quarantine_key if quarantined else archive_key
    return place(batch_id, claim.files[0].path)


def _scans(intake: Intake) -> Iterator[FileProfile]:
    return (p for p in intake.profiles.values() if intake.role(p.path) == "scan")


def _scan_rows(accepted: Iterable[FileProfile], batch_id: str) -> list[dict[str, Any]]:
    """In the order of their ids, so that two batches that share scans cannot block each other."""
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
    """Of the scans that another batch brought first: which file of which batch, in words."""
    ordered = sorted(scan_ids)
    found: dict[str, str] = {}
    for start in range(0, len(ordered), _IDS_AT_ONCE):
        rows = session.execute(
            select(Scan.id, Scan.batch_id, func.min(BatchFile.path))
            .outerjoin(
                BatchFile,
                (BatchFile.batch_id == Scan.batch_id)
                & (BatchFile.scan_id == Scan.id)
                & (BatchFile.outcome == "taken_in"),
            )
            .where(Scan.id.in_(ordered[start : start + _IDS_AT_ONCE]), Scan.batch_id != batch_id)
            .group_by(Scan.id, Scan.batch_id)
        )
        for scan_id, other, path in rows:
            found[scan_id] = f"The same picture as {path or 'a file'} of the batch {other}."
    return found


def _file_rows(
    intake: Intake, claim: Claim, batch_id: str, originals: dict[str, str]
) -> Iterator[dict[str, Any]]:
    first_paths: dict[str, str] = {}
    for path, profile in intake.profiles.items():
        outcome, reason = intake.role(path), profile.reason
        if (outcome == "scan" and intake.reason) or outcome == "refused":
            outcome = "refused"
            reason = reason or f"The whole drop was refused. {intake.reason}"
        elif outcome == "companion":
            reason = intake.descriptions[path].reason
        else:
            scan_id = str(profile.scan_id)
            reason = originals.get(scan_id)
            if scan_id in first_paths:
                reason = reason or f"The same picture as {first_paths[scan_id]} of this batch."
            first_paths.setdefault(scan_id, path)
            outcome = "duplicate" if reason else "taken_in"
        yield _file_row(intake, batch_id, profile, outcome, reason) | {
            "object_key": _place(intake, claim, batch_id, profile, outcome)
        }
    nothing = FileProfile("")
    for path, reason in intake.missing.items():
        nothing.path = path
        yield _file_row(intake, batch_id, nothing, "refused", reason) | {"object_key": None}
    if not intake.profiles and is_archive(claim):
        (archive,) = claim.files
        whole = FileProfile(archive.path, size_bytes=archive.size)
        gone = intake.reason == CHANGED
        place = None if gone else place_of_archive(batch_id, claim, quarantined=True)
        yield _file_row(intake, batch_id, whole, "refused", intake.reason) | {"object_key": place}


def _file_row(
    intake: Intake, batch_id: str, profile: FileProfile, outcome: str, reason: str | None
) -> dict[str, Any]:
    description = intake.descriptions.get(profile.path) or FileDescription("refused")
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
        "mask_key": intake.mask_keys.get(profile.path)
        if outcome in ("taken_in", "duplicate")
        else None,
        "mode": profile.mode,
        "format": profile.format,
        "warnings": file_warnings(intake, profile.path),
    }


def _place(
    intake: Intake, claim: Claim, batch_id: str, profile: FileProfile, outcome: str
) -> str | None:
    """Where the file's original will lie."""
    if profile.reason == CHANGED or (is_archive(claim) and intake.reason == CHANGED):
        return None
    if not is_archive(claim):
        refused = outcome == "refused" or intake.reason
        return (quarantine_key if refused else archive_key)(batch_id, profile.path)
    if profile.path in intake.copies:
        return intake.copies[profile.path]
    archive = place_of_archive(batch_id, claim, quarantined=bool(intake.reason))
    return archive_member_key(archive, profile.path)
