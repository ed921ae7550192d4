"""Measure the ingest of one large drop by several worker processes: speed and memory.

The drop consists of synthetic slices with varied brightness, contrast, size (256 to 512 pixels) and
noise; every second one is a JPEG. The ingest has the steps of the DAG: it is planned, read in
shards by 1, 2 and 4 processes, finished by one process, and fingerprinted by the processes that
read it. The bound is a loop over a sample of the files in two processes (read, SHA-256, decode,
scan id, encode, write), without object store and database.

Memory is the high-water mark of each process (``VmHWM``), for the full drop and for a quarter of
it. The memory of a worker should not depend on the size of the drop; the memory of the finisher
grows with each file.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import func, select

from tumorml.demo.drop import draw_patient
from tumorml.demo.template import load_anatomy
from tumorml.labels import LABELS, Task
from tumorml.results.migrate import migrate
from tumorml.results.server import results_store
from tumorml.results.session import dispose_engines, read_session
from tumorml.results.tables import Fingerprint, Scan
from tumorml.scans.images.decode import decode, encode_png, scan_id
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.ingest.fingerprint_scans import fingerprint_scans
from tumorml.scans.ingest.finish_batch import finish_batch
from tumorml.scans.ingest.plan_shards import plan_shards
from tumorml.scans.ingest.read_shard import read_shard
from tumorml.settings import Settings

PATIENTS, SLICES = 6, 3
BOUND_FILES, BOUND_PROCESSES = 2_000, 2
SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Ingest:
    """One ingest: the seconds of its steps and the peak memory of its processes."""

    plan: float
    read: float
    finish: float
    fingerprint: float
    worker_bytes: int
    finisher_bytes: int

    @property
    def seconds(self) -> float:
        """Seconds from the claim to the last fingerprint."""
        return self.plan + self.read + self.finish + self.fingerprint


def paint_slices() -> list[tuple[str, NDArray[np.uint8]]]:
    """Return 18 synthetic slices of each label, as (label, pixels) pairs."""
    anatomy = load_anatomy()
    return [
        (label, drawn.image)
        for label in LABELS[Task.FOUR_CLASS]
        for patient in range(PATIENTS)
        for drawn in draw_patient(anatomy, label, patient, 7, SLICES)
    ]


def write_varied(folder: Path, slices: Sequence[tuple[str, NDArray[np.uint8]]], part: range) -> int:
    """Write one varied slice for each number, all with different pixels; return their count."""
    for number in part:
        random = np.random.default_rng(number)
        label, pixels = slices[number % len(slices)]
        side = int(random.integers(256, 513))
        image = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
        gray = np.asarray(image, np.float32) * random.uniform(0.7, 1.1) + random.uniform(-4, 4)
        gray += random.standard_normal((side, side), np.float32) * 2 * (gray > 12)
        varied = Image.fromarray(np.clip(gray, 0, 255).astype(np.uint8))
        path = folder / label / f"{number:06}.{'jpg' if number % 2 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number % 2:
            varied.save(path, quality=92)
        else:
            varied.save(path, compress_level=2)
    return len(part)


def bound_part(paths: Sequence[Path]) -> int:
    """Read, hash, decode, encode and write files, for the bound; return their number."""
    with tempfile.TemporaryDirectory(prefix="tumorml-bound-") as folder:
        for path in paths:
            data = path.read_bytes()
            hashlib.sha256(data).hexdigest()
            pixels = decode(data).pixels
            (Path(folder) / scan_id(pixels)).write_bytes(encode_png(pixels))
    return len(paths)


def bound_rate(drop: Path) -> float:
    """Return the bound in files per second."""
    paths = sorted(drop.rglob("*.*"))
    sample = paths[:: max(1, len(paths) // BOUND_FILES)]
    parts = [sample[number::BOUND_PROCESSES] for number in range(BOUND_PROCESSES)]
    with workers(BOUND_PROCESSES) as pool:
        started = time.perf_counter()
        done = sum(pool.imap_unordered(bound_part, parts, chunksize=1))
        return done / (time.perf_counter() - started)


def peak_bytes() -> int:
    """Return the memory high-water mark of this process, without that of its parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def read_one(settings: Settings, shard: dict[str, Any]) -> int:
    """Read a shard; return the peak memory of the worker so far."""
    read_shard(settings, **shard)
    return peak_bytes()


def finish_one(settings: Settings, batch_id: str) -> int:
    """Finish a batch; return the peak memory of the process."""
    finish_batch(settings, batch_id)
    return peak_bytes()


