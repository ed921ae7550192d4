"""The hyperparameter search resumes and uses validation scans only."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tumorml.datasets.snapshots import take_snapshot
from tumorml.demo.drop import write_demo_drop
from tumorml.errors import DivergedTrainingError, TumorMLError
from tumorml.labels import Task
from tumorml.recipes.load_recipe import load_recipe, recipe_from_text
from tumorml.recipes.recipe import Recipe
from tumorml.results.session import write_session
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.ingest.finish_batch import ingest_batch
from tumorml.scans.ingest.put_drop import put_drop
from tumorml.settings import PROJECT_ROOT, Settings
from tumorml.training import tune
from tumorml.training.train_model import train_model
from tumorml.training.tune import TuningResult, tune_recipe

TASK = Task.FOUR_CLASS


@pytest.fixture
def settings_with_scans(settings: Settings, tmp_path: Path) -> Settings:
    write_demo_drop(tmp_path / "drop", patients_per_label=16, slices_per_patient=1)
    put_drop(settings, tmp_path / "drop", "drop")
    for batch_id in claim_drops(settings):
        ingest_batch(settings, batch_id)
    return settings


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe(str(PROJECT_ROOT / "tests" / "dags" / "tiny.toml"))


def search(
    settings: Settings, recipe: Recipe, trials: int, epochs: int | None = 2
) -> tuple[TuningResult, list[int]]:
    finished_counts: list[int] = []
    tuned = tune_recipe(
        settings,
        recipe,
        TASK,
        take_snapshot(settings, TASK),
        trials=trials,
        seed=1,
        epochs=epochs,
        on_trial=finished_counts.append,
    )
    return tuned, finished_counts


def test_stopped_study_resumes_and_writes_a_recipe(
    settings_with_scans: Settings, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[Recipe] = []

    def record_variant(settings: Settings, variant: Recipe, *rest: Any, **options: Any) -> Any:
        assert all(entry.split != "test" for entry in rest[1])
        trained.append(variant)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return train_model(settings, variant, *rest, **options)

    monkeypatch.setattr(tune, "train_model", record_variant)
    with pytest.raises(KeyboardInterrupt):
        search(settings_with_scans, recipe, trials=4)
    assert len(trained) == 3
    tuned, finished_counts = search(settings_with_scans, recipe, trials=4)
    assert trained[3].digest == trained[2].digest, "the interrupted trial comes first"
    assert len(trained) == 5
    assert (tuned.trials, finished_counts) == (4, [3, 4])
    assert trained[0].digest == recipe.with_epochs(2).digest, "the recipe itself is the first trial"
    assert len({variant.digest for variant in trained}) == 4, "no other variant is tried twice"
    found = recipe_from_text(tuned.text)
    assert found.name == "tiny-tuned"
    assert (found.network, found.epochs) == (recipe.network, recipe.epochs)
    assert f"log-loss {tuned.log_loss:.4f} on validation" in tuned.text
    with write_session(settings_with_scans) as session:
        states = session.execute(text("select state::text from tuning.trials")).scalars()
        assert sorted(states).count("COMPLETE") + 1 >= 4
    again, finished_counts = search(settings_with_scans, recipe, trials=4)
    assert (again, finished_counts) == (tuned, [])
    assert not list((settings_with_scans.home / "tuning").glob("*"))


def test_diverging_trial_is_pruned_and_other_errors_raise(
    settings_with_scans: Settings, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: Counter[str] = Counter()

    def fail(_settings: Settings, variant: Recipe, *_: object, **__: object) -> None:
        tries[variant.digest] += 1
        raise error

    monkeypatch.setattr(tune, "train_model", fail)
    error: TumorMLError = DivergedTrainingError("loss nan")
    with pytest.raises(TumorMLError, match=r"All 2 trials .* were pruned"):
        search(settings_with_scans, recipe, trials=2)
    tries.clear()
    error = TumorMLError("no weights")
    for _ in range(5):
        with pytest.raises(TumorMLError, match="no weights"):
            search(settings_with_scans, recipe, trials=3)
    assert sorted(tries.values()) == [2, 3], "a failing trial must not block the search"
