"""Images, folders and archives for drops, and queries about ingested batches."""

from __future__ import annotations

import hashlib
import io
import shutil
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sqlalchemy import select, text

from tumorml.objects import object_store
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Batch, BatchFile, Fingerprint, Scan, ScanLabel
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.ingest.finish_batch import ingest_batch
from tumorml.settings import Settings


def picture(seed: int, side: int = 64) -> np.ndarray:
    """A bright textured disc on black, with gray levels from 0 to 255."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side] - side / 2
    inside = np.hypot(rows, columns) < side * 0.4
    pixels = np.where(inside, random.integers(60, 255, (side, side)), 0).astype(np.uint8)
    pixels[side // 2, side // 2] = 255
    return pixels


def image_bytes(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def png(seed: int, side: int = 64) -> bytes:
    return image_bytes(picture(seed, side))


def png_bomb(width: int = 30_000, height: int = 30_000) -> bytes:
    """A PNG of a few hundred kilobytes with width x height black pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))
        )

    header = struct.pack(">LLBBBBB", width, height, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    line = bytes(1 + (width + 7) // 8)
    body = b"".join(packer.compress(line * 100) for _ in range(height // 100)) + packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def write_inbox(settings: Settings, drop: str, files: dict[str, bytes]) -> Path:
    return write_files(settings.home / "objects" / "inbox" / drop, files)


def write_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(
                zipfile.ZipInfo(name), data, method
            )  # without the time, so that the bytes are always the same
    return path


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def ingest_all(settings: Settings) -> list[str]:
    batches = claim_drops(settings)
    for batch in batches:
        ingest_batch(settings, batch)
    return batches


def ingest_one(settings: Settings) -> dict[str, BatchFile]:
    """Ingest the only waiting drop; return the rows of its files by path."""
    (batch_id,) = ingest_all(settings)
    return files_of(settings, batch_id)


def files_of(settings: Settings, batch_id: str) -> dict[str, BatchFile]:
    with read_session(settings) as session:
        rows = session.scalars(select(BatchFile).where(BatchFile.batch_id == batch_id)).all()
        return {row.path: row for row in rows}


def batches(settings: Settings) -> list[Batch]:
    with read_session(settings) as session:
        return list(session.scalars(select(Batch).order_by(Batch.claimed_at, Batch.id)))


def labels_of(rows: dict[str, BatchFile]) -> dict[str, str | None]:
    return {path: row.label for path, row in rows.items() if row.outcome == "taken_in"}


def original(settings: Settings, row: BatchFile) -> bytes:
    """The original bytes of a file, from the object key in its row."""
    store = object_store(settings)
    key, inside, member = (row.object_key or "").partition("!/")
    data = store.read(key)
    if not inside:
        return data
    if key.endswith(".zip"):
        return zipfile.ZipFile(io.BytesIO(data)).read(member)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        unpacked = archive.extractfile(member)
        return unpacked.read() if unpacked else b""


def start_again(settings: Settings) -> None:
    """Delete the home and all rows about drops and scans."""
    with write_session(settings) as session:
        for table in (Fingerprint, BatchFile, ScanLabel, Scan, Batch):
            session.query(table).delete()
    shutil.rmtree(settings.home)


def stored_digests(settings: Settings) -> set[str]:
    """The SHA-256 of every file under archive/ and quarantine/ in a local store."""
    root = settings.home / "objects"
    return {
        hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("archive", "quarantine")
        for path in (root / folder).rglob("*")
        if path.is_file()
    }


def everything(settings: Settings) -> dict[str, Any]:
    """All rows and objects of one batch, without times, ids of the batch, claims and Data Docs."""
    queries = {
        "batch": "select drop_name, state, reason, validation, warnings from batch",
        "file": "select to_jsonb(batch_file) - '{batch_id}'::text[] from batch_file",
        "scan": "select to_jsonb(scan) - '{batch_id,created_at}'::text[] from scan",
        "label": "select scan_id, label from scan_label",
        "fingerprint": "select to_jsonb(fingerprint) - '{compared_at}'::text[] from fingerprint",
    }
    with read_session(settings) as session:
        (batch,) = session.scalars(select(Batch)).all()
        found: dict[str, Any] = {
            name: sorted(
                str(tuple(row)).replace(batch.id, "<batch>") for row in session.execute(text(query))
            )
            for name, query in queries.items()
        }
    root = settings.home / "objects"
    found["objects"] = sorted(
        (
            path.relative_to(root).as_posix().replace(batch.id, "<batch>"),
            path.read_bytes().replace(batch.id.encode(), b"<batch>"),
        )
        for path in root.rglob("*")
        if path.is_file() and not {"data-docs", "claims"} & set(path.relative_to(root).parts)
    )
    found["docs"] = sum(1 for path in (root / "data-docs").rglob("*.html"))
    return found