def fingerprint_one(settings: Settings, shard: dict[str, Any]) -> int:
    """Fingerprint a part of the scans; return their number."""
    return fingerprint_scans(settings, **shard)


@contextmanager
def workers(count: int) -> Iterator[Pool]:
    """Yield a pool whose processes have started and imported their modules."""
    with SPAWN.Pool(count) as pool:
        pool.map(len, [""] * count * 4, chunksize=1)
        yield pool
        pool.close()
        pool.join()


def ingest(drop: Path, home: Path, processes: int, settings: Settings) -> Ingest:
    """Ingest a drop into an empty home and measure it."""
    settings = settings.model_copy(update={"home": home})
    inbox = home / "objects" / "inbox" / "drop"
    shutil.copytree(drop, inbox, copy_function=os.link)
    files = sum(1 for _ in inbox.rglob("*.*"))
    with results_store(settings):
        migrate(settings)
        with workers(processes) as pool, workers(1) as finisher:
            started = time.perf_counter()
            shards = plan_shards(settings, claim_drops(settings))
            planned = time.perf_counter()
            peaks = pool.map(partial(read_one, settings), shards, chunksize=1)
            read = time.perf_counter()
            batch_id = shards[0]["batch_id"]
            finisher_bytes = finisher.apply(finish_one, (settings, batch_id))
            finished = time.perf_counter()
            made = sum(pool.map(partial(fingerprint_one, settings), shards, chunksize=1))
            ended = time.perf_counter()
        with read_session(settings) as session:
            scans = session.scalar(select(func.count()).select_from(Scan))
            prints = session.scalar(select(func.count()).select_from(Fingerprint))
        dispose_engines()
    if not files == scans == made == prints:
        raise RuntimeError(f"{files} files gave {scans} scans and {prints} fingerprints")
    shutil.rmtree(home)
    return Ingest(
        planned - started,
        read - planned,
        finished - read,
        ended - finished,
        max(peaks),
        finisher_bytes,
    )


def main() -> None:
    """Run the benchmark and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scans", type=int, default=20_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--shard-files", type=int, default=1_000)
    parser.add_argument("--folder", type=Path, help="temporary folder, about 200 kB per scan")
    arguments = parser.parse_args()
    settings = Settings(settle_seconds=0, ingest_shard_files=arguments.shard_files)
    with tempfile.TemporaryDirectory(
        prefix="tumorml-bench-", dir=arguments.folder, ignore_cleanup_errors=True
    ) as folder:
        root = Path(folder)
        slices, quarter = paint_slices(), arguments.scans // 4
        parts = [range(s, min(s + 100, arguments.scans)) for s in range(0, arguments.scans, 100)]
        with workers(2) as pool:
            pool.map(partial(write_varied, root / "drop", slices), parts, chunksize=1)
            first = [range(p.start, min(p.stop, quarter)) for p in parts if p.start < quarter]
            pool.map(partial(write_varied, root / "quarter", slices), first, chunksize=1)
        size = sum(path.stat().st_size for path in (root / "drop").rglob("*.*"))
        print(
            f"{arguments.scans} scans of {size / arguments.scans / 1e3:.0f} kB, "
            f"{arguments.shard_files} per shard"
        )
        bound = bound_rate(root / "drop")
        print(f"bound, {BOUND_PROCESSES} processes: {bound:.0f} scans/s")
        print("workers  read scans/s  of bound  all scans/s   plan   read  finish  fingerprints, s")
        for count in arguments.workers:
            full = ingest(root / "drop", root / f"home-{count}", count, settings)
            rate = arguments.scans / full.read
            print(
                f"{count:7}  {rate:12.0f}  {rate / bound:8.0%}"
                f"  {arguments.scans / full.seconds:11.0f}"
                f"  {full.plan:5.1f}  {full.read:5.1f}  {full.finish:6.1f}"
                f"  {full.fingerprint:6.1f}",
                flush=True,
            )
        part = ingest(root / "quarter", root / "home-quarter", arguments.workers[-1], settings)
    per_file = (full.finisher_bytes - part.finisher_bytes) / (arguments.scans - quarter)
    print(f"peak memory, MB: drop of {quarter} / {arguments.scans} scans")
    print(f"  worker:     {part.worker_bytes / 1e6:.0f} / {full.worker_bytes / 1e6:.0f}")
    print(
        f"  finisher:   {part.finisher_bytes / 1e6:.0f} / {full.finisher_bytes / 1e6:.0f}, "
        f"{per_file:.0f} bytes per file"
    )


if __name__ == "__main__":
    main()
