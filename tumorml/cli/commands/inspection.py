"""Commands that show the state of the service: `status`, `sql`, `recipes`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from tumorml.cli.console import Panel, console, print_query, results_store
from tumorml.errors import TumorMLError
from tumorml.settings import get_settings

app = typer.Typer()

_STATUS_QUERIES = {
    "champions": (
        "select task, model_version, since, change, recipe, "
        "round(cast(f1_macro_when_trained as numeric), 4) as f1_macro "
        "from champion_history where until is null"
    ),
    "latest runs": (
        "select run, task, recipe, state, epochs_done || '/' || epochs as "
        "epochs, round(cast(accuracy as numeric), 4) as accuracy, verdict, created_at "
        "from run_summary order by created_at desc limit 5"
    ),
    "waiting for approval (tumorml approve)": (
        "select id as verdict, run_id as run, task, challenger_id as challenger, "
        "approval_reason, created_at from verdict "
        "where approval = 'waiting' order by created_at"
    ),
    "latest batches": (
        "select batch, state, files, taken_in, duplicates, refused "
        "from batch_summary order by claimed_at desc limit 5"
    ),
}


@app.command(rich_help_panel=Panel.INSPECTION)
def status() -> None:
    """Show waiting drops, champions, and the latest runs and batches."""
    from tumorml.scans.inbox.drops import waiting_drops

    with results_store() as settings:
        for drop in waiting_drops(settings):
            state = "complete" if drop.complete else "still changing"
            console.print(f"inbox: {drop.name}, {drop.files} files, {state}")
        for title, query in _STATUS_QUERIES.items():
            console.print(f"\n[bold]{title}[/]")
            print_query(settings, query)


@app.command(rich_help_panel=Panel.INSPECTION)
def sql(
    query: Annotated[str, typer.Argument(help="One SQL query.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
) -> None:
    """Query the results store as the read-only role."""
    with results_store() as settings:
        # A colon in a user's query is a cast or a time, never a bind parameter.
        print_query(settings, query.replace(":", r"\:"), as_csv=as_csv)


@app.command(rich_help_panel=Panel.INSPECTION)
def recipes() -> None:
    """List the packaged recipes."""
    from tumorml.recipes.find_weights import find_weights
    from tumorml.recipes.load_recipe import load_recipe, recipe_names

    table = Table("recipe", "input", "epochs", "weights", "description")
    for name in recipe_names():
        recipe = load_recipe(name)
        weights = recipe.weights
        try:
            find_weights(recipe, get_settings().weights_folder)
        except TumorMLError:
            weights += ", missing"
        size, epochs = f"{recipe.input_size} px", str(recipe.epochs)
        table.add_row(name, size, epochs, weights, recipe.description)
    console.print(table)
    console.print("docs/reference/recipes.md explains every key, and how to get missing weights")
