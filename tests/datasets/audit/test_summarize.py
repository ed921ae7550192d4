from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.factories.drop_files import image_bytes, write_files, write_tar, write_zip
from tumorml.datasets.audit.compare_loose_set import compare_loose_set
from tumorml.datasets.audit.findings import Audit, AuditedFile, Finding, Place, ScanTwin
from tumorml.datasets.audit.read_loose_set import read_loose_set
from tumorml.datasets.audit.summarize import summarize
from tumorml.demo.drop import draw_patient
from tumorml.demo.template import load_anatomy
from tumorml.errors import TumorMLError
from tumorml.labels import contradict
from tumorml.reports.audit.table import write_audit_csv
from tumorml.results.twin_kinds import TwinKind
from tumorml.settings import Settings


@pytest.fixture(scope="module")
def slices() -> list[NDArray[np.uint8]]:
    """One slice of each of six synthetic patients."""
    anatomy = load_anatomy()
    return [
        made.image
        for index in range(6)
        for made in draw_patient(anatomy, "glioma", index, seed=7, slices=1)
    ]


@pytest.fixture
def audit_settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def jpeg(pixels: NDArray[np.uint8], quality: int = 80) -> bytes:
    return image_bytes(pixels, "JPEG", quality=quality)


def audited(settings: Settings, path: Path) -> Audit:
    compared = compare_loose_set(settings, read_loose_set(settings, path))
    return summarize(compared.files, compared.twins, compared.places)


def by_path(audit: Audit) -> dict[str, Finding]:
    return {finding.file.path: finding for finding in audit.findings}


def leaky_files(slices: list[NDArray[np.uint8]]) -> dict[str, bytes]:
    first, second, third, fourth, *_ = slices
    return {
        "Training/glioma/a.png": image_bytes(first),
        "Training/glioma/b.png": image_bytes(second),
        "Training/pituitary/c.png": image_bytes(third),
        "Testing/glioma/same-bytes.png": image_bytes(first),
        "Testing/glioma/same-pixels.bmp": image_bytes(first, "BMP"),
        "Testing/glioma/reencoded.jpg": jpeg(second),
        "Testing/pituitary/mirrored.jpg": jpeg(np.ascontiguousarray(third[:, ::-1])),
        "Testing/pituitary/none.png": image_bytes(fourth),
    }


def test_each_test_image_has_its_strongest_relation_to_training(audit_settings, slices, tmp_path):
    audit = audited(audit_settings, write_files(tmp_path / "leaky", leaky_files(slices)))

    found = {
        path: (finding.twin_in_training, finding.twin.path if finding.twin else None)
        for path, finding in by_path(audit).items()
        if finding.file.split == "test"
    }
    assert found == {
        "Testing/glioma/same-bytes.png": (TwinKind.EXACT, "Training/glioma/a.png"),
        "Testing/glioma/same-pixels.bmp": (TwinKind.EXACT, "Training/glioma/a.png"),
        "Testing/glioma/reencoded.jpg": (TwinKind.REENCODED, "Training/glioma/b.png"),
        "Testing/pituitary/mirrored.jpg": (TwinKind.MIRRORED, "Training/pituitary/c.png"),
        "Testing/pituitary/none.png": (TwinKind.NONE, None),
    }
    assert {f.twin_in_training for f in audit.findings if f.file.split == "train"} == {"none"}
    assert audit.overall.byte_identical == 1
    assert [(c.label, c.total, c.with_twin) for c in audit.labels] == [
        ("glioma", 3, 3),
        ("pituitary", 2, 1),
    ]
    assert audit.verdict.startswith("4 of 5 test images (80.0 %) have a twin in training")


@pytest.mark.parametrize("pack", [write_zip, write_tar])
def test_archive_and_folder_of_same_files_have_equal_findings(
    audit_settings, slices, tmp_path, pack
):
    files = leaky_files(slices)
    folder = audited(audit_settings, write_files(tmp_path / "leaky", files))
    suffix = ".zip" if pack is write_zip else ".tar.gz"
    archive = audited(audit_settings, pack(tmp_path / f"leaky{suffix}", files))

    assert by_path(archive) == by_path(folder)


