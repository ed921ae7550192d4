"""Page "Drop a batch": drops of images and archives, and the batch that comes of them."""

from __future__ import annotations

import io
import zipfile

import pytest

from tests.factories.predictions import select_rows
from tests.factories.ui_pages import open_page, page_text, png_upload
from tumorml.errors import TumorMLError
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.inbox.drops import waiting_drops
from tumorml.scans.ingest.finish_batch import ingest_batch
from tumorml.serving.ui.drop import LABELS_IN_ARCHIVE, NO_LABEL, drop_files
from tumorml.settings import Settings


def test_dropped_images_become_a_batch_that_the_page_shows(settings: Settings) -> None:
    page = open_page("drop", settings)
    files = [png_upload("a.png", 1), png_upload("a.png", 2), ("b.png", b"no scan", "image/png")]
    page.file_uploader(key="dropped-0").set_value(files)
    page.selectbox[0].select("glioma")
    page.text_input[0].set_value("p-17")
    page.text_input[1].set_value("Mainz")
    page.button[0].click().run()
    assert not page.exception
    (drop,) = waiting_drops(settings)
    assert drop.complete
    assert f"`{drop.name}` waits in the inbox" in page_text(page)
    (batch,) = claim_drops(settings)
    ingest_batch(settings, batch)
    page.run()
    assert f"Batch `{batch}` from the drop `{drop.name}`: ingested" in page_text(page)
    assert {one.label: one.value for one in page.metric} == {
        "files": "4", "taken in": "2", "duplicates": "0", "refused": "1",
    }  # fmt: skip
    assert list(page.dataframe[0].value["file"]) == ["images/b.png"]
    accepted = select_rows(settings, "select * from batch_file where outcome = 'taken_in'")
    assert {(row["label"], row["patient_id"], row["site"]) for row in accepted} == {
        ("glioma", "p-17", "Mainz")
    }


def test_archive_keeps_the_labels_of_its_folders(settings: Settings) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("pituitary/a.png", png_upload("a.png", 1)[1])
    name = drop_files(settings, [("set.zip", file.getvalue())], label=LABELS_IN_ARCHIVE)
    assert name.endswith(".zip")
    ingest_batch(settings, claim_drops(settings)[0])
    labels = select_rows(settings, "select label from scan_label")
    assert [row["label"] for row in labels] == ["pituitary"]


def test_file_names_that_no_disk_accepts_are_replaced(settings: Settings) -> None:
    names = [
        "a" * 255,
        "a" * 255,
        "no\0thing.png",
        "half \udc80.png",
        "..",
        "",
        "\u00e4\U00020000" * 90,
    ]
    files = [(name, png_upload("", number)[1]) for number, name in enumerate(names)]
    drop_files(settings, files, label="glioma")
    ingest_batch(settings, claim_drops(settings)[0])
    rows = select_rows(settings, "select outcome, label from batch_file where label is not null")
    assert [(row["outcome"], row["label"]) for row in rows] == [("taken_in", "glioma")] * 7


@pytest.mark.parametrize(
    ("files", "label", "reason"),
    [
        ([], NO_LABEL, "Choose images"),
        ([("a.zip", b""), ("b.png", b"")], LABELS_IN_ARCHIVE, "Drop a.zip alone"),
        ([("a.zip", b"")], "glioma", "a.zip contains its own labels"),
        ([("a.png", b"")], LABELS_IN_ARCHIVE, "needs a zip or tar archive"),
    ],
)
def test_files_that_do_not_match_the_label_are_not_dropped(
    files: list[tuple[str, bytes]], label: str, reason: str, settings: Settings
) -> None:
    with pytest.raises(TumorMLError, match=reason):
        drop_files(settings, files, label=label)
    assert waiting_drops(settings) == []
