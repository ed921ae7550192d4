"""Speed and memory of the twin search, for many new scans and against a million stored scans.

Three measurements:

1. ``fingerprint``, compared with decoding and hashing the same file;
2. 1,000 new scans against 1,000,000 stored ones; the target is 30 s;
3. 10,000, 30,000 and 100,000 scans that are all new.

The cost of 2 and 3 depends on the shares of pairs that pass the first two sieves. Among real
slices of different patients (J. Cheng, figshare 1512427) 0.30 % of the pairs pass the first sieve,
by keys, and about 0.0007 % pass the second, by grids; only these are compared by pixels. The
synthetic population has about the same shares: synthetic slices are deformed and fingerprinted;
mixtures of their coarse grids give the keys, and mixtures of their fine grids, with the same
weights, give the grids. The shares are printed beside the times.

In a store with more scans of the same plane and level, more pairs pass. The time of the sieve by
grids is proportional to the share that passes the sieve by keys, and the time of the comparison by
pixels to the share that passes both. The time of the sieve by keys depends on the number of scans
only. No scan of the population has a twin. Thumbnails are computed, not read from a store.
Processor seconds are summed over all threads and depend less on other processes.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
from numpy.typing import NDArray

from tumorml.datasets.twins import candidates
from tumorml.datasets.twins import find_twins as twin_search
from tumorml.datasets.twins.candidates import Catalogue
from tumorml.datasets.twins.find_twins import find_twins
from tumorml.demo.drop import draw_patient
from tumorml.demo.template import load_anatomy
from tumorml.labels import LABELS, Task
from tumorml.scans.images import fingerprint as prints
from tumorml.scans.images.decode import decode, scan_id
from tumorml.scans.images.fingerprint import (
    GRID_SIDE,
    KEY_LENGTH,
    QUANTUM,
    fingerprint,
    symmetric_key,
)

ALL_NEW = (10_000, 30_000, 100_000)
STORED, NEW = 1_000_000, 1_000
TARGET_SECONDS = 30.0
REPEATS = 5

_PATIENTS, _SLICES, _DEFORMED = 8, 3, 12
_AMPLITUDE, _MIXED = 0.035, 0.44
"""Standard deviation of a deformation's nodes, as a share of the longer image side; and the weight
of the second slice of a mixture, which is added, and of the third, which is subtracted."""
_CHUNK = 20_000


def synthetic_slices() -> Iterator[NDArray[np.uint8]]:
    """Yield slices of the demo, of all labels and planes."""
    anatomy = load_anatomy()
    for label in LABELS[Task.FOUR_CLASS]:
        for index in range(_PATIENTS):
            for drawn in draw_patient(anatomy, label, index, seed=7, slices=_SLICES):
                yield drawn.image


def deformed(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return an image, uint8 [height, width], deformed by a smooth random field."""
    height, width = picture.shape
    nodes = rng.normal(0, _AMPLITUDE * max(height, width), (2, 5, 5)).astype(np.float32)
    across, down = (cv2.resize(n, (width, height), interpolation=cv2.INTER_CUBIC) for n in nodes)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.asarray(cv2.remap(picture, x + across, y + down, cv2.INTER_LINEAR), np.uint8)


class _Cells(np.ndarray[tuple[int, ...], np.dtype[np.float32]]):
    """One cell of many grids; ``np.sqrt`` of an object array calls ``sqrt`` of its members."""

    def sqrt(self) -> NDArray[np.float32]:
        return np.sqrt(self)


