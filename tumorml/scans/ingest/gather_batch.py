"""Gather the findings of a batch's shards and validate the batch."""

from __future__ import annotations

import errno
import tempfile
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tumorml.errors import DropRefusedError, TumorMLError
from tumorml.objects import ObjectStore
from tumorml.objects.keys import data_docs_key, mask_key, quarantine_key
from tumorml.scans.contents.entry import CHANGED, Contents
from tumorml.scans.contents.folder import changed_files
from tumorml.scans.contents.open_contents import is_archive, open_contents
from tumorml.scans.images.profile import FileProfile
from tumorml.scans.inbox.claim import Claim
from tumorml.scans.inbox.layout import FileDescription
from tumorml.scans.ingest.masks import store_first_masks
from tumorml.scans.ingest.shard_files import ShardFile, is_read, read_findings, read_plan
from tumorml.scans.ingest.validation.validate_batch import BatchValidation, validate_batch
from tumorml.settings import Settings

_NAME_ERRORS = {errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EINVAL}


@dataclass(slots=True)
class GatheredBatch:
    """A read and validated batch, before it is recorded in the results store.

    Attributes:
        reason: Why the drop is quarantined; None if it is not.
        profiles: The profile of every existing file by path, in the order of the drop.
        descriptions: The description of every readable file by path.
        missing: Why a manifest row has no file, by the path in the row.
        mask_keys: The key of the stored mask, by the path of the scan.
        copies: The key of the copy of each refused archive member, by path.
        seconds: The total time for reading the shards.
        peak_memory_bytes: The largest memory of any process that read a shard.
        validation: The result of the expectations; None if the drop was refused earlier.
        docs_key: The key of the Data Docs; None without validation.
    """

    reason: str | None = None
    profiles: dict[str, FileProfile] = field(default_factory=dict)
    descriptions: dict[str, FileDescription] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    mask_keys: dict[str, str] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    validation: BatchValidation | None = None
    docs_key: str | None = None

    def role(self, path: str) -> str:
        """Return the role of a file: ``scan``, ``companion`` or ``refused``."""
        if self.profiles[path].reason:
            return "refused"
        description = self.descriptions.get(path)
        return description.role if description else "refused"

    def warnings(self, path: str) -> list[str] | None:
        """Return the names of the warnings about a file, or None."""
        return self.validation.flagged.get(path) if self.validation else None


def gather_batch(
    settings: Settings, store: ObjectStore, batch_id: str, claim: Claim, claimed_at: datetime
) -> GatheredBatch:
    """Merge the findings of a batch's shards and validate the batch.

    Writes Data Docs, masks, and copies of refused archive members. All writes are idempotent.

    Raises:
        TumorMLError: A shard has not been read.
    """
    files, gathered = _merge_findings(store, batch_id)
    if gathered.reason:
        return gathered
    try:
        with open_contents(store, claim, settings) as contents:
            # The bytes of a file that changed while it was read may be a mix of two versions.
            for path in () if is_archive(claim) else changed_files(store, claim):
                gathered.profiles[path].reason = CHANGED
            _validate(gathered, settings, store, batch_id, claimed_at)
            if not gathered.reason:
                scans = (file for file in files if gathered.role(file.profile.path) == "scan")
                store_first_masks(settings, store, batch_id, scans, contents)
                if is_archive(claim):
                    _copy_refused(gathered, contents, store, batch_id)
    except DropRefusedError as refused:
        gathered.reason = str(refused)
    return gathered


def _merge_findings(store: ObjectStore, batch_id: str) -> tuple[list[ShardFile], GatheredBatch]:
    plan = read_plan(store, batch_id)
    shards = range(1, plan.shards + 1) if plan else ()
    unread = [shard for shard in shards if not is_read(store, batch_id, shard)]
    if plan is None or unread:
        unread_part = f"shards {', '.join(map(str, unread[:10]))}" if unread else "it"
        raise TumorMLError(
            f"Batch {batch_id} waits, because {unread_part} could not be read. Correct the error "
            "in the log of the task read_shard; the next run of ingest_scans retries."
        )
    gathered = GatheredBatch(reason=plan.reason, missing=plan.missing)
    files: list[ShardFile] = []
    for shard in shards:
        findings = read_findings(store, batch_id, shard)
        files += findings.files
        gathered.reason = gathered.reason or findings.reason
        gathered.seconds += findings.seconds
        gathered.peak_memory_bytes = max(gathered.peak_memory_bytes, findings.peak_memory_bytes)
    files.sort(key=lambda file: file.index)
    for file in files:
        path = file.profile.path
        gathered.profiles[path] = file.profile
        if file.description:
            gathered.descriptions[path] = file.description
        if file.mask_sha256:
            gathered.mask_keys[path] = mask_key(str(file.profile.scan_id))
    return files, gathered


def _validate(
    gathered: GatheredBatch,
    settings: Settings,
    store: ObjectStore,
    batch_id: str,
    claimed_at: datetime,
) -> None:
    profiles = [p for p in gathered.profiles.values() if gathered.role(p.path) != "companion"]
    profiles += [FileProfile(path, reason=reason) for path, reason in gathered.missing.items()]
    with tempfile.TemporaryDirectory(prefix="tumorml-data-docs-") as folder:
        docs = Path(folder)
        gathered.validation = validate_batch(profiles, settings, docs, claimed_at)
        for page in sorted(docs.rglob("*")):
            if page.is_file():
                key = data_docs_key(batch_id, page.relative_to(docs).as_posix())
                store.write_file(key, page)
    gathered.docs_key = data_docs_key(batch_id)
    gathered.reason = gathered.validation.batch_reason
    for path, reason in gathered.validation.refused.items():
        gathered.profiles[path].reason = reason


def _copy_refused(
    gathered: GatheredBatch, contents: Contents, store: ObjectStore, batch_id: str
) -> None:
    """Copy an archive's refused members to the quarantine for inspection."""
    refused = {path for path, profile in gathered.profiles.items() if profile.reason}
    if not refused:
        return
    taken: set[str] = set()
    for entry, data, _ in contents.read(refused):
        key = quarantine_key(batch_id, entry.path)
        if data is None or key in taken:
            continue
        try:
            store.write(key, data)
        except OSError as error:
            if error.errno not in _NAME_ERRORS:
                raise
            continue  # the file system rejects this name; the archive still contains the file
        taken.add(key)
        gathered.copies[entry.path] = key
