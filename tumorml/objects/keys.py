"""The keys of all objects in the store, one function per key.

Keys are relative POSIX paths. They are part of the stored data: changing one here would lose the
objects of existing installations.
"""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import PurePosixPath

INBOX = "inbox"
"""The prefix under which users put drops."""

_MAX_NAME_BYTES = 200
_REASONS_NAME = "reasons.json"


def drop_key(name: str) -> str:
    """A drop in the inbox: the folder or the file."""
    return f"{INBOX}/{name}"


def claim_key(batch_id: str) -> str:
    """The listing of a drop at the time it was claimed."""
    return f"claims/{batch_id}.json"


def plan_key(batch_id: str) -> str:
    """The plan of a batch's shards."""
    return f"claims/{batch_id}/plan.json.gz"


def shard_work_key(batch_id: str, shard: int) -> str:
    """The list of files that a shard has to read; shards are counted from 1."""
    return f"claims/{batch_id}/work-{shard:04}.json.gz"


def shard_findings_key(batch_id: str, shard: int) -> str:
    """The results of reading a shard; shards are counted from 1."""
    return f"claims/{batch_id}/found-{shard:04}.json.gz"


def archive_key(batch_id: str, path: str) -> str:
    """An original file that was accepted."""
    return f"archive/{batch_id}/{_storable(path)}"


def quarantine_key(batch_id: str, path: str) -> str:
    """An original file that was refused.

    A dropped ``reasons.json`` is stored as ``reasons.json.dropped``, because the service writes a
    file of this name itself.
    """
    first, slash, rest = path.partition("/")
    if first.casefold() == _REASONS_NAME:
        path = f"{first}.dropped{slash}{rest}"
    return f"quarantine/{batch_id}/{_storable(path)}"


def reasons_key(batch_id: str) -> str:
    """The reasons why files of a batch were refused."""
    return f"quarantine/{batch_id}/{_REASONS_NAME}"


def archive_member_key(archive: str, path: str) -> str:
    """A file inside a stored zip or tar. It identifies the member; no object has this key."""
    return f"{archive}!/{path}"


def data_docs_key(batch_id: str, page: str = "index.html") -> str:
    """A page of a batch's Data Docs (Great Expectations)."""
    return f"data-docs/{batch_id}/{page}"


def scan_key(scan_id: str) -> str:
    """The canonical pixels of a scan (PNG)."""
    return f"scans/{scan_id[:2]}/{scan_id}.png"


def mask_key(scan_id: str) -> str:
    """The tumor mask of a scan (PNG)."""
    return f"masks/{scan_id[:2]}/{scan_id}.png"


def snapshot_key(snapshot_id: str) -> str:
    """The list of scans of a snapshot (Parquet)."""
    return f"snapshots/{snapshot_id}.parquet"


def model_key(model_version_id: str) -> str:
    """The folder of a model version."""
    return f"models/{model_version_id}"


def model_file_key(model_folder: str, name: str) -> str:
    """A file of a model version, whose folder is `model_key` or the column ``object_key``."""
    return f"{model_folder}/{name}"


def run_file_key(run_id: str, name: str) -> str:
    """A report, slide deck or model card of a run, by its file name."""
    return f"runs/{run_id}/{name}"


def report_key(run_id: str) -> str:
    """The HTML report of a run."""
    return run_file_key(run_id, "report.html")


def run_heatmap_key(run_id: str, scan_id: str) -> str:
    """The overlay of a test scan in a run's report (PNG)."""
    return f"runs/{run_id}/heatmaps/{scan_id}.png"


def feature_maps_key(run_id: str, scan_id: str) -> str:
    """The sheet of feature maps of a test scan (PNG)."""
    return f"runs/{run_id}/feature-maps/{scan_id}.png"


def checkpoints_key(run_id: str) -> str:
    """The folder of a run's checkpoints."""
    return f"runs/{run_id}/checkpoint"


def checkpoint_key(run_id: str, epoch: int) -> str:
    """The checkpoint after an epoch (zip); epochs are counted from 1."""
    return f"{checkpoints_key(run_id)}/{epoch:06d}.zip"


def score_heatmap_key(model_version_id: str, scan_id: str, overlay: bytes) -> str:
    """The overlay of a stored scan that the champion scored (PNG)."""
    return f"scores/{model_version_id}/{_overlay_name(scan_id, overlay)}"


def answer_heatmap_key(day: date, model_version_id: str, scan_id: str, overlay: bytes) -> str:
    """The overlay of a prediction of the API, under the day of the prediction (PNG)."""
    return f"answers/{day:%Y-%m-%d}/{model_version_id}/{_overlay_name(scan_id, overlay)}"


def _overlay_name(scan_id: str, overlay: bytes) -> str:
    # Servers with different fonts draw different overlays of one scan, so each gets its own key.
    return f"{scan_id}-{hashlib.sha256(overlay).hexdigest()[:8]}.png"


def _storable(path: str) -> str:
    """Return the path with too long names truncated and made unique by a digest."""
    parts = []
    for part in PurePosixPath(path).parts:
        data = part.encode()
        if len(data) > _MAX_NAME_BYTES:
            digest = hashlib.sha256(data).hexdigest()[:16]
            suffix = PurePosixPath(part).suffix[:10]
            part = f"{data[:100].decode('utf-8', 'ignore')}-{digest}{suffix}"
        parts.append(part)
    return "/".join(parts)
