"""Command `tune`: search for better hyperparameters of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tumorml.cli.console import Panel, TaskOption, console, progress_bar, results_store
from tumorml.errors import TumorMLError
from tumorml.labels import Task
from tumorml.settings import get_settings

app = typer.Typer()


@app.command(rich_help_panel=Panel.TRAINING)
def tune(
    recipe: Annotated[
        str, typer.Argument(help="Name of a packaged recipe, or path of a .toml file.")
    ],
    output: Annotated[Path, typer.Argument(help="Path of the new recipe, a .toml file.")],
    task: TaskOption = Task.FOUR_CLASS,
    trials: Annotated[
        int, typer.Option(min=1, help="Total trials of the study, earlier ones included.")
    ] = 20,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Epochs of each trial; the new recipe keeps its own number."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the training and of the search.")
    ] = None,
) -> None:
    """Search for better hyperparameters on validation scans; an interrupted search continues."""
    from tumorml.datasets.snapshots import take_snapshot
    from tumorml.recipes.find_weights import find_weights
    from tumorml.recipes.load_recipe import load_recipe
    from tumorml.training.tune import tune_recipe

    start = load_recipe(recipe)
    find_weights(start, get_settings().weights_folder)
    if output.suffix != ".toml" or output.exists() or not output.parent.is_dir():
        raise TumorMLError(
            f"{output} must be a new file that ends in .toml, in an existing folder."
        )
    with results_store() as settings, progress_bar(f"tune {start.name}") as set_progress:
        tuned = tune_recipe(
            settings,
            start,
            task,
            take_snapshot(settings, task),
            trials=trials,
            seed=settings.seed if seed is None else seed,
            epochs=epochs,
            on_trial=lambda finished: set_progress(finished, trials),
        )
    output.write_text(tuned.text, encoding="utf-8")
    console.print(
        f"{output}: validation log-loss {tuned.log_loss:.4f}, the best of {tuned.trials} trials"
        + (f"; the best values are those of {start.name}" if tuned.is_unchanged else "")
    )
