"""Read one shard of a claimed drop: store its scans and masks, and write its findings."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence

from tumorml.errors import DropRefusedError
from tumorml.memory import peak_memory_bytes
from tumorml.objects import ObjectStore, object_store
from tumorml.objects.keys import scan_key
from tumorml.results.session import read_session
from tumorml.results.tables import Batch
from tumorml.scans.contents.entry import Contents
from tumorml.scans.contents.open_contents import open_contents
from tumorml.scans.images.decode import encode_png
from tumorml.scans.images.profile import examine
from tumorml.scans.ingest.masks import MaskPairs
from tumorml.scans.ingest.plan_shards import plan_batch
from tumorml.scans.ingest.shard_files import (
    ShardFile,
    ShardFindings,
    is_read,
    read_work,
    write_findings,
)
from tumorml.settings import Settings
from tumorml.timers import Interval

log = logging.getLogger(__name__)

OnProgress = Callable[[int, int], None]

_LOG_SECONDS = 5.0


def read_shard(
    settings: Settings,
    batch_id: str,
    shard: int,
    shards: int,
    *,
    on_progress: OnProgress | None = None,
) -> None:
    """Read the files of one shard, unless it has been read already.

    Shards can be read in parallel, even the same one twice: all writes are idempotent.

    Args:
        settings: The stores and the limits.
        batch_id: Id of a waiting batch.
        shard: Number of the shard, from 1.
        shards: Number of shards; a batch without a plan is split into at most this many.
        on_progress: Called after each file with the number of files read and their total.

    Raises:
        TumorMLError: There is no such batch.
    """
    store = object_store(settings)
    with read_session(settings) as session:
        batch = session.get(Batch, batch_id)
    if (batch and batch.state != "waiting") or is_read(store, batch_id, shard):
        return
    plan = plan_batch(settings, batch_id, max_shards=shards)
    if shard > plan.shards:
        return
    started = time.monotonic()
    work = read_work(store, batch_id, shard)
    reason = None
    if plan.reason is None:
        name = f"batch {batch_id}, shard {shard}/{plan.shards}"
        try:
            with open_contents(store, work.claim, settings) as contents:
                _read_files(name, work.files, contents, settings, store, on_progress)
        except DropRefusedError as refused:
            reason = str(refused)
    seconds = time.monotonic() - started
    findings = ShardFindings(work.files, reason, seconds, peak_memory_bytes())
    write_findings(store, batch_id, shard, findings)


def _read_files(
    name: str,
    files: Sequence[ShardFile],
    contents: Contents,
    settings: Settings,
    store: ObjectStore,
    on_progress: OnProgress | None,
) -> None:
    by_path = {file.profile.path: file for file in files if file.description}
    masks = MaskPairs(store, settings)
    started, progress_log = time.monotonic(), Interval(_LOG_SECONDS)
    done = 0
    for done, (entry, data, failure) in enumerate(contents.read(by_path), start=1):
        _read_file(by_path[entry.path], data, failure, masks, settings, store)
        if on_progress is not None:
            on_progress(done, len(by_path))
        if progress_log.due():
            rate = done / (time.monotonic() - started)
            log.info("%s: read %s of %s files, %.0f a second", name, done, len(by_path), rate)
    for path, sha256 in masks.stored.items():
        by_path[path].mask_sha256 = sha256
    for path, reason in masks.refused.items():
        by_path[path].profile.reason = reason
    log.info("%s: read %s files in %.1f s", name, done, time.monotonic() - started)


def _read_file(
    file: ShardFile,
    data: bytes | None,
    failure: str | None,
    masks: MaskPairs,
    settings: Settings,
    store: ObjectStore,
) -> None:
    profile, description = file.profile, file.description
    if data is None or description is None:
        profile.reason = failure
        return
    if description.role == "companion":
        profile.size_bytes, profile.sha256 = len(data), hashlib.sha256(data).hexdigest()
        if description.mask_of:
            masks.add_mask(profile.path, data, description.mask_of)
        return
    pixels = examine(profile, data, settings)
    if pixels is None or profile.scan_id is None:
        return
    key = scan_key(profile.scan_id)
    if not store.exists(key):
        store.write(key, encode_png(pixels))
    if description.mask:
        masks.add_scan(profile.path, profile.scan_id, pixels.shape, description.mask)
