"""Measure the ingest of a drop against a lower bound: reading, decoding and hashing its files.

Prints the medians of three repeats in seconds, and their ratio. Uses synthetic scans, a temporary
home and a Postgres server of its own.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from tumorml.demo.drop import write_demo_drop
from tumorml.results.migrate import migrate
from tumorml.results.server import results_store
from tumorml.scans.images.decode import decode, scan_id
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.ingest.finish_batch import ingest_batch
from tumorml.scans.ingest.put_drop import put_drop
from tumorml.settings import Settings

REPEATS = 3


def bound_seconds(folder: Path) -> float:
    """Return the seconds for reading, decoding and hashing every scan and mask of a drop."""
    started = time.perf_counter()
    for path in folder.rglob("*.png"):
        scan_id(decode(path.read_bytes()).pixels)
    return time.perf_counter() - started


def ingest_seconds(folder: Path, home: Path) -> float:
    """Return the seconds for ingesting the drop into an empty home."""
    settings = Settings(home=home, settle_seconds=0)
    with results_store(settings):
        migrate(settings)
        put_drop(settings, folder, "drop")
        (batch_id,) = claim_drops(settings)
        started = time.perf_counter()
        ingest_batch(settings, batch_id)
        return time.perf_counter() - started


def main() -> None:
    """Run the benchmark and print the result."""
    with tempfile.TemporaryDirectory(prefix="tumorml-bench-", ignore_cleanup_errors=True) as root:
        drop = Path(root) / "drop"
        scans = write_demo_drop(drop)
        files = sum(1 for _ in drop.rglob("*.png"))
        ingest_seconds(drop, Path(root) / "warm-up")
        bounds, ingests = [], []
        for repeat in range(REPEATS):
            bounds.append(bound_seconds(drop))
            ingests.append(ingest_seconds(drop, Path(root) / f"home-{repeat}"))
    bound, ingest = statistics.median(bounds), statistics.median(ingests)
    print(f"{files} files, of which {scans} scans; medians of {REPEATS} runs")
    print(f"  read + decode + SHA-256 (lower bound): {bound:.2f} s")
    print(f"  ingest_batch:                         {ingest:.2f} s, {files / ingest:.0f} files/s")
    print(f"  ratio: {ingest / bound:.1f}")


if __name__ == "__main__":
    main()
