"""The loop: tells the machine what happens, and has done what the machine says.

Every input only notes that something changed; one task asks the machine what to do next and starts it. Nothing
here decides anything about an event.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence, Set

import structlog

from meter.committer import Committer
from meter.edges import Ports
from meter.errands import Errands, Observer
from meter.errors import LostRange, MeterError, Redelivered, Silent, Unavailable
from meter.pipeline.event import Record
from meter.pipeline.machine import Machine
from meter.pipeline.start import Bounds
from meter.rebalance import GroupOptions, RebalanceListener
from meter.stalls import Stalls
from meter.stopping import unless_stopped

log = structlog.stdlib.get_logger(__name__)

RECORDS_PER_POLL = 1000
POLL_TIMEOUT_SECONDS = 0.1
SHORTEST_WAIT_SECONDS = 0.002
LONGEST_WAIT_SECONDS = 1.0
POSITIONS_EVERY_SECONDS = 1.0
UNCOMMITTED_SECONDS = 30.0
"""Longer than a rebalance or a broker's restart keeps commits waiting; the lease is over by then."""


class Worker:
    """One membership in the group, from joining to leaving."""

    def __init__(
        self,
        machine: Machine,
        ports: Ports,
        observer: Observer,
        options: GroupOptions,
    ) -> None:
        self._machine = machine
        self._source = ports.source
        self._clock = ports.clock
        self._observer = observer
        self._topic = options.topic
        self._something_changed = asyncio.Event()
        self._assignment_changed = asyncio.Event()
        self._stepped = asyncio.Event()
        self._paused: tuple[frozenset[int], Set[int]] = (frozenset(), frozenset())
        self._known_state: tuple[str, str | None] = ("ok", None)
        self._poison_said: set[tuple[int, int]] = set()
        self._tasks = asyncio.TaskGroup()
        self._advanced_at = self._clock.now().steady_seconds
        committer = Committer(ports.source)
        self._errands = Errands(
            machine, ports, committer, observer, options.topic, self._spawn, self._something_changed.set
        )
        self.listener = RebalanceListener(machine, ports, committer, options, self._spawn, self._note_assignment)
        self._ends_every_seconds = options.ends_every_seconds
        self._hand_over_seconds = options.hand_over_seconds
        self._stalls = Stalls(options.stalled_after_seconds)
        self.ends: Mapping[int, Bounds] = {}
        """What the log holds per partition, as last seen; absent while unknown."""
        self.ends_trouble: str | None = None
        """Why they are unknown, one sentence."""
        self.last_step_at: float | None = None
        """When the machine was last asked; None while nobody is to ask it."""

    async def run(self, stop: asyncio.Event, drain_timeout_seconds: float) -> None:
        """Bills until `stop` is set, then sends what is held, commits and leaves.

        Raises Unavailable when the membership is beyond repair and has to be recreated, NoStartingPoint, and
        whatever nobody planned for.
        """
        self._errands.nothing_waits()  # of the membership before: its partitions may be somebody else's now
        try:
            async with self._tasks:
                background = [self._spawn(self._step_forever()), self._spawn(self._watch_ends())]
                await unless_stopped(stop, self._join_and_poll(stop))
                await self._drain(drain_timeout_seconds)
                for task in background:
                    task.cancel()
        except BaseExceptionGroup as group:
            raise _gravest(group) from group
        finally:
            self.last_step_at = None
            self.listener.end()
            await self._outlast_inserts()
            await self._source.close()

    def behind(self) -> dict[int, int]:
        """Records that the broker has for us and that could be read now; absent where nothing is known."""
        assigned = self._machine.assignment
        reading = (progress for p in assigned.partitions() if (progress := assigned.progress(p)))
        known = [one for one in reading if one.partition in self.ends and one.partition not in self._paused[1]]
        return {one.partition: max(0, self.ends[one.partition].end - one.position) for one in known}

    def behind_total(self) -> int | None:
        """All of them; None while nobody knows."""
        assigned = self._machine.assignment
        is_read = self.listener.joined and not assigned.unfilled()
        is_known = is_read and (self.ends or not assigned.partitions())
        return sum(self.behind().values()) if is_known else None

    # In

    async def _join_and_poll(self, stop: asyncio.Event) -> None:
        await self._source.start(self.listener.on_revoked, self.listener.on_assigned)
        log.info("group.joined", topic=self._topic)
        while not stop.is_set():  # asked as well: in some library on the way a cancellation may get lost
            try:
                polled = await self._source.poll(RECORDS_PER_POLL, POLL_TIMEOUT_SECONDS)
            except LostRange as lost:
                await self.listener.skip_lost(lost.positions)
            else:
                await self._take(polled)

    async def _take(self, polled: Mapping[int, Sequence[Record]]) -> None:
        epochs = self._machine.assignment.live_epochs()
        for partition, records in polled.items():
            await asyncio.sleep(0)  # taking them from the client took a while, too
            if self._machine.assignment.live_epochs() != epochs:
                return  # a rebalance in between: whoever has the partition now reads them from the commit on
            self._machine.records(partition, records, self._clock.now())
            self._something_changed.set()
        now = self._clock.now().steady_seconds
        if not polled or now - self._advanced_at >= POSITIONS_EVERY_SECONDS:
            self._advanced_at = now
            await self._advance()

    async def _advance(self) -> None:
        """The consumer may stand past markers and gaps in which there was no record for us."""
        for partition in self._machine.assignment.partitions():
            if partition not in self._machine.assignment.unfilled():
                try:
                    position = await self._source.position(partition)
                except Redelivered:  # a rebalance has begun; the listener is about to be told
                    return
                self._machine.advance(partition, position)
        self._something_changed.set()

    # Next

    async def _step_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            waking = loop.call_later(self._step(), self._something_changed.set)
            await self._something_changed.wait()
            waking.cancel()
            self._something_changed.clear()

    def _step(self) -> float:
        """Asks what to do and starts it; answers for how long there will be nothing to do by itself."""
        now = self._clock.now()
        self.last_step_at = now.steady_seconds
        actions = self._machine.next(now)
        self._errands.start(actions)
        self._pause(actions.paused)
        self._say_state()
        self._stepped.set()
        return min(max(actions.wake_at - now.steady_seconds, SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)

    def _pause(self, paused: Set[int]) -> None:
        """Applied when it changed, and again in every assignment: a rebalance forgets it."""
        epochs = self._machine.assignment.live_epochs()
        if (epochs, paused) != self._paused:
            if epochs != self._paused[0]:
                self._errands.nothing_waits()
            self._paused = (epochs, frozenset(paused))
            self._source.pause(paused)
            self._source.resume(set(self._machine.assignment.partitions()) - paused)

    def _say_state(self) -> None:
        gate = self._machine.gate
        state = (gate.state(), gate.paused)
        if state == self._known_state:
            return
        self._known_state = state
        self._observer.billing_paused(gate.paused)
        if gate.paused is not None:
            log.error("billing.paused", reason=gate.paused, detail=gate.detail)
        elif state[0] == "retrying":
            log.warning("billing.retrying", detail=gate.detail)
        else:
            log.info("billing.resumed")

    def _note_assignment(self) -> None:
        self._assignment_changed.set()
        self._something_changed.set()

    async def _watch_ends(self) -> None:
        """Keeps the ends of the log in view; when they cannot be had they are unknown, not old."""
        while True:
            self._assignment_changed.clear()
            partitions = self._machine.assignment.partitions()
            try:
                self.ends = await self._source.bounds(partitions) if partitions else {}
                self.ends_trouble = None
            except Unavailable as error:
                self.ends, self.ends_trouble = {}, str(error)
            self._look_for_stalls()
            self._name_poison()
            try:
                async with asyncio.timeout(self._ends_every_seconds):
                    await self._assignment_changed.wait()
            except TimeoutError:
                pass

    def _look_for_stalls(self) -> None:
        """A client that silently delivers nothing any more is recreated, and one whose commits nobody accepts.

        aiokafka may lose its way to the group's coordinator for good when the broker dies at the wrong moment; it is
        no member then, and would not become one again.
        """
        now = self._clock.now().steady_seconds
        if self._machine.assignment.partitions() and self._machine.commits.refused_seconds(now) > UNCOMMITTED_SECONDS:
            raise Unavailable(f"no commit was accepted for {UNCOMMITTED_SECONDS:.0f} s: the client is recreated")
        stalled = self._stalls.look(self.behind(), self.ends, now)
        if stalled:
            self._observer.client_is_silent()
            raise Silent(f"partitions {stalled} have records but none arrives: the client is recreated")

    def _name_poison(self) -> None:
        """Each once: an event that the provider never answers for, however often it is asked."""
        poison = {(event.partition, event.record.offset): event for event in self._machine.poison()}
        for origin in poison.keys() - self._poison_said:
            event = poison[origin]
            log.error("event.poison", partition=origin[0], offset=origin[1], key=event.key, attempts=event.attempts)
        self._poison_said = set(poison)

    # The end

    async def _drain(self, limit_seconds: float) -> None:
        """Waits until everything held has ended, as long as that is allowed to take and there is hope; then leaves."""
        self._machine.drain()
        self._something_changed.set()
        deadline = self._clock.now().steady_seconds + limit_seconds
        while (
            self._machine.counts.held
            and self._clock.now().steady_seconds < deadline
            and not self._is_hopeless(deadline)
        ):
            self._stepped.clear()
            await self._stepped.wait()
        log.info("drained", held=self._machine.counts.held)
        await self.listener.leave()

    def _is_hopeless(self, deadline: float) -> bool:
        """The provider refuses us, or all that is left, and nothing is under way: nothing will end in time."""
        refused = self._machine.gate.paused is not None or self._machine.has_only_refused_until(deadline)
        return refused and self._machine.is_quiet(self._clock.now())

    async def _outlast_inserts(self) -> None:
        """Whoever takes over may send at once: not before what we sent last can no longer be inserted.

        No longer than a hand-over: until we have left, heartbeats keep partitions that nobody works on.
        """
        deadline = self._clock.now().steady_seconds + self._hand_over_seconds
        while self._machine.is_inserting(now := self._clock.now()) and now.steady_seconds < deadline:  # noqa: ASYNC110  # it is time alone that ends it
            await asyncio.sleep(POLL_TIMEOUT_SECONDS / 5)

    def _spawn(self, work: Coroutine[object, object, None]) -> "asyncio.Task[None]":
        try:
            return self._tasks.create_task(work)
        except RuntimeError as over:  # the group of tasks is on its way out
            work.close()
            raise Redelivered("this membership has ended") from over


def _gravest(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What nobody planned for, else what ends the process, else what a new membership may fix."""
    leaves = [_gravest(one) if isinstance(one, BaseExceptionGroup) else one for one in group.exceptions]
    return min(leaves, key=lambda leaf: (isinstance(leaf, MeterError), isinstance(leaf, Unavailable)))
