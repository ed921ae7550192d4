"""What large requests may hold together."""

from __future__ import annotations

import asyncio

from tumorml.serving.api.budget import Budget


def test_no_more_is_spent_at_once_than_there_is_and_who_comes_first_is_served_first() -> None:
    order: list[int] = []

    async def run() -> None:
        budget, held, most = Budget(10), 0, 0

        async def spend(number: int, amount: int) -> None:
            nonlocal held, most
            async with budget.spend(amount):
                order.append(number)
                held += min(amount, 10)
                most = max(most, held)
                await asyncio.sleep(0.01)
                held -= min(amount, 10)

        amounts = [3, 4, 99, 1, 1, 10, 2]
        await asyncio.gather(*(spend(n, amount) for n, amount in enumerate(amounts)))
        assert most == 10 and held == 0

    asyncio.run(run())
    assert order == list(range(7))


def test_who_gives_up_waiting_takes_nothing_away() -> None:
    async def run() -> None:
        budget = Budget(10)
        async with budget.spend(8):
            waiting = asyncio.create_task(budget.spend(5).__aenter__())
            await asyncio.sleep(0.01)
            waiting.cancel()
            async with asyncio.timeout(1), budget.spend(2):
                pass
        async with asyncio.timeout(1), budget.spend(10):
            pass

    asyncio.run(run())
