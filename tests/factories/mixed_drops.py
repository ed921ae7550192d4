"""Drops with good and bad files, and drops with masks, as folders or archives."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from tests.factories.drop_files import (
    image_bytes,
    picture,
    png,
    png_bomb,
    write_inbox,
    write_tar,
    write_zip,
)
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.ingest.fingerprint_scans import fingerprint_scans
from tumorml.scans.ingest.finish_batch import finish_batch
from tumorml.scans.ingest.plan_shards import plan_shards, planned_batches
from tumorml.scans.ingest.read_shard import read_shard
from tumorml.settings import Settings

SMALL_DROP = {
    "Training/glioma/a.png": png(1),
    "Training/notumor/b.png": png(2),
    "Testing/glioma/c.png": png(3),
    "Testing/notumor/again.png": png(2),
    "Testing/notumor/bad.png": b"text",
    ".DS_Store": b"system",
}
"""Two splits and two labels, with a duplicate, a bad file and a system file."""
GOOD_FILES = {f"glioma/good{number}.png": png(number) for number in range(12)}
BAD_FILES = {
    "glioma/cut.jpg": image_bytes(picture(50), "JPEG")[:300],
    "glioma/corrupt.png": png(51)[:200] + b"\0" * 60 + png(51)[260:],
    "glioma/text.jpg": b"this is text",
    "glioma/empty.png": b"",
    "glioma/bomb.png": png_bomb(),
    "glioma/blank.png": image_bytes(picture(1) * 0),
    "glioma/dark.png": image_bytes(picture(1) // 20),
    "glioma/strip.png": image_bytes(picture(1, 200)[:40]),
    "astrocytoma/a.png": png(52),
    "beside.png": png(53),
    "glioma/nested.zip": b"PK\x03\x04 and so on",
}
REFUSAL_REASONS = {
    "glioma/cut.jpg": "truncated or damaged",
    "glioma/corrupt.png": "truncated or damaged",
    "glioma/text.jpg": "not a supported image",
    "glioma/empty.png": "empty",
    "glioma/bomb.png": "pixels",
    "glioma/blank.png": "blank",
    "glioma/dark.png": "nearly empty",
    "glioma/strip.png": "4 times as long",
    "astrocytoma/a.png": "'astrocytoma' is not a known label. Known labels are glioma, ",
    "beside.png": "beside the label folders",
    "glioma/nested.zip": "zip archive",
}
"""A part of the reason for which each of the bad files is refused."""
LABELED_FILES = GOOD_FILES | BAD_FILES | {"glioma/again.png": png(3), ".DS_Store": b"system"}
"""Good and bad files, a duplicate, and a system file."""


def masked_files() -> dict[str, bytes]:
    """A manifest drop: two scans share a mask, one picture has two masks, some rows are wrong.

    The scans come first and the masks last.
    """
    rows = [f"images/{n}.png,glioma,p{n},masks/{n}.png" for n in range(12)]
    rows += ["images/shared.png,glioma,p1,masks/1.png", "images/gone.png,yes,p1,"]
    rows += ["images/0-again.png,glioma,p0,masks/0-other.png", "images/odd.png,lesion,p1,"]
    rows += ["images/large.png,yes,p9,masks/large.png", "images/torn.png,yes,p9,masks/torn.png"]
    files = {f"images/{n}.png": png(n) for n in range(12)}
    files |= {"images/shared.png": png(50), "images/odd.png": png(51), "images/extra.png": png(52)}
    files |= {"images/0-again.png": image_bytes(picture(0), "BMP"), "images/large.png": png(53)}
    files |= {"images/torn.png": png(54), "masks/torn.png": b"text"}
    files |= {"masks/large.png": mask_png(9, 70), "masks/0-other.png": mask_png(40)}
    files |= {f"masks/{n}.png": mask_png(n) for n in range(12)}
    return files | {"manifest.csv": "\n".join(["path,label,patient_id,mask", *rows]).encode()}


def mask_png(corner: int, side: int = 64) -> bytes:
    """A mask with a square of 9 x 9 pixels whose upper left corner is (corner, corner)."""
    pixels = np.zeros((side, side), np.uint8)
    pixels[corner : corner + 9, corner : corner + 9] = 255
    return image_bytes(pixels)


def write_drop(settings: Settings, kind: str, files: dict[str, bytes], name: str = "drop") -> None:
    """Put files into the inbox as a ``folder`` or as an archive with the suffix ``kind``.

    A tar is packed once per test: gzip stores the time of packing.
    """
    if kind == "folder":
        write_inbox(settings, name, files)
        return
    packed = settings.home.parent / f"{name}.{kind}"
    if kind == "zip":
        write_zip(packed, files)
    elif not packed.exists():
        write_tar(packed, files, f"w:{kind.removeprefix('tar').strip('.')}")
    inbox = settings.home / "objects" / "inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    shutil.copy(packed, inbox)


def with_shard_files(settings: Settings, files: int) -> Settings:
    """The same settings with shards of this many files."""
    return settings.model_copy(update={"ingest_shard_files": files})


def ingest_in_threads(settings: Settings) -> list[dict[str, Any]]:
    """Ingest the waiting drops as the DAG does, last shard first; return the shards."""
    shards = plan_shards(settings, claim_drops(settings))
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda shard: read_shard(settings, **shard), reversed(shards)))
        list(pool.map(lambda batch: finish_batch(settings, batch), planned_batches(shards)))
        list(pool.map(lambda shard: fingerprint_scans(settings, **shard), shards))
    return shards
