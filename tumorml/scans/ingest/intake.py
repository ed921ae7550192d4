"""What a drop turned out to be: gathered from its shards, with what should become of each file."""

from __future__ import annotations

import errno
import tempfile
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tumorml.errors import TumorMLError
from tumorml.objects import ObjectStore
from tumorml.objects.keys import data_docs_key, mask_key, quarantine_key
from tumorml.scans.contents.open_contents import (
    CHANGED,
    Contents,
    DropRefusedError,
    changed_files,
    is_archive,
    open_contents,
)
from tumorml.scans.images.profile import FileProfile
from tumorml.scans.inbox.claim import Claim
from tumorml.scans.inbox.layout import FileDescription
from tumorml.scans.ingest.masks import settle_masks
from tumorml.scans.ingest.shard_files import ShardFile, is_read, read_found, read_plan
from tumorml.scans.ingest.validation import Judgement, validate
from tumorml.settings import Settings

_NAME_ERRORS = {errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EINVAL}


@dataclass(slots=True)
class Intake:
    """What a drop turned out to be, before anything of it is in the results store."""

    reason: str | None = None
    """Why the drop is quarantined whole."""
    profiles: dict[str, FileProfile] = field(default_factory=dict)
    """Every file that is there, in the order of the drop."""
    descriptions: dict[str, FileDescription] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    mask_keys: dict[str, str] = field(default_factory=dict)
    """Key of the stored mask by the path of the scan."""
    copies: dict[str, str] = field(default_factory=dict)
    """Key of the copy of each refused member of an archive."""
    seconds: float = 0.0
    """What reading the shards took, together."""
    peak_memory_bytes: int = 0
    """Of the worker that needed most."""
    judgement: Judgement | None = None
    docs_key: str | None = None

    def role(self, path: str) -> str:
        """``scan``, ``companion`` or ``refused``."""
        if self.profiles[path].reason:
            return "refused"
        description = self.descriptions.get(path)
        return description.role if description else "refused"


def gather(
    settings: Settings, store: ObjectStore, batch_id: str, claim: Claim, claimed_at: datetime
) -> Intake:
    """Put together what was found in the shards of a batch, and judge it; writes Data Docs.

    Nothing is written that doing it again would not write just so.

    Raises:
        TumorMLError: A shard was not read.
    """
    files, intake = _gathered(store, batch_id)
    if intake.reason:
        return intake
    try:
        with open_contents(store, claim, settings) as contents:
            # What was written to while it was read: its bytes may be of neither version.
            for path in () if is_archive(claim) else changed_files(store, claim):
                intake.profiles[path].reason = CHANGED
            _judge(intake, settings, store, batch_id, claimed_at)
            if not intake.reason:
                scans = (file for file in files if intake.role(file.profile.path) == "scan")
                settle_masks(settings, store, batch_id, scans, contents)
                if is_archive(claim):
                    _copy_refused(intake, contents, store, batch_id)
    except DropRefusedError as refused:
        intake.reason = str(refused)
    return intake


def _gathered(store: ObjectStore, batch_id: str) -> tuple[list[ShardFile], Intake]:
    plan = read_plan(store, batch_id)
    shards = range(1, plan.shards + 1) if plan else ()
    unread = [shard for shard in shards if not is_read(store, batch_id, shard)]
    if plan is None or unread:
        which = f"its shards {', '.join(map(str, unread[:10]))}" if unread else "it"
        raise TumorMLError(
            f"{batch_id} waits, because {which} could not be read: see the task read_shard, and "
            "put right what it says. The next run of ingest_scans tries again."
        )
    intake = Intake(reason=plan.reason, missing=plan.missing)
    files: list[ShardFile] = []
    for shard in shards:
        found = read_found(store, batch_id, shard)
        files += found.files
        intake.reason = intake.reason or found.reason
        intake.seconds += found.seconds
        intake.peak_memory_bytes = max(intake.peak_memory_bytes, found.peak_memory_bytes)
    files.sort(key=lambda file: file.index)
    for file in files:
        path = file.profile.path
        intake.profiles[path] = file.profile
        if file.description:
            intake.descriptions[path] = file.description
        if file.mask_sha256:
            intake.mask_keys[path] = mask_key(str(file.profile.scan_id))
    return files, intake


def _judge(
    intake: Intake, settings: Settings, store: ObjectStore, batch_id: str, claimed_at: datetime
) -> None:
    judged = [p for p in intake.profiles.values() if intake.role(p.path) != "companion"]
    judged += [FileProfile(path, reason=reason) for path, reason in intake.missing.items()]
    with tempfile.TemporaryDirectory(prefix="tumorml-data-docs-") as folder:
        docs = Path(folder)
        intake.judgement = validate(judged, settings, docs, claimed_at)
        for page in sorted(docs.rglob("*")):
            if page.is_file():
                key = data_docs_key(batch_id, page.relative_to(docs).as_posix())
                store.write_file(key, page)
    intake.docs_key = data_docs_key(batch_id)
    intake.reason = intake.judgement.batch_reason
    for path, reason in intake.judgement.refused.items():
        intake.profiles[path].reason = reason


def _copy_refused(intake: Intake, contents: Contents, store: ObjectStore, batch_id: str) -> None:
    """Lay out an archive's refused members, so that a person can look without unpacking it."""
    refused = {path for path, profile in intake.profiles.items() if profile.reason}
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
            continue  # Such a name cannot be on this disk; the archive still holds the file.
        taken.add(key)
        intake.copies[entry.path] = key


def file_warnings(intake: Intake, path: str) -> list[Any] | None:
    """Names of the warnings that a file failed, or None."""
    return intake.judgement.flagged.get(path) if intake.judgement else None
