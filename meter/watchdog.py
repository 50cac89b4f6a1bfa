"""Ends a process that no longer works and does not know why: redelivery after the restart is the recovery.

It looks from a thread, because the loop itself may be what stands still. A cause that is known (the provider is away,
an event blocks its partition) keeps the process alive, since a restart would fix nothing.
"""

import asyncio
import faulthandler
import os
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

LOOK_EVERY_SECONDS = 1.0
NOT_ALIVE_LOOKS = 15
"""So long `/healthz` says no before the process ends: an orchestrator that looks may be quicker, and more gentle."""
STILL_LOOKS = 30
"""So long the loop may stand still. Looks are counted and not seconds: a stopped process does not look."""

End = Callable[[str], None]


class Beat(NamedTuple):
    """What the loop says of itself: the number of the beat, and whether anything but a restart can help."""

    number: int
    alive: bool
    fault: str = ""
    """Why the loop cannot say, with the stack."""


class Verdict:
    """Looks at beats, one a look, and says when it has seen enough."""

    def __init__(self, not_alive_looks: int, still_looks: int) -> None:
        self._not_alive_looks = not_alive_looks
        self._still_looks = still_looks
        self._last = Beat(0, alive=True)
        self._not_alive = 0
        self._still = 0

    def look(self, beat: Beat) -> str | None:
        """Why the process is to end now, one sentence; None while it is not."""
        if beat.fault:
            return f"nobody can say whether anything moves: {beat.fault}"
        self._still = self._still + 1 if beat.number == self._last.number else 0
        self._not_alive = 0 if beat.alive else self._not_alive + 1
        self._last = beat
        if self._still >= self._still_looks:
            return f"the event loop has stood still for {self._still * LOOK_EVERY_SECONDS:.0f} s"
        if self._not_alive >= self._not_alive_looks:
            return "nothing moves, nobody knows why, and /healthz has said so for some time"
        return None


def end_process(reason: str) -> None:
    """Says why and where every thread stands, and ends like a kill: whatever hangs cannot be waited for."""
    print(f"watchdog: {reason}; the process ends", file=sys.stderr, flush=True)  # noqa: T201  # logging may hang, too
    faulthandler.dump_traceback(file=sys.stderr)
    os._exit(1)


def _beat(number: int, alive: Callable[[], bool]) -> Beat:
    try:
        return Beat(number, alive())
    except Exception as fault:  # whatever it is: a beat that ended of it would look like a loop that stands still
        return Beat(number, alive=False, fault="".join(traceback.format_exception(fault)).strip())


@asynccontextmanager
async def watched(
    alive: Callable[[], bool],
    end: End = end_process,
    look_every_seconds: float = LOOK_EVERY_SECONDS,
    not_alive_looks: int = NOT_ALIVE_LOOKS,
    still_looks: int = STILL_LOOKS,
) -> AsyncIterator[None]:
    """While the block runs, `end` is called with a reason as soon as the process is beyond help; from a thread."""
    beats = [Beat(0, alive=True)]
    over = threading.Event()

    async def beat() -> None:
        while True:
            beats[0] = _beat(beats[0].number + 1, alive)
            await asyncio.sleep(look_every_seconds / 2)

    def look() -> None:
        verdict = Verdict(not_alive_looks, still_looks)
        while not over.wait(look_every_seconds):
            reason = verdict.look(beats[0])
            if reason is not None:
                end(reason)
                return

    beating = asyncio.create_task(beat())
    looking = threading.Thread(target=look, name="watchdog", daemon=True)
    looking.start()
    try:
        yield
    finally:
        over.set()
        beating.cancel()
