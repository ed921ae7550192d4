"""What the tasks of one ingest hand to each other by way of the object store.

Under ``claims/<batch>/`` lie the plan, and for each shard its work and, once it is read, what was
found. Each is written whole or not at all, and says the same however often it is written.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tumorml.errors import MissingObjectError
from tumorml.objects import ObjectStore
from tumorml.objects.keys import plan_key, shard_found_key, shard_work_key
from tumorml.scans.images.profile import FileProfile
from tumorml.scans.inbox.claim import Claim, ClaimedFile
from tumorml.scans.inbox.layout import FileDescription

_LEVEL = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """How a batch is cut, and what is known of it without reading its files."""

    shards: int
    files: int
    """How many files the shards have to read, together."""
    reason: str | None = None
    """Why the drop is refused whole, so that none of its files is read."""
    missing: dict[str, str] = field(default_factory=dict)
    """What the manifest names wrongly, with the reason."""


@dataclass(slots=True)
class ShardFile:
    """One file of a drop; without a reading it must not be read."""

    index: int
    """Its place in the drop."""
    profile: FileProfile
    description: FileDescription | None
    mask_sha256: str | None = None
    """Of the PNG of its mask."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one shard has to read; the claim names no file of a folder that is another shard's."""

    claim: Claim
    files: Sequence[ShardFile]


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in a shard's files, and what it took to read them."""

    files: Sequence[ShardFile]
    reason: str | None
    """Why the drop must be refused whole."""
    seconds: float
    peak_memory_bytes: int


def write_plan(store: ObjectStore, batch_id: str, plan: Plan) -> None:
    """Keep the plan; after its shards' work, since whoever finds it starts to read."""
    _write(store, plan_key(batch_id), asdict(plan))


def read_plan(store: ObjectStore, batch_id: str) -> Plan | None:
    """The batch's plan, or None where none was made yet."""
    try:
        return Plan(**_read(store, plan_key(batch_id)))
    except MissingObjectError:
        return None


def write_work(store: ObjectStore, batch_id: str, shard: int, work: Work) -> None:
    """Keep what a shard has to read; shards are counted from 1."""
    stored = {"claim": asdict(work.claim), "files": [_packed(file) for file in work.files]}
    _write(store, shard_work_key(batch_id, shard), stored)


def read_work(store: ObjectStore, batch_id: str, shard: int) -> Work:
    """What a shard has to read."""
    stored = _read(store, shard_work_key(batch_id, shard))
    claimed = tuple(ClaimedFile(**file) for file in stored["claim"]["files"])
    return Work(
        Claim(stored["claim"]["drop_key"], claimed, None), [_unpacked(f) for f in stored["files"]]
    )


def write_found(store: ObjectStore, batch_id: str, shard: int, found: Found) -> None:
    """Keep what was found in a shard."""
    stored = {
        "files": [_packed(file) for file in found.files],
        "reason": found.reason,
        "seconds": found.seconds,
        "peak_memory_bytes": found.peak_memory_bytes,
    }
    _write(store, shard_found_key(batch_id, shard), stored)


def read_found(store: ObjectStore, batch_id: str, shard: int) -> Found:
    """What was found in a shard.

    Raises:
        MissingObjectError: It was not read yet.
    """
    stored = _read(store, shard_found_key(batch_id, shard))
    return Found(**stored | {"files": [_unpacked(file) for file in stored["files"]]})


def is_read(store: ObjectStore, batch_id: str, shard: int) -> bool:
    """Whether what was found in a shard lies there."""
    return store.exists(shard_found_key(batch_id, shard))


def _write(store: ObjectStore, key: str, content: Any) -> None:
    # ASCII JSON keeps half surrogates, which stand for bytes of a name that are not UTF-8.
    store.write(key, gzip.compress(json.dumps(content).encode(), _LEVEL))


def _read(store: ObjectStore, key: str) -> Any:
    return json.loads(gzip.decompress(store.read(key)))


def _packed(file: ShardFile) -> list[Any]:
    profile, description = _said(file.profile), file.description and _said(file.description)
    return [file.index, profile, description, file.mask_sha256]


def _said(row: FileProfile | FileDescription) -> dict[str, Any]:
    values = ((name, getattr(row, name)) for name in row.__slots__)
    return {name: value for name, value in values if value is not None}


def _unpacked(stored: list[Any]) -> ShardFile:
    index, profile, description, mask_sha256 = stored
    if description:
        description = FileDescription(**description | {"mask_of": tuple(description["mask_of"])})
    return ShardFile(index, FileProfile(**profile), description, mask_sha256)
