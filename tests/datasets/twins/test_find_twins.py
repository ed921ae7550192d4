from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.factories.fingerprinted_scans import (
    FingerprintedScans,
    fingerprint_scans,
    named_pairs,
    patient,
)
from tests.factories.scan_copies import COPIES, Pixels, as_jpeg, turned_or_mirrored
from tumorml.datasets.twins import candidates
from tumorml.datasets.twins import find_twins as twins_module
from tumorml.datasets.twins.find_twins import MIN_LIKENESS
from tumorml.results.twin_kinds import TwinKind
from tumorml.scans.images.fingerprint import oriented


@pytest.mark.parametrize("kind", COPIES)
def test_copy_is_twin_of_its_original_and_of_no_other_patient(
    originals: dict[str, Pixels], kind: str
) -> None:
    rng = np.random.default_rng(11)
    copies = {
        f"{name} copy {number}": np.ascontiguousarray(COPIES[kind](pixels, rng))
        for name, pixels in originals.items()
        for number in range(3)
    }
    known = fingerprint_scans(originals | copies)
    names = list(known.fingerprints)
    found = named_pairs(known.twins(), names)
    lost = [name for name in copies if frozenset((name, patient(name))) not in found]
    assert not lost
    assert all(len({patient(name) for name in pair}) == 1 for pair in found)


def test_copy_with_two_changes_is_twin_of_its_original(
    originals: dict[str, Pixels],
) -> None:
    rng = np.random.default_rng(5)
    copies = {}
    for name, pixels in originals.items():
        for number in range(3):
            first, last = rng.choice(len(COPIES), 2, replace=False)
            once = np.ascontiguousarray(list(COPIES.values())[first](pixels, rng))
            twice = np.ascontiguousarray(list(COPIES.values())[last](once, rng))
            copies[f"{name} copy {number}"] = twice
    known = fingerprint_scans(originals | copies)
    names = list(known.fingerprints)
    found = named_pairs(known.twins(), names)
    assert not [name for name in copies if frozenset((name, patient(name))) not in found]
    assert all(len({patient(name) for name in pair}) == 1 for pair in found)


def test_different_patients_are_not_twins(originals: dict[str, Pixels]) -> None:
    assert fingerprint_scans(originals).twins() == []


@pytest.mark.parametrize("orientation", range(8))
def test_twin_orientation_turns_the_second_scan_to_the_first(
    originals: dict[str, Pixels], orientation: int
) -> None:
    name, pixels = next(iter(originals.items()))
    known = fingerprint_scans(
        {name: pixels, "copy": np.asarray(oriented(pixels, orientation), np.uint8)}
    )
    (twin,) = known.twins()
    back = oriented(np.asarray(oriented(pixels, orientation)), twin.orientation)
    assert np.array_equal(back, pixels)
    assert twin.kind == (TwinKind.REENCODED if orientation == 0 else TwinKind.MIRRORED)
    assert twin.score > 0.99


def test_each_pair_with_a_new_scan_is_returned_once_in_order(
    originals: dict[str, Pixels],
) -> None:
    rng = np.random.default_rng(2)
    pictures = {
        name: change
        for original, pixels in list(originals.items())[:8]
        for name, change in (
            (original, pixels),
            (f"{original} a", as_jpeg(pixels, rng)),
            (f"{original} b", turned_or_mirrored(pixels, rng)),
        )
    }
    known = fingerprint_scans(pictures)
    names = list(known.fingerprints)
    for order in (names, names[::-1]):
        for new in (names, [name for name in names if name.endswith("b")]):
            twins = known.twins(order, new)
            expected = {
                frozenset((one, other))
                for one in names
                for other in names
                if one != other and patient(one) == patient(other) and (one in new or other in new)
            }
            assert named_pairs(twins, order) == expected
            assert len(twins) == len(expected)
            assert all(twin.first < twin.second for twin in twins)
            assert all(MIN_LIKENESS <= twin.score <= 1 for twin in twins)


@pytest.fixture(scope="module")
def families(originals: dict[str, Pixels]) -> FingerprintedScans:
    """Eight patients with two or three copies each, in random order."""
    rng = np.random.default_rng(3)
    changes = list(COPIES.values())
    pictures = {}
    for number, (name, pixels) in enumerate(list(originals.items())[::3]):
        pictures[f"{name} original"] = pixels
        for copy in range(2 + number % 2):
            change = changes[int(rng.integers(len(changes)))]
            pictures[f"{name} copy {copy}"] = np.ascontiguousarray(change(pixels, rng))
    known = fingerprint_scans(pictures)
    shuffled = rng.permutation(list(known.fingerprints)).tolist()
    return FingerprintedScans({name: known.fingerprints[name] for name in shuffled})


@given(data=st.data())
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_twins_do_not_depend_on_the_order_and_batches_of_scans(
    families: FingerprintedScans, data: st.DataObject
) -> None:
    names = list(families.fingerprints)
    found_together = named_pairs(families.twins(), names)
    order = data.draw(st.permutations(names))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(names) - 1), max_size=6)))
    by_name = data.draw(st.booleans(), label="sort the catalogue by name")
    found_in_parts: set[frozenset[str]] = set()
    for start, end in zip([0, *cuts], [*cuts, len(names)], strict=True):
        known = sorted(order[:end]) if by_name else order[:end]
        found = families.twins(known, order[start:end])
        found_pairs = named_pairs(found, known)
        assert len(found_pairs) == len(found)
        assert not found_pairs & found_in_parts
        found_in_parts |= found_pairs
    assert found_in_parts == found_together


def test_twins_do_not_depend_on_the_block_sizes(
    families: FingerprintedScans, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = list(families.fingerprints)
    expected = {(t.first, t.second, t.score, t.orientation) for t in families.twins()}
    monkeypatch.setattr(twins_module, "_ROWS", 3)
    monkeypatch.setattr(candidates, "_COLUMNS", 5)
    monkeypatch.setattr(twins_module, "_PAIRS_AT_ONCE", 2)
    assert {(t.first, t.second, t.score, t.orientation) for t in families.twins(names)} == expected


def test_blank_and_flat_pictures_are_not_twins() -> None:
    rng = np.random.default_rng(0)
    pictures = {
        f"flat {number}": np.full(rng.integers(20, 300, 2), number * 2, np.uint8)
        for number in range(100)
    }
    pictures |= {f"blank {number}": np.zeros((200, 200), np.uint8) for number in range(100)}
    assert fingerprint_scans(pictures).twins() == []


def test_noise_pictures_are_not_twins() -> None:
    rng = np.random.default_rng(0)
    known = fingerprint_scans(
        {f"{number}": rng.integers(0, 256, (256, 256)).astype(np.uint8) for number in range(60)}
    )
    assert known.twins() == []
