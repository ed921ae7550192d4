"""What callers get: answers that are rows, and errors that say what was wrong."""

from __future__ import annotations

import base64
import io
import json
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from sqlalchemy import text
from starlette.testclient import TestClient

from tests.factories.champions import SIDE, Made, crown, enthrone, pictures, take_in
from tests.factories.reports import localised
from tests.factories.rows import verdict_row
from tests.factories.running_api import running_api
from tumorml.datasets.resize import fit_to_square
from tumorml.errors import TumorMLError
from tumorml.evaluation.metrics import write_metrics
from tumorml.labels import LABELS, Task
from tumorml.models import reference
from tumorml.objects.keys import scan_key
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import SnapshotScan
from tumorml.scans.images.decode import encode_png, scan_id
from tumorml.serving.api import app, keys, predict
from tumorml.serving.api.api_keys import KnownKeys, add_key, require_safe_address, revoke_key
from tumorml.serving.api.app import create_app
from tumorml.settings import Settings


def files(*pictures: np.ndarray) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [
        ("images", (f"{n}.png", encode_png(pixels), "image/png"))
        for n, pixels in enumerate(pictures)
    ]


def wait_for(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.2)


def history(settings: Settings) -> list[Any]:
    with read_session(settings) as session:
        return list(session.execute(text("select * from prediction_history")).mappings())


def test_an_answer_is_the_models_and_a_row(
    client: TestClient, champion: str, made: Made, settings: Settings
) -> None:
    asked = pictures(5, seed=4)
    response = client.post("/predict", files=files(*asked))
    assert response.status_code == 200, response.text
    told = response.json()
    assert (told["task"], told["model_version"]) == ("four_class", champion)
    expected = made.predictor.predict(np.stack([fit_to_square(one, SIDE) for one in asked]))
    assert np.ptp(expected, axis=0).max() > 0.01
    rows = {row["scan"]: row for row in history(settings)}
    assert len(rows) == 5
    for pixels, probabilities, answer in zip(asked, expected, told["answers"], strict=True):
        assert answer["scan"] == scan_id(pixels)
        labels = LABELS[Task.FOUR_CLASS]
        assert answer["label"] == labels[probabilities.argmax()]
        np.testing.assert_allclose(
            [answer["probabilities"][label] for label in labels], probabilities, atol=1e-4
        )
        assert answer["label"] in answer["possible_labels"]
        assert len(answer["similar"]) == 6
        assert answer["heatmap"] is None
        no_tumor = answer["probabilities"]["no_tumor"]
        assert answer["binary"]["tumor_probability"] == pytest.approx(1 - no_tumor)
        row = rows[answer["scan"]]
        assert (row["model_version"], row["source"]) == (champion, "api")
        assert row["predicted_label"] == answer["label"]
        assert row["possible_labels"] == answer["possible_labels"]
        assert row["caller"] == "anybody on this machine"
        assert (row["distance"], row["unlike"]) == (answer["distance"], answer["unlike_training"])


def test_an_answer_says_where_the_very_picture_was_in_training(
    client: TestClient, champion: str, settings: Settings
) -> None:
    learnt, new = pictures(2, seed=5)
    (name,) = take_in(settings, learnt)
    with write_session(settings) as session:
        session.add(
            SnapshotScan(snapshot_id="s", scan_id=name, split="train", label="glioma", group_id="g")
        )
    answers = client.post("/predict", files=files(learnt, new, learnt)).json()["answers"]
    assert [answer["split"] for answer in answers] == ["train", None, "train"]


def test_an_answer_leads_to_the_verdict_that_made_its_model_champion(
    client: TestClient, champion: str, settings: Settings
) -> None:
    with write_session(settings) as session:
        session.add(verdict_row("v", f"r-{champion}", "four_class", champion, outcome="promoted"))
    client.post("/predict", files=files(*pictures(1))).raise_for_status()
    with read_session(settings) as session:
        verdicts = session.scalars(text("select verdicts from prediction_provenance")).one()
    assert verdicts == ["v"]


def test_a_jpeg_is_read_as_ingest_reads_it(client: TestClient) -> None:
    file = io.BytesIO()
    Image.fromarray(pictures(1)[0]).convert("RGB").save(file, "JPEG")
    answer = client.post("/predict", files={"images": ("a.jpg", file.getvalue())}).json()
    pixels = np.asarray(Image.open(file).convert("L"))
    assert answer["answers"][0]["scan"] == scan_id(pixels)


