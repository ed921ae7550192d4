"""Finding twins, against its bounds: what it takes for many new scans, and against a million.

Three things are measured, each in full:

1. ``fingerprint`` against decoding and hashing the same file;
2. 1,000 new scans against 1,000,000 stored ones, whose bound is 30 s;
3. all scans new at once, 10,000, 30,000 and 100,000 of them.

What the last two cost depends on the shares of pairs that the first two sieves let through. Among
real slices of different patients (J. Cheng, figshare 1512427) 0.30 % of the pairs pass the first
sieve, by keys, and about 0.0007 % the second, by grids; only these are compared on pixels. The
population here is made to be as dense: painted slices are deformed and fingerprinted; mixtures of
their coarse grids give keys, and mixtures of their fine grids, in the same parts, are the grids.
The shares are printed beside the times.

A store with more scans of one plane and level is denser than that: the second sieve then grows with
the share of the first, the third with that of the second; the matrix product of keys depends on the
number of scans alone. No scan here has a twin. Making thumbnails stands in place of reading them.
Processor seconds are those of all threads together, and vary less with what else is running.
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
STORED, ASKED = 1_000_000, 1_000
BOUND_SECONDS = 30.0
REPEATS = 5

_PATIENTS, _SLICES, _DEFORMED = 8, 3, 12
_AMPLITUDE, _MIXED = 0.035, 0.44
"""Standard deviation of the nodes of a deformation, in lengths of the picture; and how much of a
second slice is added to a mixture, and of a third taken away."""
_CHUNK = 20_000


def painted_slices() -> Iterator[NDArray[np.uint8]]:
    """Slices of the demo, of all labels and planes."""
    anatomy = load_anatomy()
    for label in LABELS[Task.FOUR_CLASS]:
        for index in range(_PATIENTS):
            for made in draw_patient(anatomy, label, index, seed=7, slices=_SLICES):
                yield made.image


def deformed(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture, uint8 [height, width], bent by a smooth random field."""
    height, width = picture.shape
    nodes = rng.normal(0, _AMPLITUDE * max(height, width), (2, 5, 5)).astype(np.float32)
    across, down = (cv2.resize(n, (width, height), interpolation=cv2.INTER_CUBIC) for n in nodes)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.asarray(cv2.remap(picture, x + across, y + down, cv2.INTER_LINEAR), np.uint8)


class _Cells(np.ndarray[tuple[int, ...], np.dtype[np.float32]]):
    """One cell of many grids; numpy asks the members of an array of objects for their roots."""

    def sqrt(self) -> NDArray[np.float32]:
        return np.sqrt(self)


def symmetric_keys(grids: NDArray[np.float32]) -> NDArray[np.float32]:
    """``symmetric_key`` of many grids at once: float [n, 8, 8] to float [n, 42]."""
    cells = np.empty(grids.shape[1:], object)
    for at in np.ndindex(cells.shape):
        cells[at] = grids[:, *at].view(_Cells)
    return np.stack([np.asarray(values) for values in symmetric_key(cells)], axis=1)


class Population:
    """Scans whose fingerprints are about as dense as those of real slices."""

    def __init__(self, painted: NDArray[np.uint8], size: int) -> None:
        rng = np.random.default_rng(0)
        self._thumbnails: list[NDArray[np.uint8]] = []
        coarse, fine = [], []
        for picture in (deformed(one, rng) for one in painted for _ in range(_DEFORMED)):
            small = prints.thumbnail(picture)
            box, window = prints.head_box(small), prints._window(small)
            if box is not None and window is not None:
                self._thumbnails.append(small)
                head = small, box, window
                coarse.append(prints._grids(*head, prints.COARSE_SIDE, prints._COARSE_BAND))
                fine.append(prints._grids(*head, GRID_SIDE, prints._FINE_BAND))
        self._mixtures = rng.integers(len(coarse), size=(3, size))
        keys = np.empty((size, 2, KEY_LENGTH), np.int8)
        grids = np.empty((size, 2, GRID_SIDE, GRID_SIDE), np.int8)
        for start in range(0, size, _CHUNK):
            chunk = slice(start, start + _CHUNK)
            for frame in range(2):
                mixed = self._mixed(np.array(coarse, np.float32)[:, frame], chunk)
                found = symmetric_keys(mixed)
                np.testing.assert_allclose(found[0], symmetric_key(mixed[0]), atol=1e-5)
                keys[chunk, frame] = np.rint(found * QUANTUM)
                mixed = self._mixed(np.array(fine, np.float32)[:, frame], chunk)
                grids[chunk, frame] = np.rint(mixed * QUANTUM)
        self.catalogue = Catalogue(range(size), keys, grids)  # type: ignore[arg-type]

    def thumbnail(self, index: int) -> NDArray[np.uint8]:
        """A picture of the kind that the scan was mixed from, always the same for one scan."""
        source = self._thumbnails[self._mixtures[0, index]]
        return deformed(source, np.random.default_rng(index))

    def _mixed(self, sources: NDArray[np.float32], chunk: slice) -> NDArray[np.float32]:
        one, towards, away = (sources[parts[chunk]] for parts in self._mixtures)
        mixed = one + _MIXED * (towards - away)
        return np.asarray(mixed / np.linalg.norm(mixed, axis=(1, 2), keepdims=True), np.float32)


