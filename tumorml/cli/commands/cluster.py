"""Commands that prepare a cluster: `prepare` and `init-env`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tumorml.cli.console import Panel, console
from tumorml.settings import get_settings

app = typer.Typer()


@app.command(rich_help_panel=Panel.CLUSTER)
def prepare() -> None:
    """Create roles, databases, schemas and pools of a cluster; `tumorml up` does not need it."""
    from tumorml.service.cluster.prepare import prepare as run

    run(get_settings(), console.print)


@app.command("init-env", rich_help_panel=Panel.CLUSTER)
def init_env(
    path: Annotated[Path, typer.Argument(help="File to create.")] = Path(".env"),
    gpu: Annotated[bool, typer.Option("--gpu", help="Train on this machine's NVIDIA GPU.")] = False,
) -> None:
    """Write a .env file with new random secrets for the docker-compose stack."""
    from tumorml.service.cluster.env_file import write_env_file

    write_env_file(path, gpu=gpu)
    console.print(
        f"{path} contains the secrets of a new stack; only you can read it. Start the stack with\n"
        "  docker compose up --detach --build\n"
        "and sign in to Airflow at http://127.0.0.1:8080 as admin with AIRFLOW_ADMIN_PASSWORD",
        soft_wrap=True,
    )
