"""The synthetic first drop: a labelled batch that lets a new home show every step at work."""

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
from tumorml.demo.lesions import TUMOUR_LABELS, Lesion, draw_lesion
from tumorml.demo.painting import lesion_mask, paint_lesion, pushed_points
from tumorml.demo.pose import Plane, Pose
from tumorml.demo.template import Anatomy, Points, load_anatomy
from tumorml.labels import LABELS, Task

SITE = "synthetic"
MANIFEST_COLUMNS = ("path", "label", "patient_id", "mask", "site")

_LEVEL_ZERO = 128
_LEAST_LESION_PIXELS = 80
_LEVEL_GAP = 3  # mm between a patient's slices of one plane, where the lesion is large enough
_MOST_SLICES = 9


@dataclass(frozen=True)
class DemoSlice:
    """One finished slice.

    Attributes:
        plane: The plane of the slice.
        number: Its number along that plane's axis: millimetres plus 128.
        image: uint8 ``(rows, columns)``.
        mask: The tumour, bool ``(rows, columns)``; None where there is none.
    """

    plane: Plane
    number: int
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None


def write_demo_drop(
    folder: Path, *, seed: int = 7, patients_per_label: int = 24, slices_per_patient: int = 4
) -> int:
    """Write a drop of synthetic contrast-enhanced T1 slices of four classes.

    The brains are the ICBM152 template, reshaped for each patient, with tumours painted in. They
    show what the service does; they prove nothing about medicine. Every file name says synthetic.

    Args:
        folder: Where ``images/``, ``masks/`` and ``manifest.csv`` are written. No ``_READY`` file
            is: the caller adds it when the drop lies where it should.
        seed: The same seed gives the same files, byte for byte, on the same machine.
        patients_per_label: Patients of each of the four classes.
        slices_per_patient: Slices of each patient, 1 to 9; from 3 on all have every plane.

    Returns:
        The number of scans written.

    Raises:
        TumorMLError: ``nilearn``, which carries the template, is not installed.
        ValueError: more slices are asked for than a small lesion shows in.
    """
    if not 1 <= slices_per_patient <= _MOST_SLICES:
        raise ValueError(f"slices_per_patient must be 1 to {_MOST_SLICES}: {slices_per_patient}")
    anatomy = load_anatomy()
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rows = []
    for label in LABELS[Task.FOUR_CLASS]:
        for index in range(patients_per_label):
            patient_id = f"{SITE}-{label}-{index:03d}"
            for made in draw_patient(anatomy, label, index, seed, slices_per_patient):
                file_name = f"{patient_id}-{made.plane}-{made.number}.png"
                Image.fromarray(made.image).save(folder / "images" / file_name)
                mask_path = ""
                if made.mask is not None:
                    mask_path = f"masks/{file_name}"
                    Image.fromarray(made.mask.astype(np.uint8) * 255).save(folder / mask_path)
                rows.append((f"images/{file_name}", label, patient_id, mask_path, SITE))
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as manifest:
        writer = csv.writer(manifest, lineterminator="\n")
        writer.writerow(MANIFEST_COLUMNS)
        writer.writerows(rows)
    return len(rows)


def draw_patient(
    anatomy: Anatomy, label: str, index: int, seed: int, slices: int
) -> Iterator[DemoSlice]:
    """The slices of one synthetic patient.

    A patient without a tumour is given one all the same, that decides which slices are taken and
    is then not painted: so plane and level say nothing about whether there is a tumour.

    Args:
        anatomy: The template.
        label: A label of the four-class task.
        index: The patient's number within the label.
        seed: The seed of the whole drop.
        slices: How many slices to take.
    """
    label_number = LABELS[Task.FOUR_CLASS].index(label)
    rng = np.random.default_rng(np.random.SeedSequence((seed, label_number, index)))
    pose, traits, acquisition = Pose.draw(rng), HeadTraits.draw(rng), Acquisition.draw(rng)
    has_tumour = label in TUMOUR_LABELS
    kind = label if has_tumour else TUMOUR_LABELS[index % len(TUMOUR_LABELS)]
    lesion = draw_lesion(anatomy, kind, rng)
    planes = list(Plane)
    taken: set[tuple[Plane, int]] = set()
    for turn in range(slices):
        plane = planes[(index + turn) % len(planes)]
        number, points = _choose_level(anatomy, pose, lesion, plane, taken, rng)
        taken.add((plane, number))
        if has_tumour:
            brain_points = pushed_points(lesion, points)
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
    taken: set[tuple[Plane, int]],
    rng: np.random.Generator,
) -> tuple[int, Points]:
    """A level of a plane that shows the lesion and is not taken: its number and its points."""
    middle = pose.to_scanner(lesion.centre_mm)[plane.axes[2]]
    reach = 0.5 * lesion.radius_mm
    attempts = 0
    while True:
        attempts += 1
        number = round(middle + rng.uniform(-reach, reach)) + _LEVEL_ZERO
        gap = _LEVEL_GAP if attempts < 40 else 1
        if any(plane is other and abs(number - level) < gap for other, level in taken):
            reach += 0.5
            continue
        points = pose.slice_points(plane, float(number - _LEVEL_ZERO))
        mask = lesion_mask(anatomy, lesion, points, pushed_points(lesion, points))
        if mask.sum() >= _LEAST_LESION_PIXELS:
            return number, points
        reach *= 0.85
