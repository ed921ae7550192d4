"""Cut claimed drops into shards, which many workers can read at once."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import select

from tumorml.errors import TumorMLError
from tumorml.objects import ObjectStore, object_store
from tumorml.results.session import read_session, transaction_lock, write_session
from tumorml.results.tables import Batch
from tumorml.scans.contents.open_contents import (
    Contents,
    DropRefusedError,
    Entry,
    is_archive,
    is_tar,
    open_contents,
)
from tumorml.scans.images.profile import FileProfile
from tumorml.scans.inbox.claim import Claim, read_claim
from tumorml.scans.inbox.layout import FileDescription, Layout, read_folders
from tumorml.scans.inbox.manifest import find_manifest, read_manifest
from tumorml.scans.inbox.names import drop_stem, leads_outside
from tumorml.scans.ingest.shard_files import (
    Plan,
    ShardFile,
    Work,
    read_plan,
    write_plan,
    write_work,
)
from tumorml.settings import Settings

log = logging.getLogger(__name__)

MOST_SHARDS = 1_000
"""Of a run, as of a batch: Airflow maps a task over at most 1,024 (``core.max_map_length``)."""


def plan_shards(settings: Settings, batch_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Cut batches, named oldest first; their shards: ``batch_id``, ``shard`` (from 1), ``shards``.

    Where that would be more than ``MOST_SHARDS``, a batch that does not fit beside older ones waits
    for the next run. One that cannot be cut now is named as one shard, so that reading it says why
    and the others go on; so is a tar, which cannot be listed without reading all of it.
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
            counts[batch_id] = _count(settings, batch_id)
    shards: list[dict[str, Any]] = []
    for batch_id, count in counts.items():
        if len(shards) + count > MOST_SHARDS:
            log.warning("%s with its %s shards waits for the next run", batch_id, count)
            continue
        log.info("%s is read as %s shards", batch_id, count)
        shards += (
            {"batch_id": batch_id, "shard": number, "shards": count}
            for number in range(1, count + 1)
        )
    return shards


def planned_batches(shards: Iterable[Mapping[str, Any]]) -> list[str]:
    """The batches of these shards, each once."""
    return list(dict.fromkeys(str(shard["batch_id"]) for shard in shards))


def plan_batch(settings: Settings, batch_id: str, *, most_shards: int = MOST_SHARDS) -> Plan:
    """The plan of a batch: made once, with the work of its shards, and kept from then on.

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
        return read_plan(store, batch_id) or _plan(settings, store, batch_id, most_shards)


def _count(settings: Settings, batch_id: str) -> int:
    try:
        if is_tar(read_claim(object_store(settings), batch_id)):
            return 1
        return plan_batch(settings, batch_id, most_shards=MOST_SHARDS).shards
    except Exception:
        log.exception("%s cannot be cut into shards; its reading will try again", batch_id)
        return 1


def _plan(settings: Settings, store: ObjectStore, batch_id: str, most_shards: int) -> Plan:
    claim = read_claim(store, batch_id)
    entries: list[Entry] = []
    layout, reason = Layout({}), None
    try:
        with open_contents(store, claim, settings) as contents:
            entries = contents.entries
            layout = _read_layout(contents, claim)
    except DropRefusedError as refused:
        reason = str(refused)
    most = 1 if is_tar(claim) else most_shards
    number = 0
    for number, part in enumerate(cut(entries, layout.descriptions, settings, most), start=1):
        files = [_shard_file(index, entries[index], layout.descriptions) for index in part]
        claimed = claim.files if is_archive(claim) else tuple(claim.files[i] for i in part)
        write_work(store, batch_id, number, Work(Claim(claim.drop_key, claimed, None), files))
    there = {entry.path for entry in entries}
    missing = {path: why for path, why in layout.missing.items() if path not in there}
    plan = Plan(number, len(layout.descriptions), reason, missing)
    write_plan(store, batch_id, plan)
    return plan


def cut(
    entries: Sequence[Entry],
    descriptions: Mapping[str, FileDescription],
    settings: Settings,
    most_shards: int,
) -> Iterator[list[int]]:
    """The places of the entries of each shard, in order: a mask goes with the scans it belongs to.

    A shard has ``ingest_shard_files`` files, or more where there would be too many shards; the last
    one may have fewer. A drop without a file is one shard without one.
    """
    size = max(settings.ingest_shard_files, math.ceil(len(entries) / most_shards))
    together: dict[str, list[int]] = {}
    for index, entry in enumerate(entries):
        reading = descriptions.get(entry.path)
        mask = reading.mask if reading else None
        together.setdefault(mask or entry.path, []).append(index)
    shard: list[int] = []
    for places in together.values():
        shard += places
        if len(shard) >= size:
            yield sorted(shard)
            shard = []
    if shard or not entries:
        yield sorted(shard)


def _shard_file(index: int, entry: Entry, descriptions: Mapping[str, FileDescription]) -> ShardFile:
    profile = FileProfile(entry.path, size_bytes=entry.size, reason=entry.refusal)
    reading = descriptions.get(entry.path)
    if reading:
        profile.label = reading.label
        profile.split_understood = reading.split_understood
        if reading.role == "refused":
            profile.reason = reading.reason
    return ShardFile(index, profile, reading)


def _read_layout(contents: Contents, claim: Claim) -> Layout:
    """Let the manifest or the folders speak about every file that may be read."""
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
