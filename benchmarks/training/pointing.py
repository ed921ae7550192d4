"""Localization of heatmaps and accuracy, by the share of training scans with a mask.

Reads a data set with a manifest and masks (a folder or zip). Each patient fold is the test set
once, and the other folds are the training set. Folds are those of the manifest's column ``fold``
or, without it, two halves of the patients. ``--masked`` lists the shares of training scans that
keep their mask; test scans always keep theirs. For comparison, the recipe is also trained without
its evidence map, which is what the service builds if there are no masks. Each fold and share has a
home of its own under ``--home``. Running the command again continues where it was stopped.
"""

from __future__ import annotations

import argparse
import csv
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sqlalchemy import text
from train_once import ingest_set, train_once

from tumorml.datasets.snapshots import take_snapshot
from tumorml.explain.explain_run import explain_run
from tumorml.labels import Task
from tumorml.recipes.load_recipe import load_recipe
from tumorml.recipes.recipe import Recipe
from tumorml.results.migrate import migrate
from tumorml.results.server import results_store
from tumorml.results.session import read_session
from tumorml.settings import Settings

TASK = Task.FOUR_CLASS
COLUMNS = ("path", "label", "patient_id", "mask", "split")
METRICS = (
    "accuracy", "pointing_game", "pointing_game_fixed_pixel", "pointing_game_centred_blob",
    "energy_inside", "iou",
)  # fmt: skip
RESULTS = text("""
    select r.trigger, r.seed, e.metric, e.value, e.low, e.high
      from run r
      join model_version m on m.run_id = r.id
      join evaluation e on e.run_id = r.id and e.model_version_id = m.id
     where e.split = 'test' and e.slice = 'all' and e.metric = any(:metrics)
     order by r.created_at
""")


def read_set(path: Path, folder: Path) -> list[dict[str, str]]:
    """Read the manifest, with absolute paths and a fold in each row; a zip is unpacked once."""
    if path.is_file():
        if not folder.exists():
            shutil.unpack_archive(path, folder)
        path = folder
    with (path / "manifest.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    half = {patient: i % 2 for i, patient in enumerate(sorted({r["patient_id"] for r in rows}))}
    for row in rows:
        row.setdefault("fold", str(1 + half[row["patient_id"]]))
        row["path"] = str(path / row["path"])
        row["mask"] = str(path / row["mask"]) if row["mask"] else ""
    return rows


def write_drop(rows: list[dict[str, str]], tested: str, share: float, folder: Path) -> None:
    """Write a drop with one fold for testing and masks for a share of the training scans."""
    rng = np.random.default_rng(1)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        manifest = csv.DictWriter(file, COLUMNS)
        manifest.writeheader()
        for row in rows:
            split = "test" if row["fold"] == tested else "train"
            masked = row["mask"] and (split == "test" or rng.random() < share)
            written = {**{name: row[name] for name in COLUMNS[1:3]}, "split": split, "mask": ""}
            for column, name in (("path", "images"), ("mask", "masks")):
                if column == "path" or masked:
                    target = folder / name / Path(row[column]).name
                    shutil.copy(row[column], target)
                    written[column] = str(target.relative_to(folder))
            manifest.writerow(written)


def train(settings: Settings, recipe: Recipe, seed: int, trigger: str) -> None:
    """Train, evaluate and explain a run, unless that is done already."""
    path = settings.home / f"{trigger}.toml"
    path.write_text(recipe.text, encoding="utf-8")
    snapshot = take_snapshot(settings, TASK, given_split=True)
    run_id = train_once(settings, snapshot, task=TASK, trigger=trigger, recipe=str(path), seed=seed)
    explain_run(settings, run_id)


def rows_of(settings: Settings) -> Iterator[tuple[str, ...]]:
    """Yield the trigger, the seed and the metrics of each run of a home."""
    runs: dict[tuple[str, int], dict[str, Any]] = {}
    with read_session(settings) as session:
        for row in session.execute(RESULTS, {"metrics": list(METRICS)}):
            runs.setdefault((row.trigger, row.seed), {})[row.metric] = row
    for (trigger, seed), metrics in sorted(runs.items()):
        cells = (
            f"{found.value:.3f} ({found.low:.3f}-{found.high:.3f})" if found else ""
            for found in map(metrics.get, METRICS)
        )
        yield trigger, str(seed), *cells


def main() -> None:
    """Train missing runs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("set", type=Path, help="folder or zip with manifest.csv")
    parser.add_argument("--home", type=Path, default=Path("var/benchmark-pointing"))
    parser.add_argument("--recipe", default=Settings().default_recipe)
    parser.add_argument("--masked", nargs="+", type=float, default=[1.0, 0.2])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    options = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger("tumorml").setLevel(logging.INFO)
    recipe = load_recipe(options.recipe)
    rows = read_set(options.set, options.home.resolve() / "set")
    table = Table("tested", "masked", "evidence", "seed", *METRICS)
    for tested in sorted({row["fold"] for row in rows}):
        for share in options.masked:
            home = options.home.resolve() / f"fold-{tested}-masked-{share:g}"
            settings = Settings(home=home, settle_seconds=0, min_training_scans_per_label=0)
            if not (home / "drop").exists():
                write_drop(rows, tested, share, home / "drop")
            with results_store(settings) as started:
                if started:
                    migrate(settings)
                if not (home / "taken-in").exists():
                    ingest_set(settings, home / "drop")
                    (home / "taken-in").touch()
                for seed in options.seeds:
                    if recipe.evidence:
                        train(settings, recipe, seed, "map")
                    if share == max(options.masked):
                        train(settings, recipe.with_fields(evidence=None), seed, "none")
                for cells in rows_of(settings):
                    table.add_row(tested, f"{share:g}", *cells)
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