def test_a_heatmap_comes_inline_or_by_link(client: TestClient, settings: Settings) -> None:
    asked = files(pictures(1)[0])
    inline = client.post("/predict?heatmap=inline", files=asked).json()["answers"][0]["heatmap"]
    kind, _, data = inline.partition(",")
    assert kind == "data:image/png;base64"
    linked = client.post("/predict?heatmap=link", files=asked).json()["answers"][0]["heatmap"]
    response = client.get(linked)
    assert response.headers["content-type"] == "image/png"
    assert response.content == base64.b64decode(data)
    assert Image.open(io.BytesIO(response.content)).size == (580, 308)
    assert history(settings)[0]["heatmap_key"] in linked
    for key in ("..%2F..%2Fsecret.png", "%2Fetc%2Fpasswd", scan_key(scan_id(pictures(1)[0]))):
        assert client.get(f"/heatmaps/{key}").status_code == 404
    with write_session(settings) as session:
        session.execute(text("update artifact set kind = 'report'"))
    assert client.get(linked).status_code == 404  # a file, but no heatmap


def test_the_same_picture_twice_in_a_request_has_two_rows_and_one_heatmap(
    client: TestClient, settings: Settings
) -> None:
    asked = files(*pictures(1), *pictures(1))
    answers = client.post("/predict?heatmap=link", files=asked).json()["answers"]
    assert answers[0]["heatmap"] == answers[1]["heatmap"]
    assert len(history(settings)) == 2


def test_nothing_said_is_no_value_in_sql(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "FEWEST", 10_000)
    client.post("/predict", files=files(*pictures(2))).raise_for_status()
    with read_session(settings) as session:
        unknown = "select count(*) from prediction where possible_labels is null"
        assert session.scalar(text(unknown)) == 2


def test_more_requests_than_may_wait_are_sent_away_and_told_when_to_come_again(
    settings: Settings, champion: str
) -> None:
    narrow = settings.model_copy(update={"api_queue": 2})
    with running_api(narrow) as found, write_session(settings) as holding:
        # Nothing can be written down while the table is locked, so whoever is in stays in.
        holding.execute(text("lock table prediction in access exclusive mode"))
        address = f"http://127.0.0.1:{found.api_port}"

        def ask(_: int) -> httpx.Response:
            return httpx.post(f"{address}/predict", files=files(*pictures(1)), timeout=60)

        with ThreadPoolExecutor(5) as callers:
            asked = [callers.submit(ask, n) for n in range(5)]
            away = [one.result() for one in islice(as_completed(asked), 3)]
            assert {one.status_code for one in away} == {503}
            assert {one.headers["Retry-After"] for one in away} == {"1"}
            waiting = httpx.get(f"{address}/metrics").text
            assert "tumorml_waiting_requests 2.0" in waiting
            holding.rollback()
            answered = {one.result().status_code for one in asked} - {503}
            assert answered == {200}
    assert len(history(settings)) == 2


def test_a_results_store_that_hangs_is_told_and_the_server_goes_on(
    settings: Settings, champion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "ANSWER_SECONDS", 2.0)
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        with write_session(settings) as holding:
            holding.execute(text("lock table prediction in access exclusive mode"))
            response = client.post("/predict", files=files(*pictures(1)))
            assert response.status_code == 503
            assert "more than 2 s" in response.json()["detail"]
            assert client.get("/health/ready").status_code == 200
        assert client.post("/predict", files=files(*pictures(1))).status_code == 200


def test_nor_does_it_keep_whoever_reads_waiting(
    settings: Settings, champion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "READ_SECONDS", 1.0)
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        with write_session(settings) as holding:
            holding.execute(text("lock table prediction, model_version in access exclusive mode"))
            for path in ("/predictions", "/models"):
                response = client.get(path)
                assert response.status_code == 503
                assert response.headers["Retry-After"] == "5"
                assert "said nothing for 1 s" in response.json()["detail"]
        assert client.get("/predictions").status_code == 200


def test_while_nobody_can_say_who_may_ask_nobody_may(
    settings: Settings, champion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "_OLD_SECONDS", 5.0)
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        assert client.get("/champion").status_code == 200
        with write_session(settings) as holding:
            holding.execute(text("lock table api_key in access exclusive mode"))
            wait_for(lambda: client.get("/champion").status_code == 503)
            for path in ("/champion", "/predictions", "/metrics"):
                response = client.get(path)
                assert response.status_code == 503
                assert "who may ask" in response.json()["detail"]
            assert client.post("/predict", files=files(*pictures(1))).status_code == 503
        wait_for(lambda: client.get("/champion").status_code == 200)


