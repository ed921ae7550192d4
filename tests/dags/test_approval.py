"""Approval, rejection and timeout of a promotion that needs a person, by ``dag.test()``."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories.airflow import Airflow

pytestmark = pytest.mark.timeout(900)

ANSWER = Path(__file__).with_name("answer.py")


@pytest.mark.parametrize(
    ("option", "why", "expected"),
    [
        ("Reject", "too slow", ("kept", "rejected", "ann", "too slow")),
        ("silence", "", ("kept", "rejected", None, "nobody approved it within 0.001 hours")),
        ("Approve", "", ("promoted", "approved", "ann", None)),
    ],
)
def test_response_of_a_person_decides_the_promotion(
    first_champion: Airflow,
    tmp_path: Path,
    option: str,
    why: str,
    expected: tuple[str | None, ...],
) -> None:
    policy = tmp_path / "approval.toml"
    section = "[approval]\nalways = true\nwhen_changed = true\ntimeout_hours = 0.001\n"
    lenient = first_champion.settings.promotion_policy.read_text()
    policy.write_text(re.sub(r"\[approval\][^\[]*", section, lenient))
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
    verdict = airflow.rows(
        "select outcome, approval, approval_by, approval_why from verdict "
        "where task = 'binary' order by created_at desc limit 1",
    )
    assert tuple(verdict[0]) == expected
    serving = airflow.rows("select 1 from champion where task = 'binary' and until is null")
    assert bool(serving) == (expected[0] == "promoted")
