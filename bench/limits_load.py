"""Product services that ask for limits while events are billed: `python -m bench.limits_load PORT FILE`.

100 questions a second over 1,000 customers, at fixed times whatever the answers take; until SIGTERM, then the times
from when each was due to its answer are written to the file.
"""

import asyncio
import itertools
import json
import random
import signal
import sys
import time
from pathlib import Path

import msgspec

from bench.events import CUSTOMERS, PRODUCT, customer_of

QUESTIONS_PER_SECOND = 100
CONNECTIONS = 16


class LimitsFigures(msgspec.Struct):
    """Answers and how long they took, in milliseconds."""

    answers: int
    answers_per_second: float
    p50_milliseconds: float
    p99_milliseconds: float
    longest_milliseconds: float
    by_source: dict[str, int]


class Asking:
    """One kept connection after the other takes the next question that is due."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._numbers = itertools.count()
        self._started = time.monotonic()
        self._seconds: list[float] = []
        self._sources: dict[str, int] = {}

    async def ask_forever(self) -> None:
        """One connection: takes the next question as soon as it has its answer, early or late."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        for number in self._numbers:
            due = self._started + number / QUESTIONS_PER_SECOND
            await asyncio.sleep(due - time.monotonic())
            writer.write(_question(customer_of(random.randrange(CUSTOMERS))))  # noqa: S311  # load, no secret
            head = await reader.readuntil(b"\r\n\r\n")
            answer = json.loads(await reader.readexactly(_content_bytes(head)))
            self._seconds.append(time.monotonic() - due)
            source = answer["meter"]["source"]
            self._sources[source] = self._sources.get(source, 0) + 1

    def figures(self) -> LimitsFigures:
        """Of all answers so far."""
        ordered = [1000 * seconds for seconds in sorted(self._seconds)] or [0.0]
        p50, p99 = (ordered[int(len(ordered) * share)] for share in (0.5, 0.99))
        rate = len(ordered) / (time.monotonic() - self._started)
        return LimitsFigures(len(self._seconds), rate, p50, p99, ordered[-1], self._sources)


def _question(customer: str) -> bytes:
    body = json.dumps({"customerRef": customer, "productRef": PRODUCT}).encode()
    head = (
        b"POST /v1/sdk/limits HTTP/1.1\r\nHost: meter\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    return head % len(body) + body


def _content_bytes(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])


async def load(port: int) -> LimitsFigures:
    """Asks until SIGTERM."""
    asking = Asking(port)
    told_to_end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_end.set)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asking.ask_forever()) for _ in range(CONNECTIONS)]
        await told_to_end.wait()
        for task in tasks:
            task.cancel()
    return asking.figures()


if __name__ == "__main__":
    import uvloop

    figures = uvloop.run(load(int(sys.argv[1])))
    Path(sys.argv[2]).write_bytes(msgspec.json.encode(figures))
