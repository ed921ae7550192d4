"""Warm start from the champion, compared with training from scratch, after a small new drop.

Ingests a data set (a folder, zip or tar with one folder per label) without ``--new`` of its files
into a home of its own, trains a first champion, ingests the rest, and trains the recipe twice: from
scratch and with ``warm_start``. Prints training seconds and test metrics of the three runs. The
first champion is tested on the test set without the new files. Running the command again continues
where it was stopped.
"""

from __future__ import annotations

import argparse
import logging
import shutil
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from sqlalchemy import text
from train_once import ingest_set, train_once

from tumorml.datasets.snapshots import take_snapshot
from tumorml.labels import Task
from tumorml.promotion.judge_run import judge_run
from tumorml.promotion.promote import promote
from tumorml.recipes.load_recipe import load_recipe
from tumorml.recipes.recipe import Recipe
from tumorml.recipes.sections import Phase
from tumorml.results.migrate import migrate
from tumorml.results.server import results_store
from tumorml.results.session import read_session
from tumorml.settings import Settings

IMAGES = {".jpg", ".jpeg", ".png"}
TASK = Task.FOUR_CLASS
RESULTS = text("""
    select r.trigger, count(p.epoch), sum(p.seconds),
           (select jsonb_object_agg(e.metric, round(e.value::numeric, 4)) from evaluation e
             where e.run_id = r.id and e.slice = 'all' and e.split = 'test' and
                   e.model_version_id = (select id from model_version m where m.run_id = r.id))
    from run r join epoch p on p.run_id = r.id
    group by r.id order by r.created_at
""")


def write_drops(path: Path, folder: Path, new: int) -> None:
    """Split the files at random into two drops: `new` files, and all others.

    Args:
        path: Folder, zip or tar of the data set.
        folder: Folder that gets the drops ``old`` and ``new``.
        new: Number of files in the new drop.
    """
    part = folder.with_name("part")
    shutil.rmtree(part, ignore_errors=True)
    if path.is_file():
        shutil.unpack_archive(path, part / "all")
    else:
        shutil.copytree(path, part / "all")
    files = sorted(file for file in (part / "all").rglob("*") if file.suffix.lower() in IMAGES)
    new_numbers = set(np.random.default_rng(1).permutation(len(files))[:new].tolist())
    for number, file in enumerate(files):
        target = part / ("new" if number in new_numbers else "old") / file.relative_to(part / "all")
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
    part.rename(folder)


def train(settings: Settings, trigger: str, recipe: Recipe) -> None:
    """Train and evaluate a run and promote the first champion, unless that is done already."""
    path = settings.home / f"{trigger}.toml"
    path.write_text(recipe.text, encoding="utf-8")
    snapshot = take_snapshot(settings, TASK)
    run_id = train_once(settings, snapshot, task=TASK, trigger=trigger, recipe=str(path))
    if trigger == "champion":
        outcome = promote(settings, judge_run(settings, run_id), who="benchmark")
        if outcome != "promoted":
            raise SystemExit(
                f"The first model was {outcome}, not promoted: there is no champion to start from."
            )


def main() -> None:
    """Train missing runs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("set", type=Path, help="folder, zip or tar of a data set")
    parser.add_argument("--home", type=Path, default=Path("var/benchmark-nightly"))
    parser.add_argument("--new", type=int, default=200, help="number of files in the last drop")
    parser.add_argument("--recipe", default=Settings().default_recipe)
    parser.add_argument("--epochs", type=int, default=2, help="epochs of the warm start")
    parser.add_argument(
        "--learning-rate", type=float, default=2e-4, help="learning rate of the warm start"
    )
    options = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger("tumorml").setLevel(logging.INFO)
    settings = Settings(home=options.home.resolve(), settle_seconds=0)
    drops = settings.home / "drops"
    if not drops.exists():
        write_drops(options.set, drops, options.new)
    scratch = load_recipe(options.recipe)
    warm_phase = Phase(
        name="more", epochs=options.epochs, learning_rate=options.learning_rate, schedule="cosine"
    )
    warm = scratch.with_fields(warm_start=True, warm_phases=(warm_phase,))
    with results_store(settings) as started:
        if started:
            migrate(settings)
        for trigger, recipe, drop in (
            ("champion", scratch, "old"),
            ("from scratch", scratch, "new"),
            ("warm start", warm, None),
        ):
            if drop and not (drops / f"{drop} is in").exists():
                ingest_set(settings, drops / drop)
                (drops / f"{drop} is in").touch()
            train(settings, trigger, recipe)
        table = Table("run", "epochs", "seconds", "accuracy", "macro F1", "ROC-AUC", "log-loss")
        with read_session(settings) as session:
            for trigger, epochs, seconds, metrics in session.execute(RESULTS):
                names = ("accuracy", "f1_macro", "roc_auc_macro", "log_loss")
                values = (str(metrics.get(name)) for name in names)
                table.add_row(trigger, str(epochs), f"{seconds:.0f}", *values)
        Console(width=120).print(table)


if __name__ == "__main__":
    main()
