"""A run that continues from the champion's weights, and every shipped recipe, by ``dag.test()``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.factories.airflow import Airflow
from tumorml.evaluation.reproduce_run import reproduce_run
from tumorml.labels import LABELS, Task
from tumorml.recipes.load_recipe import load_recipe, recipe_names

pytestmark = pytest.mark.timeout(900)


def test_warm_start_continues_from_the_champion(first_champion: Airflow, tmp_path: Path) -> None:
    recipe = tmp_path / "warm.toml"
    cold = Path(__file__).with_name("tiny.toml").read_text().replace('"tiny"', '"warm"')
    warm = '[[warm_phases]]\nname = "more"\nepochs = 2\nlearning_rate = 1e-4\n'
    recipe.write_text(cold.replace("batch_size", "warm_start = true\nbatch_size") + "\n" + warm)
    champion = first_champion.value("select model_version_id from champion where until is null")
    states = first_champion.run(
        "retrain_champion", "warm", task="four_class", recipe=str(recipe), force=True
    )
    assert states["run"] == "success", states
    run_id, warm_start, planned_epochs = first_champion.rows(
        "select id, warm_start_id, epochs from run where recipe = 'warm'"
    )[0]
    assert (warm_start, planned_epochs) == (champion, 2)
    epochs = first_champion.rows(
        f"select phase, accuracy from epoch where run_id = '{run_id}' order by epoch",
    )
    assert [phase for phase, _ in epochs] == ["more", "more"]
    assert epochs[0].accuracy > 0.5  # of four classes, after one epoch
    traced = first_champion.rows(
        f"select distinct went_on_from from prediction_provenance where training_run = '{run_id}'",
    )
    assert traced == [(champion,)]
    assert reproduce_run(first_champion.settings, run_id).agrees


@pytest.mark.slow
@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("name", recipe_names())
def test_recipe_trains_for_task(
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
    (trained,) = first_champion.rows(
        "select (select count(*) from epoch p where p.run_id = r.id) as epochs, m.labels, "
        "(select count(*) from prediction p where p.model_version_id = m.id) as predictions, "
        "(select count(*) from artifact a where a.run_id = r.id and kind = 'heatmap') as heatmaps "
        "from run r join model_version m on m.run_id = r.id "
        f"where r.recipe = '{name}' and r.task = '{task}' and r.epochs = {recipe.epochs}",
    )
    assert (trained.epochs, trained.labels) == (recipe.epochs, list(LABELS[task]))
    assert trained.predictions > 20 and trained.heatmaps > 0
