"""The synthetic drop is complete, deterministic, and reveals no class by its layout."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tumorml.demo import template
from tumorml.demo.drop import MANIFEST_COLUMNS, write_demo_drop
from tumorml.demo.pose import SIDE_PIXELS, Plane
from tumorml.errors import TumorMLError
from tumorml.labels import LABELS, Task

PATIENTS_PER_LABEL = 3
SLICES_PER_PATIENT = 3
FOUR_LABELS = LABELS[Task.FOUR_CLASS]


@pytest.fixture(scope="module")
def drop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drop")
    written = write_demo_drop(
        folder, patients_per_label=PATIENTS_PER_LABEL, slices_per_patient=SLICES_PER_PATIENT
    )
    assert written == len(FOUR_LABELS) * PATIENTS_PER_LABEL * SLICES_PER_PATIENT
    return folder


@pytest.fixture(scope="module")
def rows(drop: Path) -> list[dict[str, str]]:
    with (drop / "manifest.csv").open(newline="", encoding="utf-8") as manifest:
        return list(csv.DictReader(manifest))


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "L"
        return np.asarray(image)


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_seed_determines_all_bytes(tmp_path: Path) -> None:
    for name, seed in (("first", 3), ("second", 3), ("other", 4)):
        write_demo_drop(tmp_path / name, seed=seed, patients_per_label=1, slices_per_patient=1)
    first, other = _files(tmp_path / "first"), _files(tmp_path / "other")
    assert first == _files(tmp_path / "second")
    assert not set(first.values()) & set(other.values())


def test_patient_does_not_depend_on_number_of_patients(drop: Path, tmp_path: Path) -> None:
    write_demo_drop(tmp_path, patients_per_label=1, slices_per_patient=SLICES_PER_PATIENT)
    all_patients, some = _files(drop), _files(tmp_path)
    images = [name for name in some if name.endswith(".png")]
    assert images
    assert all(some[name] == all_patients[name] for name in images)


def test_manifest_lists_exactly_the_written_files(drop: Path, rows: list[dict[str, str]]) -> None:
    named = [row["path"] for row in rows] + [row["mask"] for row in rows if row["mask"]]
    assert tuple(rows[0]) == MANIFEST_COLUMNS
    assert len(named) == len(set(named))
    assert set(_files(drop)) == {*named, "manifest.csv"}
    assert all("synthetic" in Path(name).name for name in named)
    assert {row["site"] for row in rows} == {"synthetic"}


def test_each_patient_has_one_label_and_all_slices(rows: list[dict[str, str]]) -> None:
    patients = defaultdict(list)
    for row in rows:
        patients[row["patient_id"]].append(row["label"])
    assert len(patients) == len(FOUR_LABELS) * PATIENTS_PER_LABEL
    for patient_id, labels in patients.items():
        assert len(labels) == SLICES_PER_PATIENT
        assert set(labels) == {patient_id.split("-")[1]}


def test_only_tumor_slices_have_masks_inside_the_head(
    drop: Path, rows: list[dict[str, str]]
) -> None:
    for row in rows:
        image = _pixels(drop / row["path"])
        assert image.shape == (SIDE_PIXELS, SIDE_PIXELS)
        assert bool(row["mask"]) == (row["label"] != "no_tumor")
        if row["mask"]:
            mask = _pixels(drop / row["mask"])
            assert mask.shape == image.shape
            assert set(np.unique(mask)) == {0, 255}
            touched = np.argwhere(mask)
            assert touched.min() > 0
            assert touched.max() < SIDE_PIXELS - 1
            assert image[mask > 0].mean() > 3 * np.median(image[:12, :12])


def test_enhancing_tumors_are_brighter_than_the_brain(
    drop: Path, rows: list[dict[str, str]]
) -> None:
    ratios = defaultdict(list)
    for row in rows:
        if row["mask"]:
            image, mask = _pixels(drop / row["path"]), _pixels(drop / row["mask"]) > 0
            ratios[row["label"]].append(np.median(image[mask]) / np.median(image[image > 40]))
    assert np.median(ratios["meningioma"]) > 1.3
    assert np.median(ratios["pituitary"]) > 1.2


def test_every_label_has_each_plane_equally_often(rows: list[dict[str, str]]) -> None:
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        counts[row["label"], row["path"].split("-")[-2]] += 1
    expected = {(label, plane.value) for label in FOUR_LABELS for plane in Plane}
    assert set(counts) == expected
    assert set(counts.values()) == {PATIENTS_PER_LABEL}


def test_patients_of_a_label_differ_by_more_than_noise(
    drop: Path, rows: list[dict[str, str]]
) -> None:
    slices = defaultdict(list)
    for row in rows:
        key = row["label"], row["path"].split("-")[-2]
        slices[key].append(_pixels(drop / row["path"]).astype(float))
    for same_plane in slices.values():
        for index, picture in enumerate(same_plane):
            for other in same_plane[:index]:
                assert np.corrcoef(picture.ravel(), other.ravel())[0, 1] < 0.97


def test_background_does_not_reveal_the_label(drop: Path, rows: list[dict[str, str]]) -> None:
    """The background contains only noise, with the same distribution for every class."""
    levels = defaultdict(list)
    for row in rows:
        levels[row["label"]].append(float(_pixels(drop / row["path"])[:12, :12].mean()))
    spans = [(min(values), max(values)) for values in levels.values()]
    assert max(low for low, _ in spans) < min(high for _, high in spans)


def test_missing_nilearn_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template, "find_spec", lambda name: None)
    template.load_anatomy.cache_clear()
    with pytest.raises(TumorMLError, match=r"tumorml\[local\]"):
        write_demo_drop(tmp_path / "drop")
    assert not (tmp_path / "drop").exists()


def test_slices_of_one_plane_have_a_distance(tmp_path: Path) -> None:
    write_demo_drop(tmp_path, patients_per_label=1, slices_per_patient=6)
    levels = defaultdict(list)
    for path in (tmp_path / "images").iterdir():
        patient_plane, number = path.stem.rsplit("-", 1)
        levels[patient_plane].append(int(number))
    assert all(len(numbers) == 2 for numbers in levels.values())
    assert all(abs(first - second) >= 3 for first, second in levels.values())


def test_more_than_nine_slices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 to 9"):
        write_demo_drop(tmp_path / "drop", slices_per_patient=10)
