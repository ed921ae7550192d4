"""What people see on the page, and what comes of what they do there."""

from __future__ import annotations

import csv
import io
import json
import re
import string
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, text
from streamlit.testing.v1 import AppTest

from tests.factories.champions import BuiltModel, make_champion, noise_scans, store_scans
from tests.factories.rows import Dropped, add_batch, scan_of, verdict_row
from tests.factories.running_api import running_api
from tumorml.datasets.labeling import settle_label
from tumorml.errors import TumorMLError
from tumorml.objects import object_store
from tumorml.objects.keys import scan_key
from tumorml.results.artifacts import record_artifacts
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Evaluation, Prediction, ScanLabel, SnapshotScan
from tumorml.scans.images.decode import encode_png, scan_id
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.inbox.drops import waiting_drops
from tumorml.scans.ingest.finish_batch import ingest_batch
from tumorml.serving.api.queries import predictions
from tumorml.serving.ui.api_client import Read
from tumorml.serving.ui.command import ui_command
from tumorml.serving.ui.drop import AS_PACKED, NO_LABEL, drop_files
from tumorml.serving.ui.history import between, csv_of
from tumorml.serving.ui.read import labels_today
from tumorml.serving.ui.uploads import pixels_of
from tumorml.serving.ui.widgets import plain
from tumorml.settings import Settings


def script(name, settings):  # its text is run by itself
    from tumorml.serving.ui.app import show

    show(name, settings)


def script_of_details(settings):
    from tumorml.serving.ui.history import details, found

    details(settings, found(settings, {}, 1)[0][0])


def opened(name: str, settings: Settings) -> AppTest:
    page = AppTest.from_function(script, args=(name, settings), default_timeout=60).run()
    assert not page.exception
    return page


def words(page: AppTest) -> str:
    """All that is written on it, as people see it."""
    kinds = ("markdown", "caption", "info", "warning", "error", "success")
    written = "\n".join(element.value for kind in kinds for element in page.get(kind))
    return re.sub(f"\\\\([{re.escape(string.punctuation)}])", r"\1", written)


@pytest.fixture(autouse=True)
def main_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit runs a page as ``__main__``, which processes that a later test spawns would run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture
def api(settings: Settings, champion: str) -> Iterator[Settings]:
    """Settings by which the page finds a running API."""
    with running_api(settings) as found:
        yield found


def image(name: str, seed: int) -> tuple[str, bytes, str]:
    return name, encode_png(noise_scans(1, seed)[0]), "image/png"


def evaluate(settings: Settings, model: str, answers: list[tuple[str, str, float]]) -> list[str]:
    """Let a champion have answered test scans: true label, label, probability; the scans' ids."""
    scans = []
    with write_session(settings) as session:
        session.execute(text("select ensure_prediction_partition(now())"))
        names = {"run_id": f"r-{model}", "model_version_id": model}
        for metric in ("accuracy", "f1_macro"):
            session.add(
                Evaluation(
                    **names, split="test", metric=metric, slice="all", value=0.91, low=0.87,
                    high=0.94, scans=len(answers),
                )
            )  # fmt: skip
        for n, (true_label, label, probability) in enumerate(answers):
            pixels = noise_scans(1, seed=50 + n)[0]
            scans.append(scan_id(pixels))
            object_store(settings).write(scan_key(scans[-1]), encode_png(pixels))
            session.add(
                Prediction(
                    **names, scan_id=scans[-1], source="evaluation", task="four_class",
                    label=label, true_label=true_label, probability=probability,
                    probabilities={label: probability}, created_at=datetime.now(UTC),
                )
            )  # fmt: skip
    return scans


def rows(settings: Settings, query: str) -> list[Any]:
    with read_session(settings) as session:
        return list(session.execute(text(query)).mappings())


def test_an_uploaded_scan_is_read_and_its_map_lies_under_a_slider(
    api: Settings, champion: str
) -> None:
    page = opened("read", api)
    page.file_uploader(key="images").set_value([image("a.png", 1)]).run()
    assert not page.exception
    (row,) = rows(api, "select * from prediction_history")
    assert page.metric[0].value == row["predicted_label"].replace("_", " ")
    assert champion in words(page)
    assert "Possible labels, 95%" in words(page)
    assert "no outline of a lesion" in words(page)
    assert "How well the heatmaps point at tumours was not measured" in words(page)
    assert page.subheader[-1].value == "Most similar training scans"
    plain, under = (element.value[0] for element in page.get("image")[:2])
    page.slider(key="opacity").set_value(0).run()
    changed = [element.value[0] for element in page.get("image")[:2]]
    assert changed[0] == plain
    assert changed[1] != under
    assert len(rows(api, "select * from prediction_history")) == 1


