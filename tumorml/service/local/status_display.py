"""Output of `tumorml up`: a spinner on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.status import Status


class StatusDisplay:
    """Prints steps with their durations.

    Args:
        console: Console to print on; None for standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._status: Status | None = None

    @contextmanager
    def step(self, running: str, finished: str) -> Iterator[None]:
        """Show `running` during the block, and `finished` with its seconds after success."""
        started = time.monotonic()
        with self.spinner(running):
            yield
        self.console.print(
            f"[green]✓[/] {escape(finished)} [dim]({time.monotonic() - started:.1f} s)[/]"
        )

    @contextmanager
    def spinner(self, text: str) -> Iterator[None]:
        """Show a spinner with a text on a terminal, or print one plain line elsewhere."""
        if not self.console.is_terminal:
            self.console.print(f"… {escape(text)}")
            yield
            return
        outer = self._status
        if outer is not None:
            outer.update(escape(text))
            yield
            return
        with self.console.status(escape(text)) as self._status:
            try:
                yield
            finally:
                self._status = None

    def update(self, text: str) -> None:
        """Change the text of the spinner; print nothing without a spinner."""
        if self._status is not None:
            self._status.update(escape(text))

    def print(self, text: str) -> None:
        """Print one line without markup."""
        self.console.print(escape(text))

    def warn(self, text: str) -> None:
        """Print one line as a warning."""
        self.console.print(f"[yellow]! {escape(text)}[/]")
