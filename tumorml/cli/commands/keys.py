"""Commands for the keys of the API: `key add`, `key revoke`, `key list`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from tumorml.cli.console import console, print_query, results_store

app = typer.Typer(help="Manage the keys of the API.", no_args_is_help=True)


@app.command("add")
def add_key(
    name: Annotated[
        str, typer.Argument(help="Name of the key; recorded with each prediction as its caller.")
    ],
    role: Annotated[
        str, typer.Option(help="reader: GET endpoints only; writer: may also request predictions.")
    ],
) -> None:
    """Create a key and print it; it is shown only once."""
    from tumorml.serving.api.api_keys import add_key as add

    with results_store() as settings:
        secret = add(settings, name, role)
        if role == "writer":
            console.print("from now on the web UI needs a key too: set TUMORML_UI_API_KEY")
        console.print(
            f"send the key in the header X-API-Key; only its hash is stored:\n{secret}",
            soft_wrap=True,
        )


@app.command("revoke")
def revoke_key(name: Annotated[str, typer.Argument(help="Name of the key.")]) -> None:
    """Revoke a key; the API rejects it within seconds."""
    from tumorml.serving.api.api_keys import revoke_key as revoke

    with results_store() as settings:
        revoke(settings, name)
        console.print(f"the API rejects the key {escape(name)} within seconds")


@app.command("list")
def list_keys() -> None:
    """List all keys, revoked ones included."""
    with results_store() as settings:
        print_query(
            settings, "select name, role, created_at, revoked_at from api_key order by name"
        )
