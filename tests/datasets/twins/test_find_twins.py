"""Twins are found whatever was done to the file in between, and nobody else is taken for one."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from tumorml.datasets.twins import find_twins as twins_module
from tumorml.datasets.twins.find_twins import LEAST_LIKENESS, Catalogue, Twin, find_twins
from tumorml.demo.drop import draw_patient
from tumorml.demo.template import load_anatomy
from tumorml.labels import LABELS, Task
from tumorml.results.twin_kinds import TwinKind
from tumorml.scans.images.fingerprint import (
    FRAMES,
    GRID_SIDE,
    KEY_LENGTH,
    Fingerprint,
    fingerprint,
    oriented,
)

Pixels = NDArray[np.uint8]
Change = Callable[[Pixels, np.random.Generator], Pixels]
ORIENTATIONS = range(8)


def turned_or_mirrored(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    return np.asarray(oriented(pixels, int(rng.integers(1, 8))), np.uint8)


def as_jpeg(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=int(rng.integers(40, 96)))
    return np.asarray(Image.open(buffer).convert("L"))


def resized(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    longest = round(128 * 8 ** rng.random())
    height, width = (max(1, round(side * longest / max(pixels.shape))) for side in pixels.shape)
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def padded(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    top, bottom, left, right = (
        round(pixels.shape[axis] * rng.uniform(0, 0.15)) for axis in (0, 0, 1, 1)
    )
    return np.pad(pixels, ((top, bottom), (left, right)))


def cut_to_the_head(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """All but a few pixels of the dark border are gone."""
    bright = pixels > max(20, 0.1 * float(np.percentile(pixels, 99)))
    rows = np.flatnonzero(bright.mean(axis=1) > 0.02)
    columns = np.flatnonzero(bright.mean(axis=0) > 0.02)
    margin = int(rng.integers(0, 4))
    return pixels[
        max(0, rows[0] - margin) : rows[-1] + 1 + margin,
        max(0, columns[0] - margin) : columns[-1] + 1 + margin,
    ]


def lit_otherwise(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    image = Image.fromarray(pixels)
    image = ImageEnhance.Brightness(image).enhance(float(rng.uniform(0.8, 1.2)))
    return np.asarray(ImageEnhance.Contrast(image).enhance(float(rng.uniform(0.8, 1.2))))


def with_noise(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    noise = rng.normal(0, rng.uniform(1, 4), pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


COPIES: dict[str, Change] = {
    "turned or mirrored": turned_or_mirrored,
    "as JPEG": as_jpeg,
    "resized": resized,
    "padded": padded,
    "cut to the head": cut_to_the_head,
    "lit otherwise": lit_otherwise,
    "with noise": with_noise,
}
"""The kinds of copies that are found."""


@dataclass(frozen=True)
class Scans:
    """Scans by name, as a store of fingerprints would know them."""

    prints: Mapping[str, Fingerprint]

    def twins(
        self,
        names: Sequence[str] | None = None,
        new: Iterable[str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> list[Twin]:
        """The twins of the new ones, by their indices in the names (all of them by default)."""
        names = list(self.prints if names is None else names)
        wanted = set(names if new is None else new)
        shape = (len(names), len(FRAMES))
        return find_twins(
            Catalogue(
                names,
                np.array([self.prints[n].keys for n in names], np.int8).reshape(*shape, KEY_LENGTH),
                np.array([self.prints[n].grids for n in names], np.int8).reshape(
                    *shape, GRID_SIDE, GRID_SIDE
                ),
            ),
            [index for index, name in enumerate(names) if name in wanted],
            lambda indices: {i: self.prints[names[i]].thumbnail for i in indices},
            labels=None if labels is None else [labels[name] for name in names],
        )


def scans(pictures: Mapping[str, Pixels]) -> Scans:
    """The scans that have a fingerprint."""
    prints = {name: fingerprint(pixels) for name, pixels in pictures.items()}
    return Scans({name: found for name, found in prints.items() if found is not None})


def pairs(twins: Iterable[Twin], names: Sequence[str]) -> set[frozenset[str]]:
    return {frozenset((names[twin.first], names[twin.second])) for twin in twins}


@pytest.fixture(scope="module")
def originals() -> dict[str, Pixels]:
    """One slice of each of 24 patients, of four labels and three planes."""
    anatomy = load_anatomy()
    return {
        f"{label}-{index}": made.image
        for label in LABELS[Task.FOUR_CLASS]
        for index in range(6)
        for made in draw_patient(anatomy, label, index, seed=7, slices=1)
    }


def patient(name: str) -> str:
    return name.split(" ")[0]


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_tied_to_its_original_and_to_no_other_patient(
    originals: dict[str, Pixels], kind: str
) -> None:
    rng = np.random.default_rng(11)
    copies = {
        f"{name} copy {number}": np.ascontiguousarray(COPIES[kind](pixels, rng))
        for name, pixels in originals.items()
        for number in range(3)
    }
    known = scans(originals | copies)
    names = list(known.prints)
    found = pairs(known.twins(), names)
    lost = [name for name in copies if frozenset((name, patient(name))) not in found]
    assert not lost
    assert all(len({patient(name) for name in pair}) == 1 for pair in found)


def test_a_copy_of_a_copy_is_found_whatever_was_done_first_and_last(
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
    known = scans(originals | copies)
    names = list(known.prints)
    found = pairs(known.twins(), names)
    assert not [name for name in copies if frozenset((name, patient(name))) not in found]
    assert all(len({patient(name) for name in pair}) == 1 for pair in found)


def test_no_two_patients_are_twins(originals: dict[str, Pixels]) -> None:
    assert scans(originals).twins() == []


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_twin_says_how_the_second_is_turned_to_lie_on_the_first(
    originals: dict[str, Pixels], orientation: int
) -> None:
    name, pixels = next(iter(originals.items()))
    known = scans({name: pixels, "copy": np.asarray(oriented(pixels, orientation), np.uint8)})
    (twin,) = known.twins()
    back = oriented(np.asarray(oriented(pixels, orientation)), twin.orientation)
    assert np.array_equal(back, pixels)
    assert twin.kind == (TwinKind.REENCODED if orientation == 0 else TwinKind.MIRRORED)
    assert twin.score > 0.99


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_an_orientation_is_undone_by_its_inverse(orientation: int) -> None:
    picture = np.arange(12).reshape(3, 4)
    inverse = twins_module._INVERSE[orientation]
    assert np.array_equal(oriented(oriented(picture, orientation), inverse), picture)
    assert np.array_equal(oriented(oriented(picture, inverse), orientation), picture)


def test_the_smaller_index_comes_first_and_only_pairs_with_a_new_scan_are_named(
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
    known = scans(pictures)
    names = list(known.prints)
    for order in (names, names[::-1]):
        for new in (names, [name for name in names if name.endswith("b")]):
            twins = known.twins(order, new)
            expected = {
                frozenset((one, other))
                for one in names
                for other in names
                if one != other and patient(one) == patient(other) and (one in new or other in new)
            }
            assert pairs(twins, order) == expected
            assert len(twins) == len(expected)
            assert all(twin.first < twin.second for twin in twins)
            assert all(LEAST_LIKENESS <= twin.score <= 1 for twin in twins)


@pytest.fixture(scope="module")
def families(originals: dict[str, Pixels]) -> Scans:
    """Eight patients with two or three copies each, by names that sort in no order of theirs."""
    rng = np.random.default_rng(3)
    changes = list(COPIES.values())
    pictures = {}
    for number, (name, pixels) in enumerate(list(originals.items())[::3]):
        pictures[f"{name} original"] = pixels
        for copy in range(2 + number % 2):
            change = changes[int(rng.integers(len(changes)))]
            pictures[f"{name} copy {copy}"] = np.ascontiguousarray(change(pixels, rng))
    known = scans(pictures)
    shuffled = rng.permutation(list(known.prints)).tolist()
    return Scans({name: known.prints[name] for name in shuffled})


@given(data=st.data())
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_the_twins_are_the_same_in_whatever_order_and_batches_the_scans_come(
    families: Scans, data: st.DataObject
) -> None:
    names = list(families.prints)
    at_once = pairs(families.twins(), names)
    order = data.draw(st.permutations(names))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(names) - 1), max_size=6)))
    by_name = data.draw(st.booleans(), label="the catalogue is sorted by name")
    one_by_one: set[frozenset[str]] = set()
    for start, end in zip([0, *cuts], [*cuts, len(names)], strict=True):
        known = sorted(order[:end]) if by_name else order[:end]
        found = families.twins(known, order[start:end])
        fresh = pairs(found, known)
        assert len(fresh) == len(found)
        assert not fresh & one_by_one
        one_by_one |= fresh
    assert one_by_one == at_once


def test_the_twins_are_the_same_when_a_catalogue_is_compared_in_smaller_pieces(
    families: Scans, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = list(families.prints)
    whole = {(t.first, t.second, t.score, t.orientation) for t in families.twins()}
    monkeypatch.setattr(twins_module, "_ROWS", 3)
    monkeypatch.setattr(twins_module, "_COLUMNS", 5)
    monkeypatch.setattr(twins_module, "_PAIRS_AT_ONCE", 2)
    assert {(t.first, t.second, t.score, t.orientation) for t in families.twins(names)} == whole


def crowd(pixels: Pixels, size: int) -> Scans:
    rng = np.random.default_rng(0)
    return scans(
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


def test_two_hundred_copies_of_a_picture_are_one_crowd_without_twenty_thousand_pairs(
    originals: dict[str, Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = []
    confirm = twins_module._confirmed

    def counted(pair: twins_module._Candidate, pictures: Mapping[int, object]) -> Twin | None:
        looked_at.append(pair)
        return confirm(pair, pictures)

    monkeypatch.setattr(twins_module, "_confirmed", counted)
    known = crowd(originals["glioma-0"], 200)
    twins = known.twins()
    assert components(twins, 200) == 1
    assert len(twins) <= len(looked_at) < 200 * 199 / 2 / 4


def test_pairs_of_a_crowd_whose_labels_differ_are_all_compared(
    originals: dict[str, Pixels],
) -> None:
    known = crowd(originals["glioma-0"], 60)
    names = list(known.prints)
    labels = {
        name: "pituitary" if number % 12 == 0 else "glioma" for number, name in enumerate(names)
    }
    found = pairs(known.twins(labels=labels), names)
    for one in names:
        for other in names:
            if labels[one] != labels[other]:
                assert frozenset((one, other)) in found
    assert len(found) < 60 * 59 / 2


def test_a_hundred_blank_and_flat_pictures_make_no_twins() -> None:
    rng = np.random.default_rng(0)
    pictures = {
        f"flat {number}": np.full(rng.integers(20, 300, 2), number * 2, np.uint8)
        for number in range(100)
    }
    pictures |= {f"blank {number}": np.zeros((200, 200), np.uint8) for number in range(100)}
    assert scans(pictures).twins() == []


def test_pictures_of_pure_noise_are_no_twins() -> None:
    rng = np.random.default_rng(0)
    known = scans(
        {f"{number}": rng.integers(0, 256, (256, 256)).astype(np.uint8) for number in range(60)}
    )
    assert known.twins() == []