def test_twins_and_copies_share_a_group_and_copies_count_once(audit_settings, slices, tmp_path):
    audit = audited(audit_settings, write_files(tmp_path / "leaky", leaky_files(slices)))

    group = {path: finding.group_id for path, finding in by_path(audit).items()}
    assert group["Testing/glioma/same-bytes.png"] == group["Training/glioma/a.png"]
    assert group["Testing/glioma/reencoded.jpg"] == group["Training/glioma/b.png"]
    assert group["Testing/pituitary/mirrored.jpg"] == group["Training/pituitary/c.png"]
    assert len(set(group.values())) == 4
    assert audit.divided_groups == 3
    assert sum(sum(sides.values()) for sides in audit.leak_free_split.values()) == audit.scans == 6


def test_patient_id_of_the_manifest_relates_different_pictures(audit_settings, slices, tmp_path):
    rows = ["path,label,patient_id,split"]
    for index, (patient, split) in enumerate(
        [("P1", "train"), (" p1", "test"), ("P2", "test"), ("", "test")]
    ):
        rows.append(f"{index}.png,glioma,{patient},{split}")
    files = {f"{index}.png": image_bytes(slices[index]) for index in range(4)}
    audit = audited(
        audit_settings,
        write_files(tmp_path / "set", files | {"manifest.csv": "\n".join(rows).encode()}),
    )

    assert [f.twin_in_training for f in audit.findings] == [
        TwinKind.NONE,
        TwinKind.SAME_PATIENT,
        TwinKind.NONE,
        TwinKind.NONE,
    ]
    twin = by_path(audit)["1.png"].twin
    assert twin is not None and twin.path == "0.png"
    assert audit.overall.with_twin == 0
    assert "But 1 comes from a patient" in audit.verdict


def test_picture_with_two_labels_is_a_conflict_and_held_out(audit_settings, slices, tmp_path):
    audit = audited(
        audit_settings,
        write_files(
            tmp_path / "set",
            {
                "train/glioma/a.png": image_bytes(slices[0]),
                "test/meningioma/a.png": image_bytes(slices[0]),
                "train/glioma/b.png": image_bytes(slices[1]),
                "test/no_tumor/b.jpg": jpeg(slices[1]),
                "train/glioma/c.png": image_bytes(slices[2]),
                "test/tumor/c.jpg": jpeg(slices[2]),
            },
        ),
    )

    assert {frozenset((c.first.path, c.second.path)) for c in audit.conflicts} == {
        frozenset(("train/glioma/a.png", "test/meningioma/a.png")),
        frozenset(("train/glioma/b.png", "test/no_tumor/b.jpg")),
    }
    assert sum(sides["held_out"] for sides in audit.leak_free_split.values()) == 3


def test_tumor_types_exclude_each_other_but_not_the_label_tumor():
    assert not contradict("tumor", "glioma")
    assert contradict("no_tumor", "glioma")
    assert contradict("meningioma", "glioma")
    assert contradict("MildDemented", "NonDemented")
    assert not contradict("glioma", None)


def test_unreadable_file_is_listed_with_its_reason(audit_settings, slices, tmp_path):
    folder = write_files(
        tmp_path / "set",
        {
            "glioma/a.png": image_bytes(slices[0]),
            "glioma/broken.png": image_bytes(slices[1])[:200],
            "glioma/notes.jpg": b"no picture",
            "elsewhere/b.png": image_bytes(slices[2]),
        },
    )
    audit = audited(audit_settings, folder)
    write_audit_csv(audit, tmp_path / "audit.csv")

    rows = {row["path"]: row for row in csv.DictReader((tmp_path / "audit.csv").open())}
    assert set(rows) == {file.path for file in audit.unreadable} | {"glioma/a.png"}
    assert all(rows[file.path]["reason"] for file in audit.unreadable)
    assert rows["glioma/broken.png"]["scan_id"] == ""
    assert "is not a known label" in rows["elsewhere/b.png"]["reason"]


