"""Page "Read a scan": uploads and test scans, their predictions, heatmaps and warnings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.factories.champions import BuiltModel, make_champion, noise_scans, store_scans
from tests.factories.predictions import add_test_predictions, prediction_history, select_rows
from tests.factories.running_api import running_api
from tests.factories.ui_pages import images, open_page, page_text, png_upload
from tumorml.datasets.labeling import settle_label
from tumorml.results.session import write_session
from tumorml.results.tables import ScanLabel, SnapshotScan
from tumorml.scans.images.decode import encode_png, scan_id
from tumorml.serving.ui.api_client import ScanResult
from tumorml.serving.ui.read import current_labels
from tumorml.serving.ui.uploads import decode_pixels
from tumorml.serving.ui.widgets import escape_markdown
from tumorml.settings import Settings

NOT_MEASURED = "How well the heatmaps locate tumors was not measured"


def test_uploaded_scan_is_predicted_once_and_shown_with_heatmap(
    api: Settings, champion: str
) -> None:
    page = open_page("read", api)
    page.file_uploader(key="images").set_value([png_upload("a.png", 1)]).run()
    assert not page.exception
    (row,) = prediction_history(api)
    assert page.metric[0].value == row["predicted_label"].replace("_", " ")
    text = page_text(page)
    assert champion in text
    assert "Possible labels, 95%" in text
    assert "not the outline of a lesion" in text
    assert NOT_MEASURED in text
    assert page.subheader[-1].value == "Most similar training scans"
    scan, overlay = (image.value[0] for image in images(page)[:2])
    assert overlay != scan
    page.slider(key="opacity").set_value(0).run()
    new_scan, new_overlay = (image.value[0] for image in images(page)[:2])
    assert new_scan == scan
    assert new_overlay not in (overlay, scan)
    assert len(prediction_history(api)) == 1


def test_replaced_champions_prediction_keeps_its_heatmap_claim(
    api: Settings, champion: str, other_model: BuiltModel
) -> None:
    page = open_page("read", api)
    page.file_uploader(key="images").set_value([png_upload("a.png", 1)]).run()
    make_champion(api, other_model)
    page.slider(key="opacity").set_value(0).run()
    assert champion in page_text(page)
    page.run()
    assert champion in page_text(page)
    assert NOT_MEASURED in page_text(page)


@pytest.mark.usefixtures("champion")
def test_uploads_are_split_into_requests_and_decoded_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []

    def counted(settings: Settings, content: bytes) -> Any:
        decoded.append(content)
        return decode_pixels(settings, content)

    monkeypatch.setattr("tumorml.serving.ui.uploads.decode_pixels", counted)
    with running_api(settings.model_copy(update={"api_max_images": 2})) as served:
        page = open_page("read", served)
        files = [png_upload(f"{n}.png", n) for n in range(5)]
        page.file_uploader(key="images").set_value(files).run()
        page.selectbox[0].select_index(4).run()
    assert not page.error
    assert list(page.dataframe[0].value["file"]) == [name for name, _, _ in files]
    times = select_rows(settings, "select distinct created_at from prediction_history")
    assert len(times) >= 3
    assert len(prediction_history(settings)) == len(decoded) == 5


def test_similar_scans_show_their_current_label(settings: Settings) -> None:
    same, settled, contested, gone = store_scans(settings, *noise_scans(4, seed=11))
    with write_session(settings) as session:
        for scan, labels in (
            (same, ["glioma", "tumor"]),
            (settled, ["glioma"]),
            (contested, ["glioma", "pituitary"]),
        ):
            for label in labels:
                session.add(ScanLabel(scan_id=scan, label=label, batch_id="b"))
    settle_label(settings, settled, "no_tumor", reason="seen", who="me")
    similar = [{"scan": scan, "label": "glioma"} for scan in (same, settled, contested, gone)]
    result = ScanResult("four_class", "m", {"similar": similar}, noise_scans(1)[0])
    assert current_labels(settings, result) == {
        same: "glioma",
        settled: "no tumor (trained as glioma)",
        contested: "glioma or pituitary (trained as glioma)",
        gone: "glioma",
    }


def test_scan_unlike_the_training_data_has_a_warning(api: Settings) -> None:
    ramp = np.tile(np.arange(0, 240, 2, dtype=np.uint8), (120, 1))
    page = open_page("read", api)
    page.file_uploader(key="images").set_value([("ramp.png", encode_png(ramp), "image/png")]).run()
    (row,) = prediction_history(api)
    assert row["unlike"]
    assert "unlike the training data" in page.warning[0].value


def test_only_a_training_scan_has_a_warning_about_training(api: Settings) -> None:
    (trained,) = store_scans(api, noise_scans(1, seed=3)[0])
    with write_session(api) as session:
        session.add(
            SnapshotScan(
                snapshot_id="s", scan_id=trained, split="train", label="glioma", group_id="g"
            )
        )
    page = open_page("read", api)
    page.file_uploader(key="images").set_value([png_upload("a.png", 3)]).run()
    assert "used to train the model" in page_text(page)
    page.file_uploader(key="images").set_value([png_upload("b.png", 4)]).run()
    assert "used to train the model" not in page_text(page)


def test_undecodable_file_is_named_and_the_others_are_predicted(api: Settings) -> None:
    page = open_page("read", api)
    files = [
        png_upload("a.png", 1), ("notes.txt", b"no scan", "text/plain"), png_upload("b.png", 2),
    ]  # fmt: skip
    page.file_uploader(key="images").set_value(files).run()
    assert [error.value.startswith(escape_markdown("notes.txt: ")) for error in page.error] == [
        True
    ]
    assert list(page.dataframe[0].value["file"]) == ["a.png", "b.png"]
    page.selectbox[0].select_index(1).run()
    scans = {row["scan"] for row in prediction_history(api)}
    assert scans == {scan_id(noise_scans(1, seed)[0]) for seed in (1, 2)}


def test_test_scan_is_predicted_and_compared_with_its_label(api: Settings, champion: str) -> None:
    (scan,) = add_test_predictions(api, champion, [("glioma", "glioma", 0.9)])
    page = open_page("read", api)
    page.segmented_control(key="source").set_value("Test scan").run()
    page.button(key=f"read-{scan}").click().run()
    assert not page.exception
    assert "True label: glioma (" in page_text(page)
    (row,) = [row for row in prediction_history(api) if row["source"] == "api"]
    assert row["scan"] == scan


@pytest.mark.usefixtures("champion")
def test_unreachable_api_is_explained_on_the_page(settings: Settings) -> None:
    page = open_page("read", settings.model_copy(update={"api_port": 9}))
    page.file_uploader(key="images").set_value([png_upload("a.png", 1)]).run()
    assert not page.exception
    assert "The API at http://127.0.0.1:9 does not respond. Start it with" in page_text(page)