def test_a_request_that_took_too_long_holds_its_pixels_while_they_are_decoded(
    settings: Settings, champion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding, most = [0], [0]
    read = predict.read_uploads

    def slowly(*given: Any, **how: Any) -> Any:
        decoding[0] += 1
        most[0] = max(most[0], decoding[0])
        time.sleep(1.0)
        decoding[0] -= 1
        return read(*given, **how)

    monkeypatch.setattr(predict, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(predict, "read_uploads", slowly)
    one_at_a_time = settings.model_copy(update={"max_scan_pixels": pictures(1)[0].size})
    with running_api(one_at_a_time) as found, ThreadPoolExecutor(3) as callers:
        address = f"http://127.0.0.1:{found.api_port}/predict"

        def ask(_: int) -> int:
            return httpx.post(address, files=files(*pictures(1)), timeout=60).status_code

        assert set(callers.map(ask, range(6))) == {503}
    assert most == [1]


def test_what_stands_where_a_hash_of_a_key_belongs_is_told_to_nobody(
    settings: Settings, champion: str
) -> None:
    key = add_key(settings, "ann", "reader")
    wrong = settings.model_copy(update={"api_keys": f"bob:reader:{'0' * 64},{key}"})
    for start in (lambda: require_safe_address(wrong), KnownKeys(wrong).start):
        with pytest.raises(TumorMLError, match="entry 2 is not name:role:sha256") as told:
            start()
        assert key not in str(told.value)


def test_a_bare_map_lies_over_the_scan_and_says_what_is_warm(
    client: TestClient, settings: Settings
) -> None:
    (pixels,) = pictures(1)
    answer = client.post("/predict?heatmap=map", files=files(pixels)).json()["answers"][0]
    kind, _, data = answer["heatmap"].partition(",")
    assert kind == "data:image/png;base64"
    bare = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (bare.mode, bare.size) == ("L", pixels.shape[::-1])
    assert answer["heatmap_meaning"].startswith("evidence map")
    (row,) = history(settings)
    assert client.get(f"/heatmaps/{row['heatmap_key']}").status_code == 200
    schema = client.get("/openapi.json").json()["components"]["schemas"]
    assert "map" in schema["Heatmap"]["enum"]
    told = client.post("/predict?heatmap=map", files=files(pixels)).json()
    assert "not measured" in told["heatmap_claim"]
    assert client.post("/predict", files=files(pixels)).json()["heatmap_claim"] is None
    assert "heatmap_meaning" in schema["Answered"]["properties"]


def test_what_heatmaps_are_worth_is_told_once_it_is_measured(
    client: TestClient, settings: Settings, champion: str
) -> None:
    """A champion serves before its run is explained."""

    def claim() -> str:
        asked = client.post("/predict?heatmap=map", files=files(*pictures(1)))
        return str(asked.json()["heatmap_claim"])

    assert "not measured" in claim()
    with write_session(settings) as session:
        measured = {"test": localised((0.8, 0.7, 0.9))}
        write_metrics(session, measured, run_id=f"r-{champion}", model_version_id=champion)
    wait_for(lambda: "Both baselines that look at no scan are beaten" in claim())


DICOM = b"\0" * 128 + b"DICM" + b"\0" * 64
GOOD = encode_png(pictures(1)[0])


def bomb() -> bytes:
    file = io.BytesIO()
    Image.new("L", (20_000, 20_000)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"garbage", "not an image"),
        (DICOM, "DICOM"),
        (GOOD[:200], "cut short or damaged"),
        (bomb(), "pixels"),
        (encode_png(np.zeros((64, 64), np.uint8)), "blank"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_nothing_is_answered(
    data: bytes, reason: str, client: TestClient, settings: Settings
) -> None:
    sent = [("images", ("good.png", GOOD)), ("images", ("bad.png", data))]
    response = client.post("/predict", files=sent)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["detail"].startswith("1 of 2 files cannot be read")
    assert [refused["file"] for refused in problem["files"]] == ["bad.png"]
    assert reason in problem["files"][0]["reason"]
    assert history(settings) == []
    assert client.post("/predict", files=files(pictures(1)[0])).status_code == 200


def test_bodies_that_are_no_images_are_told(client: TestClient) -> None:
    for status, request in (
        (415, {"json": {"images": []}}),
        (415, {"content": GOOD, "headers": {"content-type": "image/png"}}),
        (400, {"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=b"}}),
        (400, {"content": b"x", "headers": {"content-type": "multipart/form-data"}}),
        (422, {"files": {"others": ("a.png", GOOD)}}),
        (413, {"files": [("images", ("a.png", GOOD)) for _ in range(1000)]}),
    ):
        response = client.post("/predict", **request)
        assert response.status_code == status, response.text
        assert response.json()["status"] == status
    assert client.post("/predict?task=five_class", files=files(pictures(1)[0])).status_code == 422
    assert client.post("/predict?task=binary", files=files(pictures(1)[0])).status_code == 404


def test_a_body_that_is_too_long_is_sent_away_however_it_comes(
    settings: Settings, champion: str
) -> None:
    small = settings.model_copy(update={"api_max_bytes": 10_000})
    with TestClient(create_app(small), base_url="http://127.0.0.1") as client:
        long = b"\0" * 20_000
        assert client.post("/predict", files={"images": ("a.png", long)}).status_code == 413

        def chunks() -> Any:
            yield b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
            for _ in range(20):
                yield b"\0" * 1000

        kind = {"content-type": "multipart/form-data; boundary=b"}
        response = client.post("/predict", content=chunks(), headers=kind)
        assert response.status_code == 413
        assert "10,000 bytes" in response.json()["detail"]


def test_keys_are_asked_for_where_they_exist(client: TestClient, settings: Settings) -> None:
    writer, reader = (add_key(settings, f"a-{role}", role) for role in ("writer", "reader"))
    time.sleep(2.1)
    asked = files(pictures(1)[0])
    for key, asking, seeing in (
        (None, 401, 401),
        ("wrong", 401, 401),
        (reader, 403, 200),
        (writer, 200, 200),
    ):
        headers = {} if key is None else {"X-API-Key": key}
        assert client.post("/predict", files=asked, headers=headers).status_code == asking
        for path in ("/predictions", "/champion", "/models", "/metrics"):
            assert client.get(path, headers=headers).status_code == seeing
        missing = client.get("/heatmaps/missing.png", headers=headers).status_code
        assert missing == (404 if seeing == 200 else seeing)
        assert client.get("/health/live", headers=headers).status_code == 200
    assert history(settings)[0]["caller"] == "a-writer"
    with read_session(settings) as session:
        stored = str(session.execute(text("select * from api_key")).all())
    assert writer not in stored
    revoke_key(settings, "a-writer")
    time.sleep(2.1)
    headers = {"X-API-Key": writer}
    assert client.post("/predict", files=asked, headers=headers).status_code == 401


def test_the_server_does_not_open_when_its_last_key_is_revoked(
    settings: Settings, champion: str
) -> None:
    key = add_key(settings, "only", "writer")
    revoke_key(settings, "only")
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        for headers in ({}, {"X-API-Key": key}):
            asked = client.post("/predict", files=files(pictures(1)[0]), headers=headers)
            assert asked.status_code == 401
    with pytest.raises(TumorMLError, match="tumorml key add"):
        require_safe_address(settings.model_copy(update={"api_host": "0.0.0.0"}))
    add_key(settings, "another", "writer")
    require_safe_address(settings.model_copy(update={"api_host": "0.0.0.0"}))


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
        {"host": "["},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_another_site_cannot_ask_through_a_browser_here(
    headers: dict[str, str], client: TestClient, settings: Settings
) -> None:
    asked = client.post("/predict", files=files(pictures(1)[0]), headers=headers)
    assert asked.status_code == 403
    assert client.get("/champion", headers=headers).status_code == 403
    assert history(settings) == []


def test_its_own_page_may_ask(client: TestClient) -> None:
    headers = {"origin": "http://127.0.0.1", "sec-fetch-site": "same-origin"}
    assert client.post("/predict", files=files(pictures(1)[0]), headers=headers).is_success


def test_the_images_of_a_request_have_a_limit_of_pixels_together(
    settings: Settings, champion: str
) -> None:
    few = settings.model_copy(update={"max_scan_pixels": 20_000})
    with TestClient(create_app(few), base_url="http://127.0.0.1") as client:
        response = client.post("/predict", files=files(*pictures(4)))
        assert response.status_code == 422
        assert [refused["file"] for refused in response.json()["files"]] == ["2.png", "3.png"]


def test_a_name_that_is_no_text_is_told_in_text(client: TestClient, settings: Settings) -> None:
    for data, status in ((GOOD, 200), (b"garbage", 422)):
        body = (
            b'--b\r\nContent-Disposition: form-data; name="images"; filename="\\ud800.png"\r\n\r\n'
            + data
            + b"\r\n--b--\r\n"
        )
        for charset in ("unicode_escape", "utf-7", "no-such-charset"):
            kind = f"multipart/form-data; boundary=b; charset={charset}"
            response = client.post("/predict", content=body, headers={"content-type": kind})
            assert response.status_code in (status, 400), response.text


def test_the_history_is_filtered_and_paged(client: TestClient) -> None:
    for n in range(3):
        client.post("/predict", files=files(*pictures(2, seed=20 + n)))
    seen: list[int] = []
    after: str | None = None
    while True:
        asked = {"limit": 4} | ({"after": after} if after else {})
        page = client.get("/predictions", params=asked).json()
        seen += [row["prediction"] for row in page["predictions"]]
        after = page["next"]
        if after is None:
            break
    assert len(seen) == len(set(seen)) == 6
    assert seen == sorted(seen, reverse=True)
    one = client.get("/predictions", params={"limit": 1}).json()["predictions"][0]
    for name, value in (("scan", one["scan"]), ("label", one["predicted_label"])):
        found = client.get("/predictions", params={name: value}).json()["predictions"]
        assert one["prediction"] in [row["prediction"] for row in found]
    assert client.get("/predictions", params={"label": "nothing"}).json()["predictions"] == []
    infinite = base64.b64encode(b'["2026-01-01T00:00:00+00:00", Infinity]').decode()
    for wrong in (
        {"after": "garbage"},
        {"after": infinite},
        {"since": "1.5"},
        {"colour": "red"},
        {"label": "\0"},
    ):
        assert client.get("/predictions", params=wrong).status_code == 422


def test_who_serves_and_how_it_is(client: TestClient, champion: str) -> None:
    card = client.get("/champion").json()[0]
    assert (card["model_version"], card["answers_here"]) == (champion, True)
    assert [row["model_version"] for row in client.get("/models").json()] == [champion]
    assert client.get("/health").json()["answering"] == {"four_class": champion}
    client.post("/predict", files=files(*pictures(3)))
    told = client.get("/metrics").text
    assert f'model_version="{champion}"' in told
    assert 'tumorml_requests_total{method="POST",path="/predict",status="200"} 1.0' in told


def test_a_server_without_a_champion_says_so(settings: Settings) -> None:
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        assert client.get("/health").status_code == 503
        response = client.post("/predict", files=files(pictures(1)[0]))
        assert response.status_code == 404
        assert "Nobody serves" in response.json()["detail"]


def test_a_new_champion_answers_within_five_seconds(
    client: TestClient, champion: str, made_later: Made, settings: Settings
) -> None:
    asked = files(pictures(1)[0])
    assert client.post("/predict", files=asked).json()["model_version"] == champion
    later = crown(settings, made_later)
    until = time.monotonic() + 5
    while client.post("/predict", files=asked).json()["model_version"] != later:
        assert time.monotonic() < until
        time.sleep(0.05)
    enthrone(settings, champion, Task.FOUR_CLASS)
    until = time.monotonic() + 5
    while client.post("/predict", files=asked).json()["model_version"] != champion:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_champion_that_fails_its_golden_scans_does_not_answer(
    client: TestClient, champion: str, made_later: Made, settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "forged"
    shutil.copytree(made_later.folder, folder)
    description = json.loads((folder / "model.json").read_text())
    (scan,) = description["golden"]
    description["golden"] = {scan: [1.0, 0.0, 0.0, 0.0]}
    (folder / "model.json").write_text(json.dumps(description))
    later = crown(settings, replace(made_later, folder=folder))
    until = time.monotonic() + 10
    while client.get("/health").json()["status"] != "degraded":
        assert time.monotonic() < until
        time.sleep(0.1)
    assert client.post("/predict", files=files(pictures(1)[0])).json()["model_version"] == champion
    (problem,) = client.get("/health").json()["problems"]
    assert problem.startswith(later)
    assert "otherwise than when it was trained" in problem
    (card,) = client.get("/champion").json()
    assert (card["model_version"], card["answers_here"]) == (later, False)
    assert card["problem"] in problem