def test_an_answer_of_a_champion_of_before_still_says_what_its_heatmap_is_worth(
    api: Settings, champion: str, made_later: BuiltModel
) -> None:
    page = opened("read", api)
    page.file_uploader(key="images").set_value([image("a.png", 1)]).run()
    make_champion(api, made_later)
    page.slider(key="opacity").set_value(0).run()
    assert champion in words(page)
    page.run()
    assert champion in words(page)
    assert "How well the heatmaps point at tumours was not measured" in words(page)


def test_more_files_than_the_api_takes_are_asked_about_in_parts_and_decoded_once(
    settings: Settings, champion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []

    def counting(settings: Settings, content: bytes) -> Any:
        decoded.append(content)
        return pixels_of(settings, content)

    monkeypatch.setattr("tumorml.serving.ui.uploads.pixels_of", counting)
    with running_api(settings.model_copy(update={"api_max_images": 2})) as asked:
        page = opened("read", asked)
        files = [image(f"{n}.png", n) for n in range(5)]
        page.file_uploader(key="images").set_value(files).run()
        page.selectbox[0].select_index(4).run()
    assert not page.error
    assert list(page.dataframe[0].value["file"]) == [name for name, _, _ in files]
    moments = rows(settings, "select distinct created_at from prediction_history")
    assert len(moments) >= 3
    assert len(rows(settings, "select * from prediction_history")) == len(decoded) == 5


def test_similar_scans_stand_with_the_label_that_was_settled_since(settings: Settings) -> None:
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
    read = Read("four_class", "m", {"similar": similar}, noise_scans(1)[0])
    assert labels_today(settings, read) == {
        same: "glioma",
        settled: "no tumor (learnt as glioma)",
        contested: "glioma or pituitary (learnt as glioma)",
        gone: "glioma",
    }


def test_a_scan_unlike_the_training_data_is_warned_of(api: Settings) -> None:
    ramp = np.tile(np.arange(0, 240, 2, dtype=np.uint8), (120, 1))
    page = opened("read", api)
    page.file_uploader(key="images").set_value([("ramp.png", encode_png(ramp), "image/png")]).run()
    (row,) = rows(api, "select * from prediction_history")
    assert row["unlike"]
    assert "unlike the training data" in page.warning[0].value


def test_a_picture_that_the_model_learnt_from_is_warned_of(api: Settings) -> None:
    (name,) = store_scans(api, noise_scans(1, seed=3)[0])
    with write_session(api) as session:
        session.add(
            SnapshotScan(snapshot_id="s", scan_id=name, split="train", label="glioma", group_id="g")
        )
    page = opened("read", api)
    page.file_uploader(key="images").set_value([image("a.png", 3)]).run()
    assert "learnt from this very picture" in words(page)
    page.file_uploader(key="images").set_value([image("b.png", 4)]).run()
    assert "learnt from this very picture" not in words(page)


def test_names_are_no_markdown() -> None:
    assert plain("![a](b)_ü") == r"\!\[a\]\(b\)\_ü"


def test_several_scans_are_read_and_what_cannot_be_is_named(api: Settings) -> None:
    page = opened("read", api)
    files = [image("a.png", 1), ("notes.txt", b"no scan", "text/plain"), image("b.png", 2)]
    page.file_uploader(key="images").set_value(files).run()
    assert [error.value.startswith(plain("notes.txt: ")) for error in page.error] == [True]
    assert list(page.dataframe[0].value["file"]) == ["a.png", "b.png"]
    page.selectbox[0].select_index(1).run()
    scans = {row["scan"] for row in rows(api, "select scan from prediction_history")}
    assert scans == {scan_id(noise_scans(1, seed)[0]) for seed in (1, 2)}


def test_a_test_scan_is_read_and_compared_with_its_label(api: Settings, champion: str) -> None:
    (scan,) = evaluate(api, champion, [("glioma", "glioma", 0.9)])
    page = opened("read", api)
    page.segmented_control(key="source").set_value("A test scan").run()
    page.button(key=f"read-{scan}").click().run()
    assert not page.exception
    assert "known to be glioma" in words(page)
    assert rows(api, "select * from prediction_history where source = 'api'")[0]["scan"] == scan


def test_every_page_opens_on_an_empty_store_and_is_no_medical_device(settings: Settings) -> None:
    for name in ("read", "champion", "history", "drop", "review"):
        assert "not a medical device" in words(opened(name, settings))
    assert "No champion serves yet" in words(opened("read", settings))
    assert "No champion serves yet" in words(opened("champion", settings))


def test_an_api_that_is_down_is_told_in_a_sentence(settings: Settings, champion: str) -> None:
    page = opened("read", settings.model_copy(update={"api_port": 9}))
    page.file_uploader(key="images").set_value([image("a.png", 1)]).run()
    assert not page.exception
    assert "The API does not answer at http://127.0.0.1:9: start it with" in words(page)


def test_a_store_that_is_down_is_told_in_a_sentence(settings: Settings) -> None:
    lost = "postgresql+psycopg2://nobody@127.0.0.1:9/nothing"
    page = opened("history", settings.model_copy(update={"reader_database_url": lost}))
    assert "The results store does not answer" in words(page)


def test_the_champion_page_shows_numbers_history_and_files(
    settings: Settings, champion: str, made_later: BuiltModel
) -> None:
    later = make_champion(settings, made_later)
    evaluate(settings, later, [("glioma", "glioma", 0.9)])
    key = f"runs/r-{later}/model-card.md"
    object_store(settings).write(key, b"# Model card")
    with write_session(settings) as session:
        card = {"object_key": key, "kind": "model_card", "media_type": "text/markdown"}
        record_artifacts(session, [card | {"size_bytes": 1, "sha256": "", "run_id": f"r-{later}"}])
    page = opened("champion", settings)
    assert [(one.label, one.value, one.delta) for one in page.metric] == [
        ("Accuracy", "0.910", "0.870 to 0.940"),
        ("F1, macro", "0.910", "0.870 to 0.940"),
    ]
    assert list(page.dataframe[0].value["model_version"]) == [later, champion]
    assert [button.label for button in page.get("download_button")] == ["model-card.md"]
    assert "SYNTHETIC" in words(page)


def test_the_history_is_filtered(settings: Settings, champion: str) -> None:
    evaluate(
        settings, champion,
        [("glioma", "glioma", 0.9), ("glioma", "pituitary", 0.8), ("pituitary", "pituitary", 0.7)],
    )  # fmt: skip
    page = opened("history", settings)
    assert len(page.dataframe[0].value) == 3
    page.selectbox(key="Predicted label").select("pituitary").run()
    assert len(page.dataframe[0].value) == 2
    page.checkbox(key="wrong").check().run()
    (probability,) = page.dataframe[0].value["probability"]
    assert probability == 0.8
    page.selectbox(key="Caller").run()
    page.selectbox(key="Predicted label").select("no_tumor").run()
    assert "No prediction is like that" in words(page)


def test_a_history_that_is_cut_says_so(
    settings: Settings, champion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(settings, champion, [("glioma", "glioma", 0.9), ("glioma", "glioma", 0.8)])
    monkeypatch.setattr("tumorml.serving.ui.history.MOST", 1)
    page = opened("history", settings)
    assert "These are the newest 1 only" in words(page)
    assert len(page.dataframe[0].value) == 1


def test_days_go_to_the_end_of_the_last_and_a_csv_has_every_column() -> None:
    day, next_day = datetime(2026, 5, 3, tzinfo=UTC), datetime(2026, 5, 4, tzinfo=UTC)
    assert between(()) == {}
    assert between((date(2026, 5, 3),)) == {"since": day, "until": next_day}
    assert between((date(2026, 5, 2), date(2026, 5, 3)))["until"] == next_day
    written = csv_of([{"scan": "a", "probabilities": {"glioma": 0.5}, "caller": None}])
    (row,) = csv.DictReader(io.StringIO(written.decode()))
    assert json.loads(row.pop("probabilities")) == {"glioma": 0.5}
    assert row == {"scan": "a", "caller": ""}


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@sum(a1)", "\t=1", "\r=1"])
def test_no_cell_of_a_csv_is_a_formula(name: str) -> None:
    (row,) = csv.DictReader(io.StringIO(csv_of([{"file": name, "distance": -0.5}]).decode(), ""))
    assert row == {"file": f"'{name}", "distance": "-0.5"}


def test_callers_and_models_are_offered_as_they_are_called(
    settings: Settings, champion: str
) -> None:
    evaluate(settings, champion, [("glioma", "glioma", 0.9)] * 4)
    with write_session(settings) as session:
        for row, caller in zip(
            session.scalars(select(Prediction)), ["b_c", None, "a_b", "b_c"], strict=True
        ):
            row.caller = caller
    page = opened("history", settings)
    assert page.selectbox(key="Caller").options == ["a_b", "b_c"]
    assert page.selectbox(key="Model version").options == [champion]
    assert "no tumor" in page.selectbox(key="Predicted label").options
    page.selectbox(key="Caller").select("b_c").run()
    assert len(page.dataframe[0].value) == 2


def test_a_click_does_not_ask_the_store_again(
    settings: Settings, champion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def counting(*args: Any, **kwargs: Any) -> Any:
        asked.append(args)
        return predictions(*args, **kwargs)

    monkeypatch.setattr("tumorml.serving.ui.history.predictions", counting)
    evaluate(settings, champion, [("glioma", "glioma", 0.9)])
    page = opened("history", settings)
    page.run()
    assert len(asked) == 1
    page.checkbox(key="wrong").check().run()
    assert len(asked) == 2


def test_a_stored_heatmap_stands_beside_what_it_is_worth(settings: Settings, champion: str) -> None:
    evaluate(settings, champion, [("glioma", "pituitary", 0.97)])
    object_store(settings).write("h.png", encode_png(noise_scans(1)[0]))
    with write_session(settings) as session:
        session.scalars(select(Prediction)).one().heatmap_key = "h.png"
    page = opened("review", settings)
    page.segmented_control(key="list").set_value("Surely wrong").run()
    assert len(page.get("image")) == 1
    assert "How well the heatmaps point at tumours was not measured" in words(page)

    page = AppTest.from_function(script_of_details, args=(settings,), default_timeout=60).run()
    assert len(page.get("image")) == 1
    assert "How well the heatmaps point at tumours was not measured" in words(page)


def test_verdicts_of_one_minute_are_told_apart_and_one_that_waits_is_not_called_promoted(
    settings: Settings, champion: str, made_later: BuiltModel
) -> None:
    later = make_champion(settings, made_later)
    moment = datetime(2026, 5, 3, tzinfo=UTC)
    with write_session(settings) as session:
        for name, model, approval in (("v-1", champion, None), ("v-2", later, "waiting")):
            session.add(
                verdict_row(
                    name, f"r-{model}", "four_class", model, outcome="promoted",
                    approval=approval, created_at=moment,
                )
            )  # fmt: skip
    page = opened("champion", settings)
    assert sorted(page.selectbox(key="verdict-four_class").options) == [
        "2026-05-03 00:00 UTC, promoted, v-1",
        "2026-05-03 00:00 UTC, waiting, v-2",
    ]


def test_a_drop_lies_in_the_inbox_and_becomes_a_batch(settings: Settings) -> None:
    page = opened("drop", settings)
    files = [image("a.png", 1), image("a.png", 2), ("b.png", b"no scan", "image/png")]
    page.file_uploader(key="dropped-0").set_value(files)
    page.selectbox[0].select("glioma")
    page.text_input[0].set_value("p-17")
    page.text_input[1].set_value("Mainz")
    page.button[0].click().run()
    assert not page.exception
    (drop,) = waiting_drops(settings)
    assert drop.complete
    assert f"`{drop.name}` waits in the inbox" in words(page)
    (batch,) = claim_drops(settings)
    ingest_batch(settings, batch)
    page.run()
    assert f"became the batch `{batch}`: ingested" in words(page)
    assert {one.label: one.value for one in page.metric} == {
        "files": "4", "taken in": "2", "duplicates": "0", "refused": "1",
    }  # fmt: skip
    assert list(page.dataframe[0].value["file"]) == ["images/b.png"]
    taken = rows(settings, "select * from batch_file where outcome = 'taken_in'")
    assert {(row["label"], row["patient_id"], row["site"]) for row in taken} == {
        ("glioma", "p-17", "Mainz")
    }


def test_an_archive_is_dropped_as_it_is(settings: Settings) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("pituitary/a.png", image("a.png", 1)[1])
    name = drop_files(settings, [("set.zip", file.getvalue())], label=AS_PACKED)
    assert name.endswith(".zip")
    ingest_batch(settings, claim_drops(settings)[0])
    assert [row["label"] for row in rows(settings, "select label from scan_label")] == ["pituitary"]


def test_names_that_no_disk_takes_are_made_such(settings: Settings) -> None:
    names = [
        "a" * 255,
        "a" * 255,
        "no\0thing.png",
        "half \udc80.png",
        "..",
        "",
        "\u00e4\U00020000" * 90,
    ]
    files = [(name, image("", number)[1]) for number, name in enumerate(names)]
    drop_files(settings, files, label="glioma")
    ingest_batch(settings, claim_drops(settings)[0])
    taken = rows(settings, "select outcome, label from batch_file where label is not null")
    assert [(row["outcome"], row["label"]) for row in taken] == [("taken_in", "glioma")] * 7


@pytest.mark.parametrize(
    ("files", "label", "why"),
    [
        ([], NO_LABEL, "Choose images"),
        ([("a.zip", b""), ("b.png", b"")], AS_PACKED, "by itself"),
        ([("a.zip", b"")], "glioma", "brings its own labels"),
        ([("a.png", b"")], AS_PACKED, "goes with a zip"),
    ],
)
def test_files_that_do_not_go_with_the_label_are_not_dropped(
    files: list[tuple[str, bytes]], label: str, why: str, settings: Settings
) -> None:
    with pytest.raises(TumorMLError, match=why):
        drop_files(settings, files, label=label)
    assert waiting_drops(settings) == []


def test_a_conflict_is_settled_with_a_reason(settings: Settings) -> None:
    add_batch(settings, "b-1", [Dropped("x", "glioma"), Dropped("x", "pituitary")])
    page = opened("review", settings)
    assert "Conflicts: **1**" in words(page)
    page.button[0].click().run()
    assert "Say what it shows" in words(page)
    page.radio[0].set_value("pituitary")
    page.text_input[1].set_value("Dr Example")
    page.button[0].click().run()
    assert "needs a reason" in words(page)
    page.text_input[0].set_value("pathology report")
    page.button[0].click().run()
    assert not page.exception
    assert "No labels contradict" in words(page)
    (decision,) = rows(settings, "select * from label_decision")
    assert (decision["scan_id"], decision["label"]) == (scan_of("x"), "pituitary")
    assert (decision["reason"], decision["who"]) == ("pathology report", "Dr Example")


def test_disagreements_of_champion_and_challenger_are_shown(
    settings: Settings, champion: str, made_later: BuiltModel
) -> None:
    later = make_champion(settings, made_later)
    (scan,) = evaluate(settings, later, [("glioma", "glioma", 0.98)])
    with write_session(settings) as session:
        run = f"r-{later}"
        session.add(
            verdict_row("v", run, "four_class", later, champion_id=champion, outcome="kept")
        )
        session.add(
            Prediction(
                run_id=run, model_version_id=champion, scan_id=scan, source="evaluation",
                task="four_class", label="no_tumor", true_label="glioma", probability=0.7,
                probabilities={}, created_at=datetime.now(UTC),
            )
        )  # fmt: skip
    page = opened("review", settings)
    page.segmented_control(key="list").set_value("Disagreements").run()
    (picture,) = page.get("image")
    assert picture.captions == ["known to be glioma"]
    assert ":material/close: champion: **no tumor** 70.0 %" in words(page)
    assert ":material/check: challenger: **glioma** 98.0 %" in words(page)


def test_surely_wrong_answers_are_shown_with_their_scans(settings: Settings, champion: str) -> None:
    wrong, _, _ = evaluate(
        settings, champion,
        [("glioma", "pituitary", 0.97), ("glioma", "pituitary", 0.5), ("glioma", "glioma", 0.99)],
    )  # fmt: skip
    page = opened("review", settings)
    page.segmented_control(key="list").set_value("Surely wrong").run()
    (picture,) = page.get("image")
    assert picture.captions == [
        f"pituitary 97.0 %, known to be glioma; scan {wrong[:16]}",
    ]


def test_the_page_is_for_this_machine_alone(settings: Settings) -> None:
    command = ui_command(settings)
    for option in (
        "--server.address=127.0.0.1",
        "--server.port=8082",
        "--server.allowedHosts=127.0.0.1",
        "--server.enableXsrfProtection=true",
        "--browser.gatherUsageStats=false",
        "--server.maxUploadSize=64",
    ):
        assert option in command


def test_in_a_container_the_page_answers_to_the_names_it_is_given(settings: Settings) -> None:
    command = ui_command(settings.model_copy(update={"ui_host": "::", "ui_names": "a.org, b.org"}))
    assert {"--server.address=::", "--server.allowedHosts=b.org"} <= set(command)
    assert "--server.allowedHosts=127.0.0.1" not in command
