"""The scans of the store as a set to audit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tumorml.datasets.audit.findings import AuditedFile, ComparedSet, Place, ScanTwin
from tumorml.datasets.audit.small_jpeg import small_jpeg
from tumorml.datasets.grouping.patients import person_keys
from tumorml.datasets.labeling import settled_labels
from tumorml.errors import TumorMLError
from tumorml.objects import object_store
from tumorml.objects.keys import scan_key
from tumorml.results.session import read_session
from tumorml.results.tables import BatchFile, Fingerprint, ScanGroup, Twin
from tumorml.results.twin_kinds import TwinKind
from tumorml.scans.images.decode import decode
from tumorml.settings import Settings


def read_store(settings: Settings) -> ComparedSet:
    """Return all accepted files, as ``batch/path``, with their current side and the stored twins.

    Validation counts as training, because it selects the epoch. Scans that are held out of
    snapshots have no split.

    Raises:
        TumorMLError: No scan has a group yet.
    """
    with read_session(settings) as session:
        rows = session.execute(
            select(ScanGroup.scan_id, ScanGroup.group_id, ScanGroup.side, ScanGroup.held_out)
        ).all()
        places = {row.scan_id: Place(row.group_id, row.side) for row in rows}
        if not places:
            raise TumorMLError("No scan in the store has a group yet. Ingest a drop first.")
        held_out = {row.scan_id for row in rows if row.held_out}
        splits = {
            scan: "test" if place.side == "test" else "train"
            for scan, place in places.items()
            if scan not in held_out
        }
        files = _files(session, places, splits)
        twins = [
            ScanTwin(twin.scan_id, twin.other_id, TwinKind(twin.kind), twin.score)
            for twin in session.scalars(select(Twin).order_by(Twin.scan_id, Twin.other_id))
            if twin.scan_id in places and twin.other_id in places
        ]
        waiting = session.scalar(
            select(func.count()).select_from(Fingerprint).where(Fingerprint.compared_at.is_(None))
        )
    notes = [f"{len(held_out):,} scans are held out, because their group is on two sides."]
    if waiting:
        notes.append(f"{waiting:,} scans are not compared yet and have no group.")
    return ComparedSet("the store", files, twins, places, notes=notes)


def stored_pictures(
    settings: Settings, files: Collection[AuditedFile], side: int
) -> dict[str, bytes]:
    """Return JPEGs of the scans of some files, by path; the longest side has ``side`` pixels."""
    store = object_store(settings)
    return {
        file.path: small_jpeg(decode(store.read(scan_key(file.scan_id))).pixels, side)
        for file in files
        if file.scan_id
    }


def _files(
    session: Session, places: Mapping[str, Place], splits: Mapping[str, str]
) -> list[AuditedFile]:
    settled = settled_labels(session)
    rows = session.scalars(
        select(BatchFile)
        .where(BatchFile.outcome.in_(("taken_in", "duplicate")))
        .order_by(BatchFile.batch_id, BatchFile.path)
    ).all()
    persons: dict[str, list[str]] = defaultdict(list)
    for kind in ("patient", "study"):
        named_ids = [
            (str(row.scan_id), row.site, row.patient_id if kind == "patient" else row.study_id)
            for row in rows
        ]
        for scan, key in person_keys(kind, named_ids):
            persons[scan].append(key)
    return [
        AuditedFile(
            path=f"{row.batch_id}/{row.path}",
            split=splits.get(str(row.scan_id)),
            label=settled.get(str(row.scan_id), row.label),
            sha256=row.sha256,
            scan_id=row.scan_id,
            exif_person="no_person_in_metadata" in (row.warnings or ()),
            persons=tuple(sorted(set(persons[str(row.scan_id)]))),
            settled=row.scan_id in settled,
        )
        for row in rows
        if row.scan_id in places
    ]
