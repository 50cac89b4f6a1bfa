"""How a test waits for something that happens elsewhere: it asks again and again, up to a limit that it names."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

import pytest

T = TypeVar("T")

PAUSE_SECONDS = 0.05


@overload
async def eventually(condition: Callable[[], Awaitable[T]], limit_seconds: float, what: str) -> T: ...
@overload
async def eventually(condition: Callable[[], T], limit_seconds: float, what: str) -> T: ...
async def eventually(condition: Callable[[], object], limit_seconds: float, what: str) -> object:
    """Return the first truthy value of `condition`, asked every 0.05 s.

    `condition` may be sync or async. Fails the test with `what` and the last value (or that the condition did
    not answer) once `limit_seconds` have passed; an exception of the condition goes through.
    """
    deadline = time.monotonic() + limit_seconds
    last: object = "no answer yet"
    while True:
        answer = condition()
        if inspect.isawaitable(answer):
            try:
                # a condition that hangs must not outlast the limit either
                answer = await asyncio.wait_for(answer, max(deadline - time.monotonic(), PAUSE_SECONDS))
            except TimeoutError:
                pytest.fail(f"after {limit_seconds:g} s still not: {what} (the condition hangs; before: {last!r})")
        if answer:
            return answer
        last = answer
        if time.monotonic() >= deadline:
            pytest.fail(f"after {limit_seconds:g} s still not: {what} (last value: {last!r})")
        await asyncio.sleep(PAUSE_SECONDS)
