"""What `tumorml up` says: a spinner on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.status import Status


class Screen:
    """Prints steps with the time that each took.

    Args:
        console: Where to print; standard output when none.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._status: Status | None = None

    @contextmanager
    def step(self, doing: str, done: str) -> Iterator[None]:
        """Show `doing` while the block runs, and `done` with its seconds when it ends well."""
        started = time.monotonic()
        with self.working(doing):
            yield
        self.console.print(
            f"[green]✓[/] {escape(done)} [dim]({time.monotonic() - started:.1f} s)[/]"
        )

    @contextmanager
    def working(self, doing: str) -> Iterator[None]:
        """A spinner beside `doing` on a terminal, one plain line elsewhere."""
        if not self.console.is_terminal:
            self.console.print(f"… {escape(doing)}")
            yield
            return
        outer = self._status
        if outer is not None:
            outer.update(escape(doing))
            yield
            return
        with self.console.status(escape(doing)) as self._status:
            try:
                yield
            finally:
                self._status = None

    def update(self, doing: str) -> None:
        """Change what stands beside the spinner; silent where there is none."""
        if self._status is not None:
            self._status.update(escape(doing))

    def say(self, text: str) -> None:
        """One line, printed as it is."""
        self.console.print(escape(text))

    def warn(self, text: str) -> None:
        """One line that should catch the eye."""
        self.console.print(f"[yellow]! {escape(text)}[/]")
