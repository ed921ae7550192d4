from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from tests.factories.fingerprinted_scans import FingerprintedScans, fingerprint_scans, named_pairs
from tests.factories.scan_copies import Pixels
from tumorml.datasets.twins import find_twins as twins_module
from tumorml.datasets.twins.find_twins import Twin
from tumorml.datasets.twins.likeness import Picture, likeness


def crowd(pixels: Pixels, size: int) -> FingerprintedScans:
    rng = np.random.default_rng(0)
    return fingerprint_scans(
        {
            f"copy {number}": np.clip(pixels + rng.normal(0, 1, pixels.shape), 0, 255).astype(
                np.uint8
            )
            for number in range(size)
        }
    )


def components(twins: Iterable[Twin], count: int) -> int:
    root = list(range(count))
    for twin in twins:
        one, other = root[twin.first], root[twin.second]
        root = [one if there == other else there for there in root]
    return len(set(root))


def test_copies_of_one_picture_are_connected_by_few_comparisons(
    originals: dict[str, Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def counted(first: Picture, second: Picture, orientation: int) -> float:
        compared.append((first, second))
        return likeness(first, second, orientation)

    monkeypatch.setattr(twins_module, "likeness", counted)
    known = crowd(originals["glioma-0"], 200)
    twins = known.twins()
    assert components(twins, 200) == 1
    assert len(twins) <= len(compared) < 200 * 199 / 2 / 4


def test_pairs_with_different_labels_are_compared_in_a_crowd(
    originals: dict[str, Pixels],
) -> None:
    known = crowd(originals["glioma-0"], 60)
    names = list(known.fingerprints)
    labels = {
        name: "pituitary" if number % 12 == 0 else "glioma" for number, name in enumerate(names)
    }
    found = named_pairs(known.twins(labels=labels), names)
    for one in names:
        for other in names:
            if labels[one] != labels[other]:
                assert frozenset((one, other)) in found
    assert len(found) < 60 * 59 / 2
