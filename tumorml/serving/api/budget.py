"""What requests that are answered at the same time may hold together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Budget:
    """An amount that callers of one event loop share; who comes first is served first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = most
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def spend(self, amount: int) -> AsyncIterator[None]:
        """Wait until so much is left, and hold it until the block ends; all of it at the most."""
        amount = min(amount, self._most)
        async with self._turn:
            while self._left < amount:
                self._freed.clear()
                await self._freed.wait()
            self._left -= amount
        try:
            yield
        finally:
            self._left += amount
            self._freed.set()
