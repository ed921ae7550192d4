"""Concurrent requests share the pixel budget in their order of arrival."""

from __future__ import annotations

import asyncio

from tumorml.serving.api.state import PixelBudget


def test_pixel_budget_is_never_exceeded_and_served_in_order() -> None:
    order: list[int] = []

    async def run() -> None:
        budget, used, most_used = PixelBudget(10), 0, 0

        async def use(number: int, pixels: int) -> None:
            nonlocal used, most_used
            async with budget.reserve(pixels):
                order.append(number)
                used += min(pixels, 10)
                most_used = max(most_used, used)
                await asyncio.sleep(0.01)
                used -= min(pixels, 10)

        requests = [3, 4, 99, 1, 1, 10, 2]
        await asyncio.gather(*(use(n, pixels) for n, pixels in enumerate(requests)))
        assert most_used == 10 and used == 0

    asyncio.run(run())
    assert order == list(range(7))


def test_canceled_request_reserves_no_pixels() -> None:
    async def run() -> None:
        budget = PixelBudget(10)
        async with budget.reserve(8):
            waiting = asyncio.create_task(budget.reserve(5).__aenter__())
            await asyncio.sleep(0.01)
            waiting.cancel()
            async with asyncio.timeout(1), budget.reserve(2):
                pass
        async with asyncio.timeout(1), budget.reserve(10):
            pass

    asyncio.run(run())
