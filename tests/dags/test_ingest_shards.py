"""Ingest of several drops in shards, by ``dag.test()`` on a real Airflow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.factories.airflow import Airflow
from tests.factories.drop_files import files_of, png, write_files, write_zip
from tumorml.objects import object_store
from tumorml.results.session import read_session
from tumorml.results.tables import Batch
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.ingest.plan_shards import plan_batch
from tumorml.scans.ingest.put_drop import put_drop

pytestmark = pytest.mark.timeout(900)


def state(airflow: Airflow, batch_id: str) -> str:
    with read_session(airflow.settings) as session:
        return session.get_one(Batch, batch_id).state


def test_damaged_shard_fails_its_batch_only_until_it_is_restored(
    airflow: Airflow, tmp_path: Path
) -> None:
    settings = airflow.settings.model_copy(update={"ingest_shard_files": 4})
    sharded = replace(
        airflow, environment={**airflow.environment, "TUMORML_INGEST_SHARD_FILES": "4"}
    )
    files = {f"glioma/{number}.png": png(9_000 + number) for number in range(10)}
    put_drop(settings, write_files(tmp_path / "damaged", files))
    others = {f"no/{number}.png": png(9_100 + number) for number in range(6)}
    put_drop(settings, write_zip(tmp_path / "sound.zip", others))
    damaged, sound = claim_drops(settings)
    assert plan_batch(settings, damaged).shards == 3
    store = object_store(settings)
    work = f"claims/{damaged}/work-0002.json.gz"
    kept = store.read(work)
    store.remove(work)

    states = sharded.run("ingest_scans", "damaged")
    read = [states[f"read_shard[{index}]"] for index in range(5)]
    assert sorted(read) == ["failed", *["success"] * 4]
    finished = [states[f"finish_batch[{index}]"] for index in range(2)]
    assert sorted(finished) == ["failed", "success"]
    assert states["assign_groups[-1]"] == "success"
    assert states["every_batch_is_in[-1]"] == "upstream_failed"
    assert states["run"] == "failed"
    assert (state(airflow, damaged), state(airflow, sound)) == ("waiting", "ingested")
    assert shard_names(airflow, "damaged") == {
        "read_shard": {f"{sound} 1/2", f"{sound} 2/2"} | {f"{damaged} {n}/3" for n in (1, 2, 3)},
        "finish_batch": {sound, damaged},
    }

    store.write(work, kept)
    states = sharded.run("ingest_scans", "healed")
    assert states["run"] == "success", states
    assert state(airflow, damaged) == "ingested"
    assert len(files_of(settings, damaged)) == 10
    with read_session(settings) as session:
        without_group = text(
            "select count(*) from scan s left join scan_group g on g.scan_id = s.id "
            "left join fingerprint f on f.scan_id = s.id "
            "where g.scan_id is null or f.scan_id is null"
        )
        assert session.scalar(without_group) == 0


def shard_names(airflow: Airflow, run_id: str) -> dict[str, set[str]]:
    """Return the names of the mapped tasks of the last run, as the Airflow UI shows them."""
    engine = create_engine(airflow.database_url)
    query = text(
        "select t.task_id, t.rendered_map_index from task_instance t join dag_run r "
        "on r.dag_id = t.dag_id and r.run_id = t.run_id where t.dag_id = 'ingest_scans' "
        "and t.task_id in ('read_shard', 'finish_batch') and t.map_index >= 0 "
        "and r.id = (select max(id) from dag_run where dag_id = 'ingest_scans')"
    )
    names: dict[str, set[str]] = {}
    with engine.connect() as connection:
        for task_id, name in connection.execute(query):
            names.setdefault(task_id, set()).add(name)
    engine.dispose()
    return names
