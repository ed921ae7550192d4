"""Parameters, training time and test metrics of each recipe.

Ingests a data set (a folder, zip or tar) into a home of its own and trains the recipes there, on
the service's own split or, with ``--given-split``, on the split of the data set. The test accuracy
on a given split is also printed without the test scans that have a twin among the training scans.

Running the command again continues where it was stopped. A recipe whose published weights are not
on this machine is trained from random weights; the column ``weights`` of the table shows it.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import text
from train_once import ingest_set, train_once

from tumorml.datasets.snapshots import take_snapshot
from tumorml.errors import TumorMLError
from tumorml.labels import Task
from tumorml.recipes.find_weights import find_weights
from tumorml.recipes.load_recipe import load_recipe, recipe_names
from tumorml.results.migrate import migrate
from tumorml.results.server import results_store
from tumorml.results.session import read_session
from tumorml.settings import Settings

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


def trainable_recipe(settings: Settings, name: str) -> str:
    """Return the recipe's name, or a copy's path if its weights are not on this machine.

    The copy is a recipe file that starts from random weights.

    Raises:
        TumorMLError: The file of weights on this machine differs from the published one.
    """
    recipe = load_recipe(name)
    try:
        find_weights(recipe, settings.weights_folder)
    except TumorMLError as error:
        if "is not on this machine" not in str(error):
            raise
        path = settings.home / f"{recipe.name}.toml"
        # Random weights have no trained batch statistics, so they cannot be frozen.
        untrained = recipe.with_fields(weights="none", batch_normalization="adapt")
        path.write_text(untrained.text, encoding="utf-8")
        return str(path)
    return name


def train(
    settings: Settings, name: str, task: Task, seed: int, *, epochs: int | None, given_split: bool
) -> None:
    """Train and evaluate a recipe, unless that is done already."""
    snapshot = take_snapshot(settings, task, given_split=given_split)
    recipe = trainable_recipe(settings, name)
    train_once(
        settings, snapshot, task=task, trigger="benchmark", recipe=recipe, epochs=epochs, seed=seed
    )


def print_runs(settings: Settings) -> None:
    """Print a table of all runs of this home."""
    table = Table(
        "recipe", "task", "split", "seed", "weights", "parameters", "epochs", "s/epoch", "minutes",
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
    """Train missing runs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "set", type=Path, nargs="?", help="folder, zip or tar; without it, only print the table"
    )
    parser.add_argument("--home", type=Path, default=Path("var/benchmark-recipes"))
    parser.add_argument("--recipes", nargs="+", default=recipe_names())
    parser.add_argument("--tasks", nargs="+", type=Task, default=list(Task))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--epochs", type=int, help="replaces each recipe's own number")
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
            ingest_set(settings, options.set)
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
        print_runs(settings)


if __name__ == "__main__":
    main()
