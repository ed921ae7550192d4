"""Write a synthetic drop: labeled slices for a first run of every step."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tumorml.demo.appearance import Acquisition, acquire
from tumorml.demo.head import HeadTraits, paint_head
from tumorml.demo.lesions import TUMOR_LABELS, Lesion, draw_lesion
from tumorml.demo.painting import displaced_points, lesion_mask, paint_lesion
from tumorml.demo.pose import Plane, Pose
from tumorml.demo.template import Anatomy, Points, load_anatomy
from tumorml.labels import LABELS, Task

SITE = "synthetic"
MANIFEST_COLUMNS = ("path", "label", "patient_id", "mask", "site")

_LEVEL_ZERO = 128
_MIN_LESION_PIXELS = 80
_LEVEL_GAP = 3
"""Minimum distance between a patient's slices in one plane, in mm; 1 for a small lesion."""
_MAX_SLICES = 9


@dataclass(frozen=True)
class DemoSlice:
    """One slice.

    Attributes:
        plane: The plane of the slice.
        number: Position along the axis across the plane, in mm plus 128.
        image: uint8 ``(rows, columns)``.
        mask: The tumor, bool ``(rows, columns)``; None without one.
    """

    plane: Plane
    number: int
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None


def write_demo_drop(
    folder: Path, *, seed: int = 7, patients_per_label: int = 24, slices_per_patient: int = 4
) -> int:
    """Write a drop of synthetic contrast-enhanced T1 slices of four classes.

    The brains are the ICBM152 template, deformed for each patient, with painted tumors. They
    demonstrate the service; results on them have no medical meaning. Every file name contains
    "synthetic".

    Args:
        folder: Target of ``images/``, ``masks/`` and ``manifest.csv``. The caller adds ``_READY``
            when the drop is in the inbox.
        seed: The same seed gives identical files on the same machine.
        patients_per_label: Number of patients in each of the four classes.
        slices_per_patient: Number of slices of each patient, 1 to 9; with 3 or more, every patient
            has slices in every plane.

    Returns:
        The number of scans written.

    Raises:
        TumorMLError: The package ``nilearn``, which contains the template, is not installed.
        ValueError: ``slices_per_patient`` is outside 1 to 9; a small lesion is not visible in more
            slices.
    """
    if not 1 <= slices_per_patient <= _MAX_SLICES:
        raise ValueError(f"slices_per_patient must be 1 to {_MAX_SLICES}: {slices_per_patient}")
    anatomy = load_anatomy()
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rows = []
    for label in LABELS[Task.FOUR_CLASS]:
        for index in range(patients_per_label):
            patient_id = f"{SITE}-{label}-{index:03d}"
            for drawn in draw_patient(anatomy, label, index, seed, slices_per_patient):
                file_name = f"{patient_id}-{drawn.plane}-{drawn.number}.png"
                Image.fromarray(drawn.image).save(folder / "images" / file_name)
                mask_path = ""
                if drawn.mask is not None:
                    mask_path = f"masks/{file_name}"
                    Image.fromarray(drawn.mask.astype(np.uint8) * 255).save(folder / mask_path)
                rows.append((f"images/{file_name}", label, patient_id, mask_path, SITE))
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as manifest:
        writer = csv.writer(manifest, lineterminator="\n")
        writer.writerow(MANIFEST_COLUMNS)
        writer.writerows(rows)
    return len(rows)


def draw_patient(
    anatomy: Anatomy, label: str, index: int, seed: int, slices: int
) -> Iterator[DemoSlice]:
    """Yield the slices of one synthetic patient.

    A patient without a tumor also has a lesion, which determines the slices but is not painted, so
    planes and levels do not reveal whether there is a tumor.

    Args:
        anatomy: The template.
        label: A label of the four-class task.
        index: The patient's number within the label.
        seed: The seed of the whole drop.
        slices: Number of slices.
    """
    label_number = LABELS[Task.FOUR_CLASS].index(label)
    rng = np.random.default_rng(np.random.SeedSequence((seed, label_number, index)))
    pose, traits, acquisition = Pose.draw(rng), HeadTraits.draw(rng), Acquisition.draw(rng)
    has_tumor = label in TUMOR_LABELS
    kind = label if has_tumor else TUMOR_LABELS[index % len(TUMOR_LABELS)]
    lesion = draw_lesion(anatomy, kind, rng)
    planes = list(Plane)
    used_levels: set[tuple[Plane, int]] = set()
    for turn in range(slices):
        plane = planes[(index + turn) % len(planes)]
        number, points = _choose_level(anatomy, pose, lesion, plane, used_levels, rng)
        used_levels.add((plane, number))
        if has_tumor:
            brain_points = displaced_points(lesion, points)
            healthy = paint_head(anatomy, traits, points, brain_points)
            picture = paint_lesion(anatomy, lesion, points, brain_points, healthy)
            mask = lesion_mask(anatomy, lesion, points, brain_points)
        else:
            picture, mask = paint_head(anatomy, traits, points, points), None
        yield DemoSlice(plane, number, acquire(picture, acquisition, rng), mask)


def _choose_level(
    anatomy: Anatomy,
    pose: Pose,
    lesion: Lesion,
    plane: Plane,
    used_levels: set[tuple[Plane, int]],
    rng: np.random.Generator,
) -> tuple[int, Points]:
    """Choose a level that is not taken and shows the lesion; return its number and points."""
    middle = pose.to_scanner(lesion.center_mm)[plane.axes[2]]
    reach = 0.5 * lesion.radius_mm
    attempts = 0
    while True:
        attempts += 1
        number = round(middle + rng.uniform(-reach, reach)) + _LEVEL_ZERO
        gap = _LEVEL_GAP if attempts < 40 else 1
        if any(plane is other and abs(number - level) < gap for other, level in used_levels):
            reach += 0.5
            continue
        points = pose.slice_points(plane, float(number - _LEVEL_ZERO))
        mask = lesion_mask(anatomy, lesion, points, displaced_points(lesion, points))
        if mask.sum() >= _MIN_LESION_PIXELS:
            return number, points
        reach *= 0.85
