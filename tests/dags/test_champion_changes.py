"""A rejected challenger, and manual changes of the champion, by ``dag.test()``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.factories.airflow import Airflow

pytestmark = pytest.mark.timeout(900)

CHAMPION = "select model_version_id from champion where until is null"
NEWEST_VERDICT = "verdict order by created_at desc limit 1"


def test_losing_challenger_is_kept_out_and_can_be_pinned(
    first_champion: Airflow, tmp_path: Path
) -> None:
    recipe = tmp_path / "crippled.toml"
    tiny = Path(__file__).with_name("tiny.toml").read_text()
    recipe.write_text(tiny.replace("0.002", "1e-7").replace('"tiny"', '"crippled"'))
    champion = first_champion.value(CHAMPION)
    states = first_champion.run(
        "retrain_champion", "forced", task="four_class", recipe=str(recipe), epochs=1, force=True
    )
    assert states["run"] == "success", states
    assert first_champion.value(f"select outcome from {NEWEST_VERDICT}") == "kept"
    assert first_champion.value(CHAMPION) == champion
    rules = first_champion.rows(
        "select low, threshold from verdict_rule where rule = 'gain_f1_macro' and verdict_id = "
        f"(select id from {NEWEST_VERDICT})",
    )
    assert len(rules) == 1 and None not in rules[0]

    loser = first_champion.value(f"select challenger_id from {NEWEST_VERDICT}")
    serving = []
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
        serving.append(first_champion.value(CHAMPION))
    assert serving == [loser, loser, champion]
    history = first_champion.rows(
        "select change, why, pinned, until is null from champion_history order by since",
    )
    assert [tuple(row) for row in history[1:]] == [
        ("pin", "because of pin", True, False),
        ("unpin", "because of unpin", False, False),
        ("rollback", "because of rollback", False, True),
    ]
