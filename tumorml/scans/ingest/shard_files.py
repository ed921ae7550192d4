"""Files through which the tasks of one ingest exchange data: plan, shard work and shard findings.

They are stored as gzipped JSON under ``claims/<batch>/``. Every write is atomic and idempotent.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tumorml.errors import MissingObjectError
from tumorml.objects import ObjectStore
from tumorml.objects.keys import plan_key, shard_findings_key, shard_work_key
from tumorml.scans.images.profile import FileProfile
from tumorml.scans.inbox.claim import Claim, ClaimedFile
from tumorml.scans.inbox.layout import FileDescription

_GZIP_LEVEL = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """The division of a batch into shards, and the findings from its listing.

    Attributes:
        shards: The number of shards.
        files: The number of files that all shards together have to read.
        reason: Why the whole drop is refused without reading its files; None if it is not.
        missing: Why a manifest row has no file, by the path in the row.
    """

    shards: int
    files: int
    reason: str | None = None
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class ShardFile:
    """One file of a shard.

    Attributes:
        index: The position in the drop, from 0.
        profile: The measurements; filled in when the file is read.
        description: From the folders or the manifest; None if the file must not be read.
        mask_sha256: SHA-256 of the stored PNG of its mask; None without a mask.
    """

    index: int
    profile: FileProfile
    description: FileDescription | None
    mask_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class ShardWork:
    """The files that one shard has to read.

    The claim of a folder lists the files of the shard only. The claim of an archive lists the
    archive.
    """

    claim: Claim
    files: Sequence[ShardFile]


@dataclass(frozen=True, slots=True)
class ShardFindings:
    """The result of reading one shard.

    Attributes:
        files: The files with their profiles.
        reason: Why the whole drop must be refused; None if not.
        seconds: The time that reading took.
        peak_memory_bytes: The largest memory of the worker's process.
    """

    files: Sequence[ShardFile]
    reason: str | None
    seconds: float
    peak_memory_bytes: int


def write_plan(store: ObjectStore, batch_id: str, plan: Plan) -> None:
    """Write the plan, after the work of all shards: workers start as soon as the plan exists."""
    _write(store, plan_key(batch_id), asdict(plan))


def read_plan(store: ObjectStore, batch_id: str) -> Plan | None:
    """Read the plan of a batch, or return None if it has none yet."""
    try:
        return Plan(**_read(store, plan_key(batch_id)))
    except MissingObjectError:
        return None


def write_work(store: ObjectStore, batch_id: str, shard: int, work: ShardWork) -> None:
    """Write the work of a shard; shards are counted from 1."""
    stored = {"claim": asdict(work.claim), "files": [_packed(file) for file in work.files]}
    _write(store, shard_work_key(batch_id, shard), stored)


def read_work(store: ObjectStore, batch_id: str, shard: int) -> ShardWork:
    """Read the work of a shard."""
    stored = _read(store, shard_work_key(batch_id, shard))
    claimed = tuple(ClaimedFile(**file) for file in stored["claim"]["files"])
    return ShardWork(
        Claim(stored["claim"]["drop_key"], claimed, None), [_unpacked(f) for f in stored["files"]]
    )


def write_findings(store: ObjectStore, batch_id: str, shard: int, findings: ShardFindings) -> None:
    """Write the findings of a shard."""
    stored = {
        "files": [_packed(file) for file in findings.files],
        "reason": findings.reason,
        "seconds": findings.seconds,
        "peak_memory_bytes": findings.peak_memory_bytes,
    }
    _write(store, shard_findings_key(batch_id, shard), stored)


def read_findings(store: ObjectStore, batch_id: str, shard: int) -> ShardFindings:
    """Read the findings of a shard.

    Raises:
        MissingObjectError: The shard has not been read yet.
    """
    stored = _read(store, shard_findings_key(batch_id, shard))
    return ShardFindings(**stored | {"files": [_unpacked(file) for file in stored["files"]]})


def is_read(store: ObjectStore, batch_id: str, shard: int) -> bool:
    """Return whether the findings of a shard exist."""
    return store.exists(shard_findings_key(batch_id, shard))


def _write(store: ObjectStore, key: str, content: Any) -> None:
    # ASCII JSON keeps lone surrogates, which encode the bytes of names that are not UTF-8.
    store.write(key, gzip.compress(json.dumps(content).encode(), _GZIP_LEVEL))


def _read(store: ObjectStore, key: str) -> Any:
    return json.loads(gzip.decompress(store.read(key)))


def _packed(file: ShardFile) -> list[Any]:
    profile = _set_fields(file.profile)
    description = file.description and _set_fields(file.description)
    return [file.index, profile, description, file.mask_sha256]


def _set_fields(row: FileProfile | FileDescription) -> dict[str, Any]:
    values = ((name, getattr(row, name)) for name in row.__slots__)
    return {name: value for name, value in values if value is not None}


def _unpacked(stored: list[Any]) -> ShardFile:
    index, profile, description, mask_sha256 = stored
    if description:
        description = FileDescription(**description | {"mask_of": tuple(description["mask_of"])})
    return ShardFile(index, FileProfile(**profile), description, mask_sha256)
