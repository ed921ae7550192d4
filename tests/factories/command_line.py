"""Runs commands of `tumorml` in this process, with the settings of a test."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest.mock import patch

from tumorml.cli import main
from tumorml.settings import Settings, get_settings


@dataclass(frozen=True)
class CommandResult:
    """Exit code, standard output and standard error of a command."""

    exit_code: int
    output: str
    error: str

    @property
    def text(self) -> str:
        """The output in one line, with single spaces."""
        return " ".join(self.output.split())


class CommandLine:
    """Runs commands with `TUMORML_*` variables.

    Args:
        settings: Settings whose explicitly set fields become variables.
        **variables: Further variables, without the prefix and in lower case.
    """

    def __init__(self, settings: Settings, **variables: str) -> None:
        values = settings.model_dump(mode="json", include=settings.model_fields_set) | variables
        self.environment: Mapping[str, str] = {
            f"TUMORML_{name.upper()}": str(value) for name, value in values.items()
        }

    def run(self, *arguments: str) -> CommandResult:
        """Run a command and return its result, whatever its exit code is."""
        output, error = io.StringIO(), io.StringIO()
        get_settings.cache_clear()
        try:
            with (
                patch.dict(os.environ, self.environment),
                redirect_stdout(output),
                redirect_stderr(error),
            ):
                main(arguments)
        except SystemExit as end:
            exit_code = end.code if isinstance(end.code, int) else 1
        else:
            exit_code = 0
        finally:
            get_settings.cache_clear()
        return CommandResult(exit_code, output.getvalue(), error.getvalue())

    def succeed(self, *arguments: str) -> CommandResult:
        """Run a command that must succeed."""
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output + result.error
        return result

    def fail(self, *arguments: str) -> str:
        """Run a command that must end with exit code 1; return its message on standard error."""
        result = self.run(*arguments)
        assert result.exit_code == 1, result.output + result.error
        message = " ".join(result.error.split())
        assert message.startswith("tumorml: ")
        assert "Traceback" not in result.error
        return message


@dataclass(frozen=True)
class TrainedHome:
    """A home whose first run waits for approval, and the outputs of the commands that led there."""

    settings: Settings
    command_line: CommandLine
    ingest: CommandResult
    retrain: CommandResult
    run_id: str
    verdict_id: str
