"""The idle timeout of a request to the model server."""

import asyncio
import time

import pytest

from chat.errors import UpstreamTimeout
from chat.upstream.idle_timeout import IdleTimeout

pytestmark = pytest.mark.timeout(10)


async def wait(seconds: float, arrived: asyncio.Future[None] | None = None) -> None:
    """Waits under an idle timeout for data, if any is expected, and then for data that never arrives."""
    async with IdleTimeout(seconds) as idle_timeout:
        idle_timeout.start()
        if arrived:
            await arrived
            idle_timeout.stop()
            idle_timeout.start()
        await asyncio.Event().wait()


async def test_raises_when_nothing_arrives() -> None:
    with pytest.raises(UpstreamTimeout, match=r"0\.01 seconds"):
        await wait(0.01)


async def test_does_not_count_the_time_while_it_is_stopped() -> None:
    async with IdleTimeout(0.01) as idle_timeout:
        idle_timeout.start()
        idle_timeout.stop()
        time.sleep(0.02)  # noqa: ASYNC251 - the timer becomes due meanwhile
        await asyncio.sleep(0)
        idle_timeout.start()
        await asyncio.sleep(0)


async def test_raises_when_nothing_follows_data_that_arrived_just_in_time() -> None:
    loop = asyncio.get_running_loop()
    arrived = loop.create_future()
    loop.call_later(0.01, arrived.set_result, None)
    loop.call_soon(time.sleep, 0.05)  # so that the data and the timeout are due at once
    with pytest.raises(UpstreamTimeout):
        await wait(0.02, arrived)
