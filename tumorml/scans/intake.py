"""Read a claimed drop once: store its scans, and say of each file what should become of it."""

from __future__ import annotations

import errno
import hashlib
import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tumorml.objects import ObjectStore
from tumorml.scans.claim import Claim
from tumorml.scans.contents import (
    CHANGED,
    Contents,
    DropRefusedError,
    Entry,
    changed_files,
    is_archive,
    open_contents,
)
from tumorml.scans.decode import encode_png
from tumorml.scans.layout import Layout, Reading, read_folders
from tumorml.scans.manifest import find_manifest, read_manifest
from tumorml.scans.masks import MaskPairs
from tumorml.scans.names import drop_stem, leads_outside, quarantine_key, scan_key
from tumorml.scans.profile import FileProfile, examine
from tumorml.scans.validation import Judgement, validate
from tumorml.settings import Settings

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

_LOG_SECONDS = 5.0
_NAME_ERRORS = {errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EINVAL}


@dataclass(slots=True)
class Intake:
    """What a drop turned out to be, before anything of it is in the results store."""

    reason: str | None = None
    """Why the drop is quarantined whole."""
    profiles: dict[str, FileProfile] = field(default_factory=dict)
    """Every file that is there, in the order of the drop."""
    readings: dict[str, Reading] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    mask_keys: dict[str, str] = field(default_factory=dict)
    """Key of the stored mask by the path of the scan."""
    copies: dict[str, str] = field(default_factory=dict)
    """Key of the copy of each refused member of an archive."""
    judgement: Judgement | None = None
    docs_key: str | None = None

    def role(self, path: str) -> str:
        """``scan``, ``companion`` or ``refused``."""
        if self.profiles[path].reason:
            return "refused"
        reading = self.readings.get(path)
        return reading.role if reading else "refused"


def read_drop(
    settings: Settings,
    store: ObjectStore,
    batch_id: str,
    claim: Claim,
    claimed_at: datetime,
    on_progress: Progress | None,
) -> Intake:
    """Read every file of a claimed drop once; write scans, masks and Data Docs to the store.

    Nothing is written that doing it again would not write just so.
    """
    intake = Intake()
    try:
        with open_contents(store, claim, settings) as contents:
            for entry in contents.entries:
                intake.profiles[entry.path] = FileProfile(
                    entry.path, size_bytes=entry.size, reason=entry.refusal
                )
            _read_layout(intake, contents, claim)
            _read_files(intake, contents, settings, store, on_progress)
            _note_changes(intake, store, claim)
            _judge(intake, settings, store, batch_id, claimed_at)
            if is_archive(claim) and not intake.reason:
                _copy_refused(intake, contents, store, batch_id)
    except DropRefusedError as refused:
        intake.reason = str(refused)
    return intake


def _read_layout(intake: Intake, contents: Contents, claim: Claim) -> None:
    """Let the manifest or the folders speak about every file that may be read."""
    paths = [path for path, profile in intake.profiles.items() if profile.reason is None]
    manifest = find_manifest([path for path in intake.profiles if not leads_outside(path)])
    if manifest is None:
        layout = read_folders(paths, drop_stem(claim.drop_key.partition("/")[2]))
    else:
        layout = _read_manifest(contents, manifest, paths)
    intake.readings = layout.readings
    intake.missing = {
        path: reason for path, reason in layout.missing.items() if path not in intake.profiles
    }
    for path, reading in layout.readings.items():
        profile = intake.profiles[path]
        profile.label = reading.label
        profile.split_understood = reading.split_understood
        if reading.role == "refused":
            profile.reason = reading.reason


def _read_manifest(contents: Contents, manifest: str, paths: list[str]) -> Layout:
    for _, data, failure in contents.read({manifest}):
        if data is None:
            raise DropRefusedError(f"manifest.csv cannot be read. {failure}")
        return read_manifest(data, manifest, paths)
    (refusal,) = (entry.refusal for entry in contents.entries if entry.path == manifest)
    raise DropRefusedError(f"manifest.csv cannot be read. {refusal}")


def _read_files(
    intake: Intake,
    contents: Contents,
    settings: Settings,
    store: ObjectStore,
    on_progress: Progress | None,
) -> None:
    masks = MaskPairs(store, settings)
    total = len(intake.readings)
    started = last = time.monotonic()
    for done, (entry, data, failure) in enumerate(contents.read(intake.readings), start=1):
        _read_file(intake, entry, data, failure, masks, settings, store)
        if on_progress is not None:
            on_progress(done, total)
        now = time.monotonic()
        if now - last >= _LOG_SECONDS:
            last = now
            log.info("read %s of %s files, %.0f a second", done, total, done / (now - started))
    intake.mask_keys = masks.keys
    for path, reason in masks.refused.items():
        intake.profiles[path].reason = reason


def _read_file(
    intake: Intake,
    entry: Entry,
    data: bytes | None,
    failure: str | None,
    masks: MaskPairs,
    settings: Settings,
    store: ObjectStore,
) -> None:
    profile, reading = intake.profiles[entry.path], intake.readings[entry.path]
    if data is None:
        profile.reason = failure
        return
    if reading.role == "companion":
        profile.size_bytes, profile.sha256 = len(data), hashlib.sha256(data).hexdigest()
        if reading.mask_of:
            masks.add_mask(entry.path, data, reading.mask_of)
        return
    pixels = examine(profile, data, settings)
    if pixels is None or profile.scan_id is None:
        return
    key = scan_key(profile.scan_id)
    if not store.exists(key):
        store.write(key, encode_png(pixels))
    if reading.mask:
        masks.add_scan(entry.path, profile.scan_id, pixels.shape, reading.mask)


def _note_changes(intake: Intake, store: ObjectStore, claim: Claim) -> None:
    """Refuse what was written to while it was read: its bytes may be of neither version."""
    changed = changed_files(store, claim)
    if changed and is_archive(claim):
        raise DropRefusedError(CHANGED)
    for path in changed:
        intake.profiles[path].reason = CHANGED


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
                key = f"data-docs/{batch_id}/{page.relative_to(docs).as_posix()}"
                store.write_file(key, page)
    intake.docs_key = f"data-docs/{batch_id}/index.html"
    intake.reason = intake.judgement.batch_reason
    for path, reason in intake.judgement.refused.items():
        intake.profiles[path].reason = reason


def _copy_refused(intake: Intake, contents: Contents, store: ObjectStore, batch_id: str) -> None:
    """Lay out an archive's refused members, so that a person can look without unpacking it."""
    refused = {path for path, profile in intake.profiles.items() if profile.reason}
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