class Search:
    """``find_twins`` with each of its sieves timed: the last ``new`` scans against all."""

    def __init__(self, population: Population, new: int) -> None:
        self._population, self._new = population, new
        self._near, self._candidates = candidates.pairs_with_near_keys, candidates.candidate_pairs
        self._seconds = dict.fromkeys(("keys", "both sieves", "thumbnails"), 0.0)
        self._hits = self._pairs = 0

    def run(self) -> dict[str, float]:
        """Seconds of each stage, shares of pairs, and the peak of memory."""
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

    def _by_keys(self, *given: Any) -> Iterator[tuple[int, NDArray[np.int64]]]:
        for start, hits in self._timed("keys", self._near(*given)):
            self._hits += len(hits)
            yield start, hits

    def _by_grids(self, *given: Any) -> Iterator[Any]:
        for pair in self._timed("both sieves", self._candidates(*given)):
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
        found = {index: self._population.thumbnail(index) for index in indices}
        self._seconds["thumbnails"] += time.perf_counter() - started
        return found


def peak_gib() -> float:
    """The most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def search_apart(painted: Path, size: int, new: int) -> dict[str, float]:
    """One search in a process of its own, so that its memory is its own; printed."""
    command = [sys.executable, __file__, str(painted), str(size), str(new)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    print(
        "  {new:,} of {size:,} new: {seconds:.1f} s (keys {keys:.1f}, grids {grids:.1f}, "
        "thumbnails {thumbnails:.1f}, pixels {pixels:.1f}), processor {processor:.1f} s, "
        "peak {peak:.2f} GiB ({before:.2f} before the search)\n"
        "    shares of pairs: {key_share:.2%} by keys, {grid_share:.5%} by grids: {pairs:,} looked "
        "at on pixels, {twins:,} confirmed".format(new=new, size=size, **found),
        flush=True,
    )
    return found


def fingerprint_ratio(painted: NDArray[np.uint8]) -> None:
    """Milliseconds per scan: decoding and hashing a 512-pixel JPEG, and its fingerprint."""
    files = [cv2.imencode(".jpg", cv2.resize(one, (512, 512)))[1].tobytes() for one in painted]
    seconds: tuple[list[float], list[float]] = [], []
    for _ in range(REPEATS):
        started = time.perf_counter()
        decoded = [decode(data).pixels for data in files]
        [scan_id(pixels) for pixels in decoded]
        hashed = time.perf_counter()
        [fingerprint(pixels) for pixels in decoded]
        seconds[0].append(hashed - started)
        seconds[1].append(time.perf_counter() - hashed)
    bound, took = (statistics.median(times) / len(files) * 1e3 for times in seconds)
    print(f"one 512-pixel JPEG; medians of {REPEATS}, {len(files)} files each")
    print(f"  decode + SHA-256 (the bound): {bound:.2f} ms")
    print(f"  fingerprint: {took:.2f} ms, ratio {took / bound:.2f}", flush=True)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="tumorml-bench-") as root:
        painted = Path(root) / "painted.npy"
        pictures = np.stack(list(painted_slices()))
        np.save(painted, pictures)
        fingerprint_ratio(pictures)
        print(f"against the stored; the bound is {BOUND_SECONDS:.0f} s")
        seconds = search_apart(painted, STORED + ASKED, ASKED)["seconds"]
        print(f"    ratio to the bound: {seconds / BOUND_SECONDS:.2f}")
        print("all new at once")
        for size in ALL_NEW:
            search_apart(painted, size, size)


if len(sys.argv) > 1:
    population = Population(np.load(sys.argv[1]), int(sys.argv[2]))
    print(json.dumps(Search(population, int(sys.argv[3])).run()))
else:
    main()
