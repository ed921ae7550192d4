"""Recall and precision of the search for twins on real slices.

Needs two folds of J. Cheng's set (figshare 1512427) with patient ids, which are not in this
repository: TUMORML_CHENG_ZIP names a zip of ``manifest.csv`` (path, label, patient_id, mask, fold)
and the images that it lists. Results are printed; ``pytest -s`` shows them.
"""

from __future__ import annotations

import csv
import io
import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.factories.fingerprinted_scans import FingerprintedScans
from tests.factories.scan_copies import COPIES, Pixels, turned_or_mirrored
from tumorml.datasets.twins.find_twins import MIN_LIKENESS
from tumorml.scans.images.decode import decode
from tumorml.scans.images.fingerprint import fingerprint

ARCHIVE = os.environ.get("TUMORML_CHENG_ZIP", "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path(ARCHIVE).is_file(),
        reason="TUMORML_CHENG_ZIP does not name the zip of Cheng's slices (figshare 1512427)",
    ),
]

EVERY = 4
"""Copies are made of every fourth slice, in the order of patients."""
MIN_FOUND = 0.99
MIN_FOUND_OF_A_KIND = 0.98
MAX_WRONG = 0.001
"""Maximum share of images that are twins of an image of another patient."""
CHANGES_IN_A_PAIR = "two changes"
SHALLOW_CUT = "cut into the head, 7.5 %"
DEEP_CUT = "cut into the head, 15 %"
FOR_INFORMATION = (SHALLOW_CUT, DEEP_CUT)


@dataclass(frozen=True)
class Slice:
    """A real slice: path in the archive, patient id and pixels."""

    path: str
    patient: str
    pixels: Pixels


@pytest.fixture(scope="module")
def slices() -> list[Slice]:
    with zipfile.ZipFile(ARCHIVE) as archive:
        with archive.open("manifest.csv") as raw:
            rows = list(csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8")))
        return [
            Slice(row["path"], row["patient_id"], decode(archive.read(row["path"])).pixels)
            for row in sorted(rows, key=lambda row: (row["patient_id"], row["path"]))
        ]


def person(patient_id: str) -> str:
    """Return the id without a last letter: MR053110B and MR053110E are visits of one patient."""
    return re.sub(r"(?<=\d)[A-Za-z]$", "", patient_id)


def cut_into(pixels: Pixels, rng: np.random.Generator, max_share: float) -> Pixels:
    """Cut off each side by up to a share of the picture's length, including the head."""
    height, width = pixels.shape
    top, bottom = (round(height * rng.uniform(0, max_share)) for _ in range(2))
    left, right = (round(width * rng.uniform(0, max_share)) for _ in range(2))
    return pixels[top : height - bottom, left : width - right]


def copies_of(pixels: Pixels, rng: np.random.Generator) -> Iterator[tuple[str, Pixels]]:
    """Yield a copy of each kind, after the name of the kind."""
    for kind, change in COPIES.items():
        yield kind, change(pixels, rng)
    first, last = rng.choice(list(COPIES), 2, replace=False)
    once = np.ascontiguousarray(COPIES[first](pixels, rng))
    yield CHANGES_IN_A_PAIR, COPIES[last](once, rng)
    kind = str(rng.choice([name for name in COPIES if COPIES[name] is not turned_or_mirrored]))
    once = np.ascontiguousarray(COPIES[kind](pixels, rng))
    yield CHANGES_IN_A_PAIR, turned_or_mirrored(once, rng)
    yield SHALLOW_CUT, cut_into(pixels, rng, 0.075)
    yield DEEP_CUT, cut_into(pixels, rng, 0.15)


def test_copies_of_real_slices_are_twins_of_their_original(slices: list[Slice]) -> None:
    sample = slices[::EVERY]
    left_out = {one.patient for one in slices} - {one.patient for one in sample}
    for one in slices:
        if one.patient in left_out:
            sample.append(one)
            left_out.remove(one.patient)
    rng = np.random.default_rng(1)
    fingerprints = {one.path: fingerprint(one.pixels) for one in sample}
    original_and_kind: dict[str, tuple[str, str]] = {}
    for one in sample:
        for number, (kind, pixels) in enumerate(copies_of(one.pixels, rng)):
            name = f"{one.path} copy {number}"
            original_and_kind[name] = one.path, kind
            fingerprints[name] = fingerprint(np.ascontiguousarray(pixels))
    known = FingerprintedScans(
        {name: found for name, found in fingerprints.items() if found is not None}
    )
    names = list(known.fingerprints)
    # All labels differ, so no pair is skipped: each copy must be a twin of its original itself.
    labels = {name: name for name in names}
    tied = {frozenset((names[t.first], names[t.second])) for t in known.twins(labels=labels)}

    counts: dict[str, list[int]] = {}
    for name, (original, kind) in original_and_kind.items():
        is_found = frozenset((name, original)) in tied
        counts.setdefault(kind, []).append(is_found)
    asserted = {kind: found for kind, found in counts.items() if kind not in FOR_INFORMATION}
    total = [found for kind in asserted.values() for found in kind]
    print(f"\n{len(sample)} slices of {len({one.patient for one in sample})} patients")
    print(f"{'kind of copy':26} {'copies':>7} {'found':>7} {'share':>8}")
    for kind, found in [*asserted.items(), ("all of these", total)]:
        print(f"{kind:26} {len(found):7} {sum(found):7} {np.mean(found):8.2%}")
    for kind in FOR_INFORMATION:
        found = counts[kind]
        print(f"{kind:26} {len(found):7} {sum(found):7} {np.mean(found):8.2%}  (not asserted)")
    assert np.mean(total) >= MIN_FOUND
    assert {k: np.mean(f) for k, f in asserted.items() if np.mean(f) < MIN_FOUND_OF_A_KIND} == {}


def test_real_slices_of_different_patients_are_not_twins(slices: list[Slice]) -> None:
    fingerprints = {one.path: fingerprint(one.pixels) for one in slices}
    known = FingerprintedScans(
        {path: found for path, found in fingerprints.items() if found is not None}
    )
    names = list(known.fingerprints)
    patient = {one.path: one.patient for one in slices}
    wrong, tied_images = [], set()
    for twin in known.twins(labels={name: name for name in names}):
        first, second = names[twin.first], names[twin.second]
        tied_images |= {first, second}
        if person(patient[first]) != person(patient[second]):
            wrong.append((twin.score, first, second))
    images = {path for _, *pair in wrong for path in pair}
    share = len(images) / len(slices)
    print(f"\n{len(slices)} slices of {len(set(patient.values()))} patient ids")
    print(f"{len(tied_images)} have a twin (score >= {MIN_LIKENESS})")
    print(f"{len(images)} ({share:.2%}) have a twin of another patient")
    for score, first, second in sorted(wrong, reverse=True):
        print(f"  {score:.3f}  {first} {patient[first]}  {second} {patient[second]}")
    assert share < MAX_WRONG
