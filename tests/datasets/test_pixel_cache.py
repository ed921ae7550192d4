from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.factories.rows import scan_of
from tumorml.datasets import pixel_cache
from tumorml.datasets.pixel_cache import cached_pixels
from tumorml.objects import ObjectStore, object_store
from tumorml.objects.keys import mask_key, scan_key
from tumorml.settings import Settings

SCANS = [scan_of(str(number)) for number in range(600)]


@pytest.fixture
def store(tmp_path: Path) -> Settings:
    """600 scans of 32 x 32 pixels; all pixels of scan n have the gray level n modulo 256."""
    settings = Settings(home=tmp_path, _env_file=None)
    for number, scan in enumerate(SCANS):
        _, png = cv2.imencode(".png", np.full((32, 32), number % 256, np.uint8))
        object_store(settings).write(scan_key(scan), png.tobytes())
    return settings


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the scans that are decoded during the test."""
    decoded_ids: list[str] = []
    read = pixel_cache.read_scan

    def record(store: ObjectStore, scan: str, size: int, *, masks: bool) -> object:
        decoded_ids.append(scan)
        return read(store, scan, size, masks=masks)

    monkeypatch.setattr(pixel_cache, "read_scan", record)
    return decoded_ids


def gray_levels(settings: Settings, scans: list[str], size: int = 32) -> list[int]:
    pixels = cached_pixels(settings, scans, size)
    assert pixels.shape == (len(scans), size, size)
    images = pixels[:]
    assert images.dtype == np.uint8
    assert (images == images[:, :1, :1]).all()
    return [int(level) for level in images[:, 0, 0]]


def test_scan_is_decoded_once_per_size(store: Settings, decoded: list[str]) -> None:
    assert gray_levels(store, SCANS[:300]) == [number % 256 for number in range(300)]
    assert sorted(decoded) == sorted(SCANS[:300])
    decoded.clear()
    assert gray_levels(store, [*SCANS[305:290:-1], SCANS[0], SCANS[0]]) == [
        *(number % 256 for number in range(305, 290, -1)),
        0,
        0,
    ]
    assert sorted(decoded) == sorted(SCANS[300:306])
    decoded.clear()
    assert gray_levels(store, SCANS[:2], size=16) == [0, 1]
    assert sorted(decoded) == sorted(SCANS[:2])


def test_masks_are_cached_apart_from_scans(store: Settings) -> None:
    for scan, value in ((SCANS[1], 255), (SCANS[2], 0)):
        _, png = cv2.imencode(".png", np.full((32, 32), value, np.uint8))
        object_store(store).write(mask_key(scan), png.tobytes())
    for _ in range(2):
        assert gray_levels(store, SCANS[1:3]) == [1, 2]
        masks = cached_pixels(store, SCANS[1:3], 32, masks=True)
        assert masks[:][:, 0, 0].tolist() == [255, 0]


def test_rows_are_read_by_slice_and_by_index(store: Settings) -> None:
    pixels = cached_pixels(store, SCANS[:20], 32)
    assert len(pixels) == 20
    assert pixels[5:7][:, 0, 0].tolist() == [5, 6]
    assert pixels[np.array([7, 3, 3])][:, 0, 0].tolist() == [7, 3, 3]
    assert pixels[20:].shape == (0, 32, 32)
    assert cached_pixels(store, [], 32)[:].shape == (0, 32, 32)


def cut(path: Path, count: int) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - count)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"half of something")


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: cut(next(folder.glob("*.ids")), 30),
        lambda folder: grow(next(folder.glob("*.ids"))),
        lambda folder: grow(next(folder.glob("*.pixels"))),
        lambda folder: cut(next(folder.glob("*.pixels")), 1500),
        lambda folder: next(folder.glob("*.pixels")).unlink(),
    ],
    ids=["id cut short", "id begun", "row without id", "rows lost", "all rows lost"],
)
def test_lost_or_incomplete_rows_are_written_again(
    damage: Callable[[Path], None], store: Settings
) -> None:
    gray_levels(store, SCANS[:10])
    damage(store.home / "cache")
    assert gray_levels(store, SCANS[:10]) == list(range(10))
    assert gray_levels(store, SCANS[:20]) == list(range(20))
    assert gray_levels(store, SCANS[:20]) == list(range(20))


def test_concurrent_processes_write_each_scan_once(store: Settings) -> None:
    with ProcessPoolExecutor(2) as pool:
        first, second = pool.map(gray_levels, [store] * 2, [SCANS, SCANS[::-1]])
    assert first == second[::-1] == [number % 256 for number in range(600)]
    lines = next((store.home / "cache").glob("*.ids")).read_text().split()
    assert sorted(lines) == sorted(SCANS)