def test_set_without_split_counts_twins_anywhere(audit_settings, slices, tmp_path):
    audit = audited(
        audit_settings,
        write_files(
            tmp_path / "set",
            {
                "yes/a.png": image_bytes(slices[0]),
                "yes/b.jpg": jpeg(slices[0]),
                "no/c.png": image_bytes(slices[1]),
            },
        ),
    )

    assert not audit.has_split
    assert [f.twin_in_training for f in audit.findings] == [
        TwinKind.NONE,
        TwinKind.REENCODED,
        TwinKind.REENCODED,
    ]
    assert audit.verdict.startswith("The set has no split of its own. 2 of 3 images")


def test_file_with_personal_metadata_is_listed(audit_settings, slices, tmp_path):
    exif = Image.Exif()
    exif[315] = "A. Radiographer"
    buffer = io.BytesIO()
    Image.fromarray(slices[0]).save(buffer, "JPEG", exif=exif)
    files = {"glioma/a.jpg": buffer.getvalue(), "glioma/b.png": image_bytes(slices[1])}
    audit = audited(audit_settings, write_files(tmp_path / "set", files))

    assert [file.path for file in audit.with_personal_metadata] == ["glioma/a.jpg"]


def test_unknown_folder_names_become_labels(audit_settings, slices, tmp_path):
    folder = write_files(
        tmp_path / "set",
        {
            "train/MildDemented/a.png": image_bytes(slices[0]),
            "test/NonDemented/a.jpg": jpeg(slices[0]),
        },
    )
    loose = read_loose_set(audit_settings, folder)

    assert [(f.label, f.split) for f in loose.files] == [
        ("NonDemented", "test"),
        ("MildDemented", "train"),
    ]
    assert len(loose.notes) == 1
    assert len(audited(audit_settings, folder).conflicts) == 1


def test_strongest_twin_is_reported():
    files = [
        AuditedFile("t.png", "test", "glioma", "1", "scan-t"),
        AuditedFile("near.png", "train", "glioma", "2", "scan-near"),
        AuditedFile("sure.png", "train", "glioma", "3", "scan-sure"),
    ]
    twins = [
        ScanTwin("scan-near", "scan-t", TwinKind.SIMILAR, 0.91),
        ScanTwin("scan-sure", "scan-t", TwinKind.MIRRORED, 0.93),
    ]
    groups = {f"scan-{name}": Place("g-1", "validation") for name in ("t", "near", "sure")}
    (finding, *_) = summarize(files, twins, groups).findings

    assert finding.twin == files[2]
    assert finding.twin_in_training is TwinKind.MIRRORED
    assert finding.score == pytest.approx(0.93)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "contains no files"),
        (lambda path: path.write_bytes(b"text"), "is not a folder, a zip or a tar"),
        (lambda path: write_files(path, {"glioma/a.txt": b"text"}), "contains no readable image"),
    ],
)
def test_path_without_images_is_refused(audit_settings, tmp_path, make, message):
    make(tmp_path / "set")
    with pytest.raises(TumorMLError, match=message):
        read_loose_set(audit_settings, tmp_path / "set")


def test_archive_with_too_many_members_is_refused(audit_settings, slices, tmp_path):
    archive = write_zip(tmp_path / "set.zip", {f"{n}.png": b"" for n in range(3)})
    with pytest.raises(TumorMLError, match="contains more than 2 files"):
        read_loose_set(audit_settings.model_copy(update={"max_archive_files": 2}), archive)


def test_audit_writes_no_files(audit_settings, slices, tmp_path):
    folder = write_files(tmp_path / "set", leaky_files(slices))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    audited(audit_settings, folder)

    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
