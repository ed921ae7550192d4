"""The audit: what it finds in small sets that are made to leak in known ways."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.factories.drop_files import image_bytes, write_files, write_tar, write_zip
from tumorml.datasets.audit.comparison import compare, honest_places
from tumorml.datasets.audit.findings import Audit, AuditedFile, Finding, Place, ScanTwin
from tumorml.datasets.audit.reading import read_loose_set
from tumorml.datasets.audit.summary import summarise
from tumorml.demo.drop import draw_patient
from tumorml.demo.template import load_anatomy
from tumorml.errors import TumorMLError
from tumorml.labels import contradict
from tumorml.reports.audit.table import write_audit_csv
from tumorml.results.twin_kinds import TwinKind
from tumorml.settings import Settings


@pytest.fixture(scope="module")
def slices() -> list[NDArray[np.uint8]]:
    """Slices of six synthetic patients, one each."""
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
    loose = read_loose_set(settings, path)
    twins = compare(loose)
    return summarise(loose.files, twins, honest_places(settings, loose.files, twins))


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


def test_every_test_image_is_tied_to_training_by_its_surest_twin(audit_settings, slices, tmp_path):
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
    assert audit.whole.byte_identical == 1
    assert [(c.label, c.total, c.with_twin) for c in audit.labels] == [
        ("glioma", 3, 3),
        ("pituitary", 2, 1),
    ]
    assert audit.verdict.startswith("4 of 5 test images (80.0 %) have a twin in training")


@pytest.mark.parametrize("pack", [write_zip, write_tar])
def test_an_archive_is_audited_like_the_folder_it_was_packed_from(
    audit_settings, slices, tmp_path, pack
):
    files = leaky_files(slices)
    folder = audited(audit_settings, write_files(tmp_path / "leaky", files))
    suffix = ".zip" if pack is write_zip else ".tar.gz"
    archive = audited(audit_settings, pack(tmp_path / f"leaky{suffix}", files))

    assert by_path(archive) == by_path(folder)


def test_twins_and_copies_draw_one_side_and_count_once(audit_settings, slices, tmp_path):
    audit = audited(audit_settings, write_files(tmp_path / "leaky", leaky_files(slices)))

    group = {path: finding.group_id for path, finding in by_path(audit).items()}
    assert group["Testing/glioma/same-bytes.png"] == group["Training/glioma/a.png"]
    assert group["Testing/glioma/reencoded.jpg"] == group["Training/glioma/b.png"]
    assert group["Testing/pituitary/mirrored.jpg"] == group["Training/pituitary/c.png"]
    assert len(set(group.values())) == 4
    assert audit.torn_groups == 3
    assert sum(sum(sides.values()) for sides in audit.honest.values()) == audit.scans == 6


def test_a_patient_of_the_manifest_ties_pictures_that_look_different(
    audit_settings, slices, tmp_path
):
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
    assert by_path(audit)["1.png"].twin.path == "0.png"
    assert audit.whole.with_twin == 0
    assert "But 1 comes from a patient" in audit.verdict


def test_one_picture_under_two_labels_is_a_conflict_and_held_out(audit_settings, slices, tmp_path):
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
    assert sum(sides["held_out"] for sides in audit.honest.values()) == 3


def test_a_tumour_of_some_kind_contradicts_another_kind_but_not_a_tumour():
    assert not contradict("tumor", "glioma")
    assert contradict("no_tumor", "glioma")
    assert contradict("meningioma", "glioma")
    assert contradict("MildDemented", "NonDemented")
    assert not contradict("glioma", None)


def test_what_cannot_be_read_is_a_row_with_its_reason(audit_settings, slices, tmp_path):
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
    assert "not the name of a label" in rows["elsewhere/b.png"]["reason"]


def test_in_a_set_without_a_split_twins_count_anywhere(audit_settings, slices, tmp_path):
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


def test_metadata_that_may_name_a_person_is_counted(audit_settings, slices, tmp_path):
    exif = Image.Exif()
    exif[315] = "A. Radiographer"
    buffer = io.BytesIO()
    Image.fromarray(slices[0]).save(buffer, "JPEG", exif=exif)
    files = {"glioma/a.jpg": buffer.getvalue(), "glioma/b.png": image_bytes(slices[1])}
    audit = audited(audit_settings, write_files(tmp_path / "set", files))

    assert [file.path for file in audit.naming_persons] == ["glioma/a.jpg"]


def test_folders_with_names_that_are_no_labels_of_ours_stand_for_labels(
    audit_settings, slices, tmp_path
):
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


def test_summarise_takes_twins_and_groups_from_anywhere():
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
    (finding, *_) = summarise(files, twins, groups).findings

    assert (finding.twin_in_training, finding.twin.path) == (TwinKind.MIRRORED, "sure.png")
    assert finding.score == pytest.approx(0.93)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "There is nothing at"),
        (lambda path: path.mkdir(), "is empty"),
        (lambda path: path.write_bytes(b"text"), "neither a folder nor a zip nor a tar"),
        (lambda path: write_files(path, {"glioma/a.txt": b"text"}), "There is no image in"),
    ],
)
def test_a_path_without_images_is_refused_in_a_sentence(audit_settings, tmp_path, make, said):
    make(tmp_path / "set")
    with pytest.raises(TumorMLError, match=said):
        read_loose_set(audit_settings, tmp_path / "set")


def test_an_archive_that_must_not_be_unpacked_is_refused_in_the_reader_s_words(
    audit_settings, slices, tmp_path
):
    archive = write_zip(tmp_path / "set.zip", {f"{n}.png": b"" for n in range(3)})
    with pytest.raises(TumorMLError, match="holds more than 2 files"):
        read_loose_set(audit_settings.model_copy(update={"max_archive_files": 2}), archive)


def test_an_audit_writes_nothing_beside_the_set(audit_settings, slices, tmp_path):
    folder = write_files(tmp_path / "set", leaky_files(slices))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    audited(audit_settings, folder)

    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