def symmetric_keys(grids: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``symmetric_key`` of many grids, float [n, 8, 8], as float [n, 42]."""
    cells = np.empty(grids.shape[1:], object)
    for index in np.ndindex(cells.shape):
        cells[index] = grids[:, *index].view(_Cells)
    return np.stack([np.asarray(values) for values in symmetric_key(cells)], axis=1)


class Population:
    """Scans whose fingerprints are about as similar to each other as those of real slices.

    Args:
        slices: Synthetic slices, uint8 [n, height, width].
        size: Number of scans.
    """

    def __init__(self, slices: NDArray[np.uint8], size: int) -> None:
        rng = np.random.default_rng(0)
        self._thumbnails: list[NDArray[np.uint8]] = []
        coarse, fine = [], []
        for image in (deformed(one, rng) for one in slices for _ in range(_DEFORMED)):
            thumbnail = prints.thumbnail(image)
            box, window = prints.head_box(thumbnail), prints._window(thumbnail)
            if box is not None and window is not None:
                self._thumbnails.append(thumbnail)
                head = thumbnail, box, window
                coarse.append(prints._grids(*head, prints.COARSE_SIDE, prints._COARSE_BAND))
                fine.append(prints._grids(*head, GRID_SIDE, prints._FINE_BAND))
        self._mixtures = rng.integers(len(coarse), size=(3, size))
        keys = np.empty((size, 2, KEY_LENGTH), np.int8)
        grids = np.empty((size, 2, GRID_SIDE, GRID_SIDE), np.int8)
        for start in range(0, size, _CHUNK):
            chunk = slice(start, start + _CHUNK)
            for frame in range(2):
                mixed = self._mixed(np.array(coarse, np.float32)[:, frame], chunk)
                mixed_keys = symmetric_keys(mixed)
                np.testing.assert_allclose(mixed_keys[0], symmetric_key(mixed[0]), atol=1e-5)
                keys[chunk, frame] = np.rint(mixed_keys * QUANTUM)
                mixed = self._mixed(np.array(fine, np.float32)[:, frame], chunk)
                grids[chunk, frame] = np.rint(mixed * QUANTUM)
        self.catalogue = Catalogue(range(size), keys, grids)  # type: ignore[arg-type]

    def thumbnail(self, index: int) -> NDArray[np.uint8]:
        """Return a deformed thumbnail of the scan's first slice, the same in every call."""
        source = self._thumbnails[self._mixtures[0, index]]
        return deformed(source, np.random.default_rng(index))

    def _mixed(self, sources: NDArray[np.float32], chunk: slice) -> NDArray[np.float32]:
        first, added, subtracted = (sources[indices[chunk]] for indices in self._mixtures)
        mixed = first + _MIXED * (added - subtracted)
        return np.asarray(mixed / np.linalg.norm(mixed, axis=(1, 2), keepdims=True), np.float32)


class Search:
    """A timed run of ``find_twins``: the last ``new`` scans against all scans."""

    def __init__(self, population: Population, new: int) -> None:
        self._population, self._new = population, new
        self._near, self._candidates = candidates.pairs_with_near_keys, candidates.candidate_pairs
        self._seconds = dict.fromkeys(("keys", "both sieves", "thumbnails"), 0.0)
        self._hits = self._pairs = 0

    def run(self) -> dict[str, float]:
        """Return the seconds of each stage, the shares of pairs and the peak memory in GiB."""
        size = len(self._population.catalogue.ids)
        new = range(size - self._new, size)
        before, cpu, started = peak_gib(), time.process_time(), time.perf_counter()
        with (
            patch.object(candidates, "pairs_with_near_keys", self._by_keys),
            patch.object(twin_search, "candidate_pairs", self._by_grids),
        ):
            found = find_twins(self._population.catalogue, new, self._thumbnails)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        by_keys, both, thumbnails = self._seconds.values()
        return {
            "seconds": seconds,
            "processor": cpu,
            "keys": by_keys,
            "grids": both - by_keys,
            "thumbnails": thumbnails,
            "pixels": seconds - both - thumbnails,
            "key_share": self._hits / (self._new * size),
            "grid_share": self._pairs / (self._new * (size - (self._new + 1) / 2)),
            "pairs": self._pairs,
            "twins": len(found),
            "before": before,
            "peak": peak_gib(),
        }

    def _by_keys(self, *arguments: Any) -> Iterator[tuple[int, NDArray[np.int64]]]:
        for start, hits in self._timed("keys", self._near(*arguments)):
            self._hits += len(hits)
            yield start, hits

    def _by_grids(self, *arguments: Any) -> Iterator[Any]:
        for pair in self._timed("both sieves", self._candidates(*arguments)):
            self._pairs += 1
            yield pair

    def _timed(self, stage: str, items: Iterator[Any]) -> Iterator[Any]:
        while True:
            started = time.perf_counter()
            item = next(items, None)
            self._seconds[stage] += time.perf_counter() - started
            if item is None:
                return
            yield item

    def _thumbnails(self, indices: Sequence[int]) -> Mapping[int, NDArray[np.uint8]]:
        started = time.perf_counter()
        thumbnails = {index: self._population.thumbnail(index) for index in indices}
        self._seconds["thumbnails"] += time.perf_counter() - started
        return thumbnails


def peak_gib() -> float:
    """Return the peak memory of this process, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def search_in_process(slices: Path, size: int, new: int) -> dict[str, float]:
    """Run one search in a new process, to measure its peak memory, and print the result."""
    command = [sys.executable, __file__, str(slices), str(size), str(new)]
    process = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, float] = json.loads(process.stdout)
    print(
        "  {new:,} of {size:,} new: {seconds:.1f} s (keys {keys:.1f}, grids {grids:.1f}, "
        "thumbnails {thumbnails:.1f}, pixels {pixels:.1f}), processor {processor:.1f} s, "
        "peak {peak:.2f} GiB ({before:.2f} before the search)\n"
        "    shares of pairs: {key_share:.2%} by keys, {grid_share:.5%} by grids; {pairs:,} pairs "
        "compared by pixels, {twins:,} confirmed".format(new=new, size=size, **measured),
        flush=True,
    )
    return measured


def measure_fingerprint(slices: NDArray[np.uint8]) -> None:
    """Print the milliseconds per 512-pixel JPEG of decoding with hashing, and of fingerprints."""
    files = [cv2.imencode(".jpg", cv2.resize(one, (512, 512)))[1].tobytes() for one in slices]
    seconds: tuple[list[float], list[float]] = [], []
    for _ in range(REPEATS):
        started = time.perf_counter()
        decoded = [decode(data).pixels for data in files]
        [scan_id(pixels) for pixels in decoded]
        hashed = time.perf_counter()
        [fingerprint(pixels) for pixels in decoded]
        seconds[0].append(hashed - started)
        seconds[1].append(time.perf_counter() - hashed)
    decoding, fingerprinting = (statistics.median(t) / len(files) * 1e3 for t in seconds)
    print(f"one 512-pixel JPEG; medians of {REPEATS} repeats with {len(files)} files each")
    print(f"  decode + SHA-256: {decoding:.2f} ms")
    print(
        f"  fingerprint: {fingerprinting:.2f} ms, ratio {fingerprinting / decoding:.2f}", flush=True
    )


def main() -> None:
    """Run the three measurements and print their results."""
    with tempfile.TemporaryDirectory(prefix="tumorml-bench-") as root:
        path = Path(root) / "slices.npy"
        slices = np.stack(list(synthetic_slices()))
        np.save(path, slices)
        measure_fingerprint(slices)
        print(f"against stored scans; the target is {TARGET_SECONDS:.0f} s")
        seconds = search_in_process(path, STORED + NEW, NEW)["seconds"]
        print(f"    ratio to the target: {seconds / TARGET_SECONDS:.2f}")
        print("all scans new")
        for size in ALL_NEW:
            search_in_process(path, size, size)


if len(sys.argv) > 1:
    population = Population(np.load(sys.argv[1]), int(sys.argv[2]))
    print(json.dumps(Search(population, int(sys.argv[3])).run()))
else:
    main()
