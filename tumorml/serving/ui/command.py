"""The command line that starts the web UI."""

from __future__ import annotations

import sys
from pathlib import Path

from tumorml.settings import Settings

_MEGABYTE = 1024**2


def ui_command(settings: Settings) -> list[str]:
    """Return the command line of the web UI. The process ends on SIGINT or SIGTERM.

    The process reads its settings from the environment, as every command does.
    """
    options = {
        "server.address": settings.ui_host,
        "server.port": settings.ui_port,
        "server.headless": "true",
        "server.showEmailPrompt": "false",
        "server.fileWatcherType": "none",
        "server.enableXsrfProtection": "true",
        "server.enableCORS": "true",
        "server.maxUploadSize": max(1, settings.api_max_bytes // _MEGABYTE),
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "theme.primaryColor": "#0072B2",
        "theme.paddingTop": "2rem",
    }
    return [
        *(sys.executable, "-m", "streamlit", "run", str(Path(__file__).with_name("app.py"))),
        *(f"--{name}={value}" for name, value in options.items()),
        # Protects against DNS rebinding: the UI has no login.
        *(f"--server.allowedHosts={name.strip()}" for name in settings.ui_names.split(",")),
    ]
