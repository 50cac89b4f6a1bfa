"""What tests wait with."""

import asyncio

import pytest

from tests.waiting import disconnected, eventually


async def test_the_first_truthy_value_comes_back() -> None:
    """The caller gets the value that ended the waiting."""
    values = iter([0, 0, 7])

    assert await eventually(lambda: next(values), 5, "a value") == 7


async def test_an_async_condition_is_awaited() -> None:
    """Coroutine functions work as plain functions do."""

    async def value() -> str:
        return "there"

    assert await eventually(value, 5, "a value") == "there"


async def test_at_the_limit_the_test_fails_with_the_last_value() -> None:
    """The message says what was waited for and what was seen instead."""
    with pytest.raises(pytest.fail.Exception, match=r"still not: everything billed \(last value: 0\)"):
        await eventually(lambda: 0, 0.1, "everything billed")


async def test_a_condition_that_hangs_fails_at_the_limit_too() -> None:
    """A condition that never answers does not outlast the limit."""
    with pytest.raises(pytest.fail.Exception, match="the condition hangs"):
        await eventually(asyncio.Event().wait, 0.1, "the event")


async def test_a_connection_counts_until_its_socket_is_closed() -> None:
    """Not only until somebody has asked for its end."""
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        _, writer = await asyncio.open_connection(*address.split(":"))
        waiting = asyncio.create_task(disconnected(address))
        await asyncio.sleep(0)
        assert not waiting.done()
        writer.close()
        await waiting
