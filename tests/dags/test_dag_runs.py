"""Each DAG, run to its end by ``dag.test()`` on real Postgres, with real training."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import text

from tests.dags.conftest import Airflow
from tumorml.demo.drop import write_demo_drop
from tumorml.evaluation.reproduce import reproduce_run
from tumorml.labels import LABELS, Task
from tumorml.objects import object_store
from tumorml.recipes.load_recipe import load_recipe, recipe_names
from tumorml.results.session import read_session
from tumorml.scans.ingest.put_drop import put_drop

pytestmark = pytest.mark.timeout(900)

ANSWER = Path(__file__).with_name("answer.py")


def rows(airflow: Airflow, query: str) -> list[Any]:
    with read_session(airflow.settings) as session:
        return list(session.execute(text(query)).all())


def one(airflow: Airflow, query: str) -> Any:
    return rows(airflow, query)[0][0]


COUNTS = """
    select (select count(*) from scan), (select count(*) from scan_label),
           (select count(*) from batch), (select count(*) from run), (select count(*) from epoch),
           (select count(*) from model_version), (select count(*) from prediction),
           (select count(*) from evaluation), (select count(*) from verdict_rule),
           (select count(*) from champion), (select count(*) from artifact)
"""


@pytest.fixture(scope="module")
def first_champion(airflow: Airflow, tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """A home with a synthetic batch taken in and a first champion, which nobody had to approve."""
    folder = tmp_path_factory.mktemp("drop") / "synthetic"
    write_demo_drop(folder, patients_per_label=24, slices_per_patient=2)
    put_drop(airflow.settings, folder, "synthetic")
    states = airflow.run("ingest_scans", "first")
    assert states["run"] == "success", states
    states = airflow.run("retrain_champion", "first", task="four_class")
    assert states["run"] == "success", states
    assert states["retrain.approval[0]"] == "skipped"
    return airflow


def test_a_drop_becomes_scans_and_a_run_a_champion(first_champion: Airflow) -> None:
    airflow = first_champion
    assert one(airflow, "select count(*) from scan") == 192
    assert one(airflow, "select count(*) from batch_file where outcome = 'refused'") == 0
    run = rows(airflow, "select state, epochs_done, verdict from run_summary")[0]
    assert run == ("judged", 10, "promoted")
    test_scans = one(airflow, "select count(*) from snapshot_scan where split = 'test'")
    assert one(airflow, "select count(*) from prediction where source = 'evaluation'") == test_scans
    keys = rows(airflow, "select heatmap_key from prediction where label <> true_label")
    assert keys and all(object_store(airflow.settings).exists(key) for (key,) in keys)
    report = one(airflow, "select object_key from artifact where kind = 'report'")
    assert b"f1_floor" in object_store(airflow.settings).read(report)


def test_airflow_shows_what_is_told_of_a_run_to_those_who_may_read_it(
    first_champion: Airflow,
) -> None:
    run_id, dag_run, heatmap = rows(
        first_champion,
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
    script = str(Path(__file__).with_name("ask_pages.py"))
    answers = json.loads(first_champion.python(script, *paths).stdout.splitlines()[-1])
    assert [status for status, _, _ in answers] == [200] * 6 + [404] * 2 + [401] * 3 + [200]
    whole, page, nothing, shown, slides, picture, *_, plugins = answers
    champion = one(first_champion, "select model_version_id from champion where until is null")
    assert champion in whole[2] and f'href="{report}"' in whole[2]
    assert f'"href":"{overview}"' in plugins[2]
    assert f'href="{deck}"' in page[2] and f'src="{report}"' in page[2] and heatmap in page[2]
    assert "trained nothing" in nothing[2]
    assert "f1_floor" in shown[2]
    assert slides[1]["content-type"].endswith("presentation")
    assert picture[1]["content-type"] == "image/png"
    assert all(
        "default-src 'none'" in answer[1]["content-security-policy"] for answer in answers[:6]
    )


def test_the_run_comes_out_again_from_its_record(first_champion: Airflow) -> None:
    run_id = one(first_champion, "select id from run")
    before = rows(first_champion, COUNTS)
    again = reproduce_run(first_champion.settings, run_id)
    assert again.agrees, again.metrics
    assert again.same_label == again.scans > 0
    assert rows(first_champion, COUNTS) == before


def test_an_answer_is_traced_to_its_files_and_to_the_verdict(first_champion: Airflow) -> None:
    run_id, recipe, seed, verdicts, prediction = rows(
        first_champion,
        "select training_run, recipe, seed, verdicts, prediction from prediction_provenance "
        "order by prediction limit 1",
    )[0]
    assert (recipe, seed) == ("tiny", first_champion.settings.seed)
    assert verdicts == [run_id.replace("r-", "v-")]
    scans, files, drops = rows(
        first_champion,
        "select count(distinct d.scan), count(d.file), min(d.drop_name) "
        "from prediction_provenance p join run_data d on d.run = p.training_run "
        f"where p.prediction = {prediction}",
    )[0]
    assert (scans, drops) == (192, "synthetic") and files >= scans


def test_nothing_new_is_a_skipped_run(first_champion: Airflow) -> None:
    before = rows(first_champion, COUNTS)
    states = first_champion.run("retrain_champion", "again", task="four_class")
    assert states["run"] == "success"
    assert states["retrain.plan_run[0]"] == "skipped"
    assert states["retrain.train[0]"] == "skipped"
    assert rows(first_champion, COUNTS) == before


def test_an_empty_inbox_is_a_skipped_ingest(first_champion: Airflow) -> None:
    states = first_champion.run("ingest_scans", "empty")
    assert states["claim_drops[-1]"] == "success"
    assert one(first_champion, "select count(*) from batch") == 1


def test_a_forced_crippled_run_is_kept_out(first_champion: Airflow, tmp_path: Path) -> None:
    recipe = tmp_path / "crippled.toml"
    text_of = Path(__file__).with_name("tiny.toml").read_text()
    recipe.write_text(text_of.replace("0.002", "1e-7").replace('"tiny"', '"crippled"'))
    champion = one(first_champion, "select model_version_id from champion where until is null")
    states = first_champion.run(
        "retrain_champion", "forced", task="four_class", recipe=str(recipe), epochs=1, force=True
    )
    assert states["run"] == "success", states
    assert (
        one(first_champion, "select outcome from verdict order by created_at desc limit 1")
        == "kept"
    )
    assert (
        one(first_champion, "select model_version_id from champion where until is null") == champion
    )
    rules = rows(
        first_champion,
        "select rule, low, threshold from verdict_rule where verdict_id = "
        "(select id from verdict order by created_at desc limit 1) and rule = 'gain_f1_macro'",
    )
    assert len(rules) == 1 and None not in rules[0]


def test_the_champion_is_pinned_rolled_back_and_unpinned_with_reasons(
    first_champion: Airflow,
) -> None:
    loser = one(
        first_champion, "select challenger_id from verdict order by created_at desc limit 1"
    )
    for number, change in enumerate(("pin", "unpin", "rollback")):
        states = first_champion.run(
            "change_champion",
            f"change-{number}",
            task="four_class",
            change=change,
            model_version=loser if change == "pin" else None,
            reason=f"because of {change}",
        )
        assert states["run"] == "success", states
    story = rows(
        first_champion,
        "select change, why, pinned, until is null from champion_history order by since",
    )
    assert [tuple(row) for row in story[1:]] == [
        ("pin", "because of pin", True, False),
        ("unpin", "because of unpin", False, False),
        ("rollback", "because of rollback", False, True),
    ]


def test_a_run_goes_on_from_the_champion_and_its_answers_say_so(
    first_champion: Airflow, tmp_path: Path
) -> None:
    recipe = tmp_path / "warm.toml"
    cold = Path(__file__).with_name("tiny.toml").read_text().replace('"tiny"', '"warm"')
    warm = '[[warm_phases]]\nname = "more"\nepochs = 2\nlearning_rate = 1e-4\n'
    recipe.write_text(cold.replace("batch_size", "warm_start = true\nbatch_size") + "\n" + warm)
    champion = one(first_champion, "select model_version_id from champion where until is null")
    states = first_champion.run(
        "retrain_champion", "warm", task="four_class", recipe=str(recipe), force=True
    )
    assert states["run"] == "success", states
    run_id, went_on_from, asked = rows(
        first_champion, "select id, warm_start_id, epochs from run where recipe = 'warm'"
    )[0]
    assert (went_on_from, asked) == (champion, 2)
    epochs = rows(
        first_champion,
        f"select phase, accuracy from epoch where run_id = '{run_id}' order by epoch",
    )
    assert [phase for phase, _ in epochs] == ["more", "more"]
    assert epochs[0].accuracy > 0.5  # four classes, after one epoch
    traced = rows(
        first_champion,
        f"select distinct went_on_from from prediction_provenance where training_run = '{run_id}'",
    )
    assert traced == [(champion,)]
    assert reproduce_run(first_champion.settings, run_id).agrees


@pytest.mark.slow
@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_trains_for_both_tasks(
    name: str, task: Task, first_champion: Airflow, tmp_path: Path
) -> None:
    recipe = load_recipe(name)
    recipe = recipe.with_epochs(len(recipe.phases)).with_fields(
        input_size=64, weights="none", batch_normalization="adapt"
    )
    (tmp_path / "small.toml").write_text(recipe.text)
    states = first_champion.run(
        "retrain_champion", f"{name}-{task}", task=task, recipe=str(tmp_path / "small.toml")
    )
    assert states["run"] == "success", states
    (trained,) = rows(
        first_champion,
        "select (select count(*) from epoch p where p.run_id = r.id) as epochs, m.labels, "
        "(select count(*) from prediction p where p.model_version_id = m.id) as predictions, "
        "(select count(*) from artifact a where a.run_id = r.id and kind = 'heatmap') as heatmaps "
        "from run r join model_version m on m.run_id = r.id "
        f"where r.recipe = '{name}' and r.task = '{task}' and r.epochs = {recipe.epochs}",
    )
    assert (trained.epochs, trained.labels) == (recipe.epochs, list(LABELS[task]))
    assert trained.predictions > 20 and trained.heatmaps > 0


def test_unlabelled_scans_are_scored_once(first_champion: Airflow, tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    folder = tmp_path / "unlabelled"
    folder.mkdir()
    for number in range(3):
        pixels = generator.integers(0, 255, (90, 80), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    put_drop(first_champion.settings, folder, "unlabelled")
    assert first_champion.run("ingest_scans", "unlabelled")["run"] == "success"
    for attempt in range(2):
        states = first_champion.run("score_scans", f"score-{attempt}")
        assert states["run"] == "success", states
    found = rows(
        first_champion,
        "select heatmap_key from prediction where source = 'score'",
    )
    assert len(found) == 3
    assert all(object_store(first_champion.settings).exists(key) for (key,) in found)


@pytest.mark.parametrize(
    ("option", "why", "verdict"),
    [
        ("Reject", "too slow", ("kept", "rejected", "ann", "too slow")),
        ("silence", "", ("kept", "rejected", None, "nobody approved it within 0.001 hours")),
        ("Approve", "", ("promoted", "approved", "ann", None)),
    ],
)
def test_where_the_policy_asks_a_person_the_answer_decides(
    first_champion: Airflow,
    tmp_path: Path,
    option: str,
    why: str,
    verdict: tuple[str | None, ...],
) -> None:
    policy = tmp_path / "asks.toml"
    asks = "[approval]\nalways = true\nwhen_changed = true\ntimeout_hours = 0.001\n"
    lenient = first_champion.settings.promotion_policy.read_text()
    policy.write_text(re.sub(r"\[approval\][^\[]*", asks, lenient))
    airflow = replace(
        first_champion,
        environment={**first_champion.environment, "TUMORML_PROMOTION_POLICY": str(policy)},
    )
    with ThreadPoolExecutor(1) as pool:
        answered = pool.submit(airflow.python, str(ANSWER), option, why)
        states = airflow.run(
            "retrain_champion", option, task="binary", force=True, epochs=1, seed=len(option)
        )
        answered.result()
    assert states["run"] == "success", states
    assert states["retrain.record_approval[0]"] == states["retrain.report[0]"] == "success"
    found = rows(
        airflow,
        "select outcome, approval, approval_by, approval_why from verdict "
        "where task = 'binary' order by created_at desc limit 1",
    )
    assert tuple(found[0]) == verdict
    serving = rows(airflow, "select 1 from champion where task = 'binary' and until is null")
    assert bool(serving) == (verdict[0] == "promoted")
