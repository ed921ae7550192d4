"""A usual night: a few new scans on many. Going on from the champion against training from scratch.

Takes a set (a folder, zip or tar that is labelled by folders) but for ``--new`` of its files into a
home of its own, trains a first champion, takes in the rest, and trains the recipe twice: from
scratch, and with ``warm_start``. Prints seconds and test metrics of the three; the champion's test
set is that of the day before. It can be stopped: the same command goes on.
"""

from __future__ import annotations

import argparse
import logging
import shutil
from pathlib import Path

import numpy as np
from recipes import take_in, trained
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

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
    """All files but some, and those, as two drops."""
    part = folder.with_name("part")
    shutil.rmtree(part, ignore_errors=True)
    if path.is_file():
        shutil.unpack_archive(path, part / "all")
    else:
        shutil.copytree(path, part / "all")
    files = sorted(file for file in (part / "all").rglob("*") if file.suffix.lower() in IMAGES)
    chosen = set(np.random.default_rng(1).permutation(len(files))[:new].tolist())
    for number, file in enumerate(files):
        target = part / ("new" if number in chosen else "old") / file.relative_to(part / "all")
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
    part.rename(folder)


def night(settings: Settings, trigger: str, recipe: Recipe) -> None:
    """Train, evaluate, judge and promote, where that has not been done."""
    path = settings.home / f"{trigger}.toml"
    path.write_text(recipe.text, encoding="utf-8")
    snapshot = take_snapshot(settings, TASK)
    run_id = trained(settings, snapshot, task=TASK, trigger=trigger, recipe=str(path))
    if trigger == "champion":
        outcome = promote(settings, judge_run(settings, run_id), who="benchmark")
        if outcome != "promoted":
            raise SystemExit(f"The first model was {outcome}: there is no champion to go on from.")


def main() -> None:
    """Train what is missing, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("set", type=Path, help="a folder, zip or tar")
    parser.add_argument("--home", type=Path, default=Path("var/benchmark-nightly"))
    parser.add_argument("--new", type=int, default=200, help="files of the last drop")
    parser.add_argument("--recipe", default=Settings().default_recipe)
    parser.add_argument("--epochs", type=int, default=2, help="of the warm start")
    parser.add_argument("--learning-rate", type=float, default=2e-4, help="of the warm start")
    options = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger("tumorml").setLevel(logging.INFO)
    settings = Settings(home=options.home.resolve(), settle_seconds=0)
    drops = settings.home / "drops"
    if not drops.exists():
        write_drops(options.set, drops, options.new)
    scratch = load_recipe(options.recipe)
    more = Phase(
        name="more", epochs=options.epochs, learning_rate=options.learning_rate, schedule="cosine"
    )
    warm = scratch.with_fields(warm_start=True, warm_phases=(more,))
    with results_store(settings) as started:
        if started:
            migrate(settings)
        for trigger, recipe, drop in (
            ("champion", scratch, "old"),
            ("from scratch", scratch, "new"),
            ("warm start", warm, None),
        ):
            if drop and not (drops / f"{drop} is in").exists():
                take_in(settings, drops / drop)
                (drops / f"{drop} is in").touch()
            night(settings, trigger, recipe)
        table = Table("run", "epochs", "seconds", "accuracy", "macro F1", "ROC-AUC", "log-loss")
        with read_session(settings) as session:
            for trigger, epochs, seconds, metrics in session.execute(RESULTS):
                names = ("accuracy", "f1_macro", "roc_auc_macro", "log_loss")
                values = (str(metrics.get(name)) for name in names)
                table.add_row(trigger, str(epochs), f"{seconds:.0f}", *values)
        Console(width=120).print(table)


if __name__ == "__main__":
    main()
