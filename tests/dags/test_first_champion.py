"""A drop, a first champion, and the pages and records about them, by ``dag.test()``."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.factories.airflow import Airflow
from tumorml.evaluation.reproduce_run import reproduce_run
from tumorml.objects import object_store

pytestmark = pytest.mark.timeout(900)

ROW_COUNTS = """
    select (select count(*) from scan), (select count(*) from scan_label),
           (select count(*) from batch), (select count(*) from run), (select count(*) from epoch),
           (select count(*) from model_version), (select count(*) from prediction),
           (select count(*) from evaluation), (select count(*) from verdict_rule),
           (select count(*) from champion), (select count(*) from artifact)
"""


def test_drop_becomes_scans_and_run_becomes_champion(first_champion: Airflow) -> None:
    airflow = first_champion
    assert airflow.value("select count(*) from scan") == 192
    assert airflow.value("select count(*) from batch_file where outcome = 'refused'") == 0
    run = airflow.rows("select state, epochs_done, verdict from run_summary")[0]
    assert run == ("judged", 10, "promoted")
    test_scans = airflow.value("select count(*) from snapshot_scan where split = 'test'")
    predictions = airflow.value("select count(*) from prediction where source = 'evaluation'")
    assert predictions == test_scans
    keys = airflow.rows("select heatmap_key from prediction where label <> true_label")
    assert keys and all(object_store(airflow.settings).exists(key) for (key,) in keys)
    report = airflow.value("select object_key from artifact where kind = 'report'")
    assert b"f1_floor" in object_store(airflow.settings).read(report)


def test_api_server_shows_pages_to_logged_in_users_only(first_champion: Airflow) -> None:
    run_id, dag_run, heatmap = first_champion.rows(
        "select r.id, r.trigger, a.object_key from run r join artifact a on a.run_id = r.id "
        "where a.kind = 'heatmap' order by a.object_key",
    )[0]
    runs = f"/tumorml/runs?dag_run={quote(dag_run)}"
    files = "/tumorml/files"
    report, deck = f"{files}/runs/{run_id}/report.html", f"{files}/runs/{run_id}/deck.pptx"
    overview = "/tumorml/overview"
    paths = [
        overview,
        runs,
        "/tumorml/runs?dag_run=another",
        report,
        deck,
        f"{files}/{heatmap}",
        f"{files}/runs/{run_id}/secret",
        f"{files}/models/..%2f..%2f..%2fetc/passwd",
        f"!{report}",
        f"!{runs}",
        f"!{overview}",
        "/api/v2/plugins",
    ]
    script = str(Path(__file__).with_name("request_pages.py"))
    answers = json.loads(first_champion.python(script, *paths).stdout.splitlines()[-1])
    assert [status for status, _, _ in answers] == [200] * 6 + [404] * 2 + [401] * 3 + [200]
    overview_page, runs_page, no_runs_page, report_page, slides, picture, *_, plugins = answers
    champion = first_champion.value("select model_version_id from champion where until is null")
    assert champion in overview_page[2] and f'href="{report}"' in overview_page[2]
    assert f'"href":"{overview}"' in plugins[2]
    assert f'href="{deck}"' in runs_page[2] and f'src="{report}"' in runs_page[2]
    assert heatmap in runs_page[2]
    assert "started no training" in no_runs_page[2]
    assert "f1_floor" in report_page[2]
    assert slides[1]["content-type"].endswith("presentation")
    assert picture[1]["content-type"] == "image/png"
    assert all(
        "default-src 'none'" in answer[1]["content-security-policy"] for answer in answers[:6]
    )


def test_run_is_reproduced_from_its_record(first_champion: Airflow) -> None:
    run_id = first_champion.value("select id from run")
    before = first_champion.rows(ROW_COUNTS)
    reproduced = reproduce_run(first_champion.settings, run_id)
    assert reproduced.agrees, reproduced.metrics
    assert reproduced.same_label == reproduced.scans > 0
    assert first_champion.rows(ROW_COUNTS) == before


def test_prediction_is_traced_to_its_files_and_verdict(first_champion: Airflow) -> None:
    run_id, recipe, seed, verdicts, prediction = first_champion.rows(
        "select training_run, recipe, seed, verdicts, prediction from prediction_provenance "
        "order by prediction limit 1",
    )[0]
    assert (recipe, seed) == ("tiny", first_champion.settings.seed)
    assert verdicts == [run_id.replace("r-", "v-")]
    scans, files, drops = first_champion.rows(
        "select count(distinct d.scan), count(d.file), min(d.drop_name) "
        "from prediction_provenance p join run_data d on d.run = p.training_run "
        f"where p.prediction = {prediction}",
    )[0]
    assert (scans, drops) == (192, "synthetic") and files >= scans


def test_retraining_without_changes_is_skipped(first_champion: Airflow) -> None:
    before = first_champion.rows(ROW_COUNTS)
    states = first_champion.run("retrain_champion", "again", task="four_class")
    assert states["run"] == "success"
    assert states["retrain.plan_run[0]"] == "skipped"
    assert states["retrain.train[0]"] == "skipped"
    assert first_champion.rows(ROW_COUNTS) == before


def test_ingest_of_an_empty_inbox_adds_no_batch(first_champion: Airflow) -> None:
    states = first_champion.run("ingest_scans", "empty")
    assert states["claim_drops[-1]"] == "success"
    assert states["plan_shards[-1]"] == "skipped"
    assert first_champion.value("select count(*) from batch") == 1
