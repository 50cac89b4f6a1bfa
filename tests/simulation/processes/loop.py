"""An event loop without time and without a world: its clock jumps to the next timer when nothing is left to do.

Several processes share it. What belongs to one of them (its tasks, its timers, its callbacks) is told by the context
that it runs in, so that one can be stopped as SIGSTOP stops it, or never be heard of again, as after SIGKILL: no
`finally` of it runs, nothing is closed.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from itertools import count
from typing import Any, TypeVar

from meter.pipeline.now import Now
from tests.clocks import RunningClock

T = TypeVar("T")
BEGINNING_SECONDS = 100.0
WALL_SECONDS = 1_800_000_000.0


class Pulse:
    """Whether a process runs; what it would have done waits for it."""

    def __init__(self) -> None:
        self.beats = True
        self.waiting: list[Callback] = []


PULSE: ContextVar[Pulse | None] = ContextVar("pulse", default=None)
"""Of the process that code runs in; None outside of all of them."""


class Callback:
    """Something to do, at once or at its time."""

    __slots__ = ("_arguments", "_call", "_context", "_is_cancelled", "_when", "pulse")

    def __init__(self, when: float, call: Callable[..., object], arguments: Any, context: Context | None) -> None:
        self._when = when
        self._call = call
        self._arguments = arguments
        self._context = copy_context() if context is None else context
        self._is_cancelled = False
        self.pulse = self._context.get(PULSE)

    def cancel(self) -> None:
        self._is_cancelled = True

    def cancelled(self) -> bool:
        return self._is_cancelled

    def when(self) -> float:
        return self._when

    def run(self) -> None:
        """What it raises is raised."""
        self._context.run(self._call, *self._arguments)


class VirtualLoop:
    """As much of an event loop as tasks, timers, locks and events need."""

    def __init__(self) -> None:
        self.seconds = BEGINNING_SECONDS
        self._ready: deque[Callback] = deque()
        self._timers: list[tuple[float, int, Callback]] = []
        """Those of one moment in the order in which they were asked for."""
        self._numbers = count()
        self._tasks: dict[asyncio.Task[Any], Pulse | None] = {}

    def go_on(self, pulse: Pulse) -> None:
        """The process runs again: first what has come due meanwhile."""
        pulse.beats = True
        self._ready.extend(pulse.waiting)
        pulse.waiting.clear()

    def end_all(self) -> None:
        """Cancel what is left, of stopped and killed processes too, and see it end."""
        with self._running():
            for task, pulse in list(self._tasks.items()):
                if pulse is not None:
                    self.go_on(pulse)
                task.cancel()
            while self._tasks:
                self._turn()

    # What asyncio asks of a loop

    def run_until_complete(self, work: Coroutine[Any, Any, T]) -> T:
        """The result; raises what it raises."""
        task = self.create_task(work)
        with self._running():
            while not task.done():
                self._turn()
        return task.result()

    def time(self) -> float:
        return self.seconds

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Callback:
        made = Callback(self.seconds, callback, args, context)
        self._ready.append(made)
        return made

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Callback:
        made = Callback(when, callback, args, context)
        heapq.heappush(self._timers, (when, next(self._numbers), made))
        return made

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Callback:
        return self.call_at(self.seconds + delay, callback, *args, context=context)

    def create_future(self) -> "asyncio.Future[Any]":
        loop: Any = self
        return asyncio.Future(loop=loop)

    def create_task(
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> "asyncio.Task[T]":
        """Kept until it ends: what a killed process was doing must not be closed by the collector of garbage."""
        task: asyncio.Task[T] = _Task(next(self._numbers), coro, loop=self, name=name, context=context)
        self._tasks[task] = context.get(PULSE) if context is not None else PULSE.get()
        task.add_done_callback(self._tasks.pop, context=Context())
        return task

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Told of exceptions that nobody looked at, whenever the collector of garbage finds them: as good as chance."""

    @contextmanager
    def _running(self) -> Iterator[None]:
        loop: Any = self
        asyncio._set_running_loop(loop)  # noqa: SLF001  # asyncio has it for those who write loops
        try:
            yield
        finally:
            asyncio._set_running_loop(None)  # noqa: SLF001  # as above

    def _turn(self) -> None:
        if not self._ready:
            assert self._timers, "everybody waits for somebody"
            self.seconds = max(self.seconds, self._timers[0][0])
        while self._timers and self._timers[0][0] <= self.seconds:
            self._ready.append(heapq.heappop(self._timers)[2])
        for _ in range(len(self._ready)):
            callback = self._ready.popleft()
            if callback.cancelled():
                continue
            if callback.pulse is None or callback.pulse.beats:
                callback.run()
            else:
                callback.pulse.waiting.append(callback)


class _Task(asyncio.Task[T]):
    """A set of these has the same order in every run."""

    def __init__(self, number: int, *args: Any, **options: Any) -> None:
        self._number = number
        super().__init__(*args, **options)

    def __hash__(self) -> int:
        return self._number


class VirtualClock(RunningClock):
    """The loop's time."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def now(self) -> Now:
        """This moment."""
        return Now(self._loop.seconds, WALL_SECONDS + self._loop.seconds)
