"""Split claimed drops into shards, which several workers can read in parallel."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import select

from tumorml.errors import DropRefusedError, TumorMLError
from tumorml.objects import ObjectStore, object_store
from tumorml.results.session import read_session, transaction_lock, write_session
from tumorml.results.tables import Batch
from tumorml.scans.contents.entry import Contents, Entry
from tumorml.scans.contents.open_contents import is_archive, is_tar, open_contents
from tumorml.scans.images.profile import FileProfile
from tumorml.scans.inbox.claim import Claim, read_claim
from tumorml.scans.inbox.layout import FileDescription, Layout, read_folders
from tumorml.scans.inbox.manifest import find_manifest, read_manifest
from tumorml.scans.inbox.names import drop_stem, leads_outside
from tumorml.scans.ingest.shard_files import (
    Plan,
    ShardFile,
    ShardWork,
    read_plan,
    write_plan,
    write_work,
)
from tumorml.settings import Settings

log = logging.getLogger(__name__)

MAX_SHARDS = 1_000
"""Limit for the shards of one run and of one batch.

Airflow maps a task over at most 1,024 values (``core.max_map_length``).
"""


def plan_shards(settings: Settings, batch_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Plan the shards of batches.

    A batch whose shards would exceed ``MAX_SHARDS``, counted after older batches, waits for the
    next run. A batch whose planning fails becomes one shard: reading that shard raises the error
    again, and other batches continue. A tar is always one shard, because it can only be read
    sequentially.

    Args:
        settings: The stores and the shard size.
        batch_ids: Ids of batches, oldest first.

    Returns:
        One entry per shard: ``batch_id``, ``shard`` (from 1) and ``shards`` (their number).
    """
    with read_session(settings) as session:
        waiting = set(
            session.scalars(
                select(Batch.id).where(Batch.id.in_(batch_ids), Batch.state == "waiting")
            )
        )
    counts = dict.fromkeys(batch_ids, 1)
    for batch_id in batch_ids:
        if batch_id in waiting:
            counts[batch_id] = _count_shards(settings, batch_id)
    shards: list[dict[str, Any]] = []
    for batch_id, count in counts.items():
        if len(shards) + count > MAX_SHARDS:
            log.warning(
                "batch %s: %s shards exceed the limit; waiting for the next run", batch_id, count
            )
            continue
        log.info("batch %s: %s shards", batch_id, count)
        shards += (
            {"batch_id": batch_id, "shard": number, "shards": count}
            for number in range(1, count + 1)
        )
    return shards


def planned_batches(shards: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the distinct batch ids of these shards, in order."""
    return list(dict.fromkeys(str(shard["batch_id"]) for shard in shards))


def plan_batch(settings: Settings, batch_id: str, *, max_shards: int = MAX_SHARDS) -> Plan:
    """Return the plan of a batch; the first call makes and stores it with the work of its shards.

    Raises:
        TumorMLError: There is no such batch.
    """
    store = object_store(settings)
    plan = read_plan(store, batch_id)
    if plan is not None:
        return plan
    with write_session(settings) as session:
        transaction_lock(session, f"plan of batch {batch_id}")
        if session.get(Batch, batch_id) is None:
            raise TumorMLError(f"There is no batch {batch_id!r}: see the table batch.")
        return read_plan(store, batch_id) or _make_plan(settings, store, batch_id, max_shards)


def _count_shards(settings: Settings, batch_id: str) -> int:
    try:
        if is_tar(read_claim(object_store(settings), batch_id)):
            return 1
        return plan_batch(settings, batch_id, max_shards=MAX_SHARDS).shards
    except Exception:
        log.exception("batch %s: planning failed; read_shard will try it again", batch_id)
        return 1


def _make_plan(settings: Settings, store: ObjectStore, batch_id: str, max_shards: int) -> Plan:
    claim = read_claim(store, batch_id)
    entries: list[Entry] = []
    layout, reason = Layout({}), None
    try:
        with open_contents(store, claim, settings) as contents:
            entries = contents.entries
            layout = _read_layout(contents, claim)
    except DropRefusedError as refused:
        reason = str(refused)
    limit = 1 if is_tar(claim) else max_shards
    shards = 0
    for shards, indices in enumerate(
        split_into_shards(entries, layout.descriptions, settings, limit), start=1
    ):
        files = [_shard_file(index, entries[index], layout.descriptions) for index in indices]
        claimed = claim.files if is_archive(claim) else tuple(claim.files[i] for i in indices)
        write_work(store, batch_id, shards, ShardWork(Claim(claim.drop_key, claimed, None), files))
    existing = {entry.path for entry in entries}
    missing = {path: reason for path, reason in layout.missing.items() if path not in existing}
    plan = Plan(shards, len(layout.descriptions), reason, missing)
    write_plan(store, batch_id, plan)
    return plan


def split_into_shards(
    entries: Sequence[Entry],
    descriptions: Mapping[str, FileDescription],
    settings: Settings,
    max_shards: int,
) -> Iterator[list[int]]:
    """Yield the indices of the entries of each shard, sorted.

    A mask is always in the same shard as its scans. A shard has ``ingest_shard_files`` files, or
    more if the number of shards would exceed ``max_shards``. The last shard may have fewer. A drop
    without files is one empty shard.
    """
    size = max(settings.ingest_shard_files, math.ceil(len(entries) / max_shards))
    by_mask: dict[str, list[int]] = {}
    for index, entry in enumerate(entries):
        description = descriptions.get(entry.path)
        mask = description.mask if description else None
        by_mask.setdefault(mask or entry.path, []).append(index)
    shard: list[int] = []
    for indices in by_mask.values():
        shard += indices
        if len(shard) >= size:
            yield sorted(shard)
            shard = []
    if shard or not entries:
        yield sorted(shard)


def _shard_file(index: int, entry: Entry, descriptions: Mapping[str, FileDescription]) -> ShardFile:
    profile = FileProfile(entry.path, size_bytes=entry.size, reason=entry.refusal)
    description = descriptions.get(entry.path)
    if description:
        profile.label = description.label
        profile.split_understood = description.split_understood
        if description.role == "refused":
            profile.reason = description.reason
    return ShardFile(index, profile, description)


def _read_layout(contents: Contents, claim: Claim) -> Layout:
    """Describe every readable file by the manifest, or by the folders if there is none."""
    paths = [entry.path for entry in contents.entries if entry.refusal is None]
    name = find_manifest([e.path for e in contents.entries if not leads_outside(e.path)])
    if name is None:
        return read_folders(paths, drop_stem(claim.drop_key.partition("/")[2]))
    (manifest,) = (entry for entry in contents.entries if entry.path == name)
    failure = manifest.refusal
    if failure is None:
        _, data, failure = next(contents.read({name}))
        if data is not None:
            return read_manifest(data, name, paths)
    raise DropRefusedError(f"manifest.csv cannot be read. {failure}")
