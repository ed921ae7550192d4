"""What each recipe reaches: parameters, time and test metrics.

On the service's own split or, with ``--given-split``, on the one that a set came with: as given,
and without the test scans that have a twin in training.

Takes a set (a folder, zip or tar) into a home of its own and trains there. It can be stopped: the
same command goes on, and what has been trained is not trained again. A recipe whose published
weights are not on this machine is trained from random weights, and the table says so.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from tumorml.datasets.snapshots import take_snapshot
from tumorml.errors import TumorMLError
from tumorml.evaluation.evaluate_run import evaluate_run
from tumorml.labels import Task
from tumorml.recipes.find_weights import find_weights
from tumorml.recipes.load_recipe import load_recipe, recipe_names
from tumorml.results.migrate import migrate
from tumorml.results.server import results_store
from tumorml.results.session import read_session
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.ingest.finish_batch import ingest_batch
from tumorml.scans.ingest.put_drop import put_drop
from tumorml.settings import Settings
from tumorml.training.plan_run import plan_run
from tumorml.training.train_run import train_run

RESULTS = text("""
    select r.recipe, r.task, r.given_split, r.seed, r.weights_sha256, m.parameters,
           (select count(*) from epoch p where p.run_id = r.id) as epochs,
           (select percentile_cont(0.5) within group (order by seconds)
              from epoch p where p.run_id = r.id) as seconds,
           (select sum(seconds) / 60 from epoch p where p.run_id = r.id) as minutes,
           (select jsonb_object_agg(e.split || ' ' || e.metric, e.value) from evaluation e
             where e.run_id = r.id and e.model_version_id = m.id and e.slice = 'all') as metrics
    from run r join model_version m on m.run_id = r.id
    where r.trigger = 'benchmark'
    order by r.given_split, r.task, r.recipe, r.seed
""")


def take_in(settings: Settings, path: Path) -> None:
    """Take a set into the store, once."""
    put_drop(settings, path, path.stem)
    for batch_id in claim_drops(settings):
        ingest_batch(settings, batch_id)


def trainable(settings: Settings, name: str) -> str:
    """The recipe's name, or the path of a copy that starts from random weights.

    Raises:
        TumorMLError: the file of its weights is not the published one.
    """
    recipe = load_recipe(name)
    try:
        find_weights(recipe, settings.weights_folder)
    except TumorMLError as error:
        if "is not on this machine" not in str(error):
            raise
        path = settings.home / f"{recipe.name}.toml"
        # There are no statistics to keep, either.
        random = recipe.with_fields(weights="none", batch_normalization="adapt")
        path.write_text(random.text, encoding="utf-8")
        return str(path)
    return name


def trained(settings: Settings, snapshot: str, **plan: Any) -> str:
    """The id of a planned run, trained and evaluated where that has not been done."""
    run_id = plan_run(settings, snapshot, force=True, **plan).run_id
    assert run_id is not None
    train_run(settings, run_id)
    evaluate_run(settings, run_id)
    return run_id


def train(
    settings: Settings, name: str, task: Task, seed: int, *, epochs: int | None, given_split: bool
) -> None:
    """Train and evaluate, where that has not been done."""
    snapshot = take_snapshot(settings, task, given_split=given_split)
    recipe = trainable(settings, name)
    trained(
        settings, snapshot, task=task, trigger="benchmark", recipe=recipe, epochs=epochs, seed=seed
    )


def show(settings: Settings) -> None:
    """Print all that this home has trained."""
    table = Table(
        "recipe", "task", "split", "seed", "from", "weights", "epochs", "s/epoch", "minutes",
        "accuracy", "macro F1", "accuracy without twins",
    )  # fmt: skip
    with read_session(settings) as session:
        rows = session.execute(RESULTS).all()
    for row in rows:
        metrics = row.metrics or {}
        keys = ("test accuracy", "test f1_macro", "test_without_twins accuracy")
        table.add_row(
            row.recipe,
            row.task,
            "given" if row.given_split else "own",
            str(row.seed),
            "ImageNet" if row.weights_sha256 else "random",
            f"{row.parameters:,}",
            str(row.epochs),
            f"{row.seconds:.1f}",
            f"{row.minutes:.1f}",
            *(f"{metrics[key]:.4f}" if key in metrics else "" for key in keys),
        )
    Console(width=160).print(table)


def main() -> None:
    """Train what is missing, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("set", type=Path, nargs="?", help="a folder, zip or tar; none: only print")
    parser.add_argument("--home", type=Path, default=Path("var/benchmark-recipes"))
    parser.add_argument("--recipes", nargs="+", default=recipe_names())
    parser.add_argument("--tasks", nargs="+", type=Task, default=list(Task))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--epochs", type=int, help="in place of each recipe's own")
    parser.add_argument("--given-split", action="store_true")
    options = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger("tumorml").setLevel(logging.INFO)
    settings = Settings(home=options.home.resolve(), settle_seconds=0)
    settings.home.mkdir(parents=True, exist_ok=True)
    with results_store(settings) as started:
        if started:
            migrate(settings)
        if options.set is not None and not (settings.home / "taken-in").exists():
            take_in(settings, options.set)
            (settings.home / "taken-in").touch()
        if options.set is not None:
            for name in options.recipes:
                for task in options.tasks:
                    for seed in options.seeds:
                        train(
                            settings,
                            name,
                            task,
                            seed,
                            epochs=options.epochs,
                            given_split=options.given_split,
                        )
        show(settings)


if __name__ == "__main__":
    main()
