"""Commands that predict with the champions: `score`, `serve`, `ui`."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress

import typer

from tumorml.cli.console import Panel, TaskOption, console, results_store
from tumorml.errors import TumorMLError
from tumorml.labels import Task

app = typer.Typer()


@app.command(rich_help_panel=Panel.SERVING)
def score(task: TaskOption = Task.FOUR_CLASS) -> None:
    """Predict every unlabeled scan with the champion, without Airflow."""
    from tumorml.serving.score_scans import score_scans

    with results_store() as settings:
        console.print(f"{score_scans(settings, task)} scans scored")


@app.command(rich_help_panel=Panel.SERVING)
def serve() -> None:
    """Run the HTTP API of the champions; `tumorml up` runs it too."""
    from tumorml.service.local.port import require_free_port
    from tumorml.serving.api.api_keys import require_safe_address
    from tumorml.serving.api.serve import serve as start

    with results_store() as settings:
        require_safe_address(settings)
        require_free_port(settings.api_port, "TUMORML_API_PORT", "API", settings.api_host)
        console.print(f"the API is at {settings.api_url} (try /docs); Ctrl-C stops it")
        start(settings)


@app.command(rich_help_panel=Panel.SERVING)
def ui() -> None:
    """Run the web UI; predictions need the API (`tumorml serve` or `tumorml up`)."""
    from tumorml.serving.ui.command import ui_command

    # SIGTERM stops the UI as Ctrl-C does: with a KeyboardInterrupt.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with results_store() as settings, suppress(KeyboardInterrupt):
        console.print(f"the web UI is at {settings.ui_url}; Ctrl-C stops it")
        exit_code = subprocess.run(ui_command(settings), check=False).returncode
        if exit_code:
            raise TumorMLError(
                f"The web UI ended with exit code {exit_code}; if port {settings.ui_port} is in "
                "use, set TUMORML_UI_PORT."
            )
