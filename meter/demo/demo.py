"""The story of `meter demo`: everything starts, events flow, meter is killed and comes back, the books are checked."""

import asyncio
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from meter.accounting.report import Verdict
from meter.demo import audit, evidence, table, topics
from meter.demo.events import RESTART_SHARE, Planned, World, allowance, stream
from meter.demo.expectation import Produced, expect
from meter.demo.processes import TOPIC, Installation
from meter.demo.producer import Producer
from meter.demo.provider import Provider
from meter.demo.reconciliation import Expected, Fault, reconcile
from meter.demo.screen import Screen
from meter.demo.watch import Limits, Observer
from meter.errors import CommandFailed
from meter.localkafka.jars import cache_folder, class_path, java_program
from meter.pipeline.event import Origin, UsageEvent, decode

SLOW_SECONDS: Final = 0.5
"""How much longer a bulk call takes before the kill, so that it surely strikes while events are held."""
_SLOW_SHARE = RESTART_SHARE - 0.08

_START_LIMIT_SECONDS = 60.0
_HOLD_LIMIT_SECONDS = 10.0
_CATCH_UP_LIMIT_SECONDS = 45.0
_POLL_SECONDS = 0.02
_SHOW_SECONDS = 0.1
_KEPT_LOOK_SECONDS = 0.5

BALANCED, FAILED = 0, 1


@dataclass(frozen=True, slots=True)
class Options:
    """What the user may choose."""

    events_total: int
    seed: int
    keep: bool
    transport: str


class Scene(NamedTuple):
    """What is played: who uses what, the records that tell of it, and how much the limited customer has free."""

    world: World
    planned: list[Planned]
    free_units: int


def run(options: Options) -> int:
    """Tell the whole story; 0 when the books balance, 1 when they do not. Blocks until Ctrl-C with `keep`."""
    java_program()  # says at once when the `kafka` extra is missing
    class_path(cache_folder())  # downloads Kafka when it is missing, and shows how far it is
    folder = Path(tempfile.mkdtemp(prefix="meter-demo-"))
    installation = Installation(folder, options.transport)
    with Screen(options.events_total) as screen:
        story = Story(options, installation, screen)
        logs_are_wanted = True
        try:
            with suppress(asyncio.CancelledError):  # Ctrl-C or SIGTERM: how one leaves `--keep`
                asyncio.run(story.tell())
            logs_are_wanted = story.code == FAILED
        finally:
            installation.stop()
            if not logs_are_wanted:
                shutil.rmtree(folder, ignore_errors=True)
    if story.code is None:
        raise KeyboardInterrupt
    return story.code


class Story:
    """One demo."""

    def __init__(self, options: Options, installation: Installation, screen: Screen) -> None:
        self._options = options
        self._installation = installation
        self._screen = screen
        self._restart = table.Restart()
        self._times = table.Times()
        self._cluster_id = ""
        self.code: int | None = None
        """The verdict as an exit code, `BALANCED` or `FAILED`; None until there is one."""

    async def tell(self) -> None:
        """From the first process to the verdict; with `keep` until cancelled."""
        _end_on_signals()
        here, chosen = self._installation, self._options
        how = ", billed over MCP" if chosen.transport == "mcp" else ""
        self._screen.title(
            f"meter demo: {chosen.events_total:,} events through a real Kafka broker{how} (seed {chosen.seed})"
        )
        async with Provider(here.sandbox_url) as provider, Observer(here.meter_url, provider) as observer:
            scene = await self._start(provider, observer)
            async with self._watching(observer, scene.world):
                produced = await self._produce(scene.planned, provider, observer)
                await self._catch_up(produced, observer)
            self.code = await self._check(scene, produced, provider, observer)
            if chosen.keep:
                await self._keep(scene.world)

    async def _start(self, provider: Provider, observer: Observer) -> Scene:
        here, screen = self._installation, self._screen
        screen.start_clock()
        screen.say("starting Kafka, the provider's sandbox and meter, each a process of its own")
        here.broker.start()
        here.sandbox.start()
        await here.sandbox.wait_until(provider.answers, _START_LIMIT_SECONDS)
        screen.say(f"sandbox  {here.sandbox_url}, process {here.sandbox.pid}")
        scene = await self._scene(provider)
        await here.broker.wait_until(here.broker_answers, _START_LIMIT_SECONDS)
        screen.say(f"kafka    {here.bootstrap_servers}, process {here.broker.pid}")
        self._cluster_id = await topics.create(here.bootstrap_servers, TOPIC)
        here.meter.start()
        await here.meter.wait_until(observer.ready, _START_LIMIT_SECONDS)
        screen.say(f"meter    {here.meter_url}, process {here.meter.pid}")
        self._times.start = screen.elapsed_seconds
        return scene

    async def _scene(self, provider: Provider) -> Scene:
        """Customers and products at the provider, and the records that will tell of them."""
        world = await provider.create_world()
        planned = stream(self._options.seed, self._options.events_total, world, time.time())
        free_units = allowance(planned, world.limited_customer)
        await provider.offer_free_plan(world.limited_product, free_units)
        return Scene(world, planned, free_units)

    @asynccontextmanager
    async def _watching(self, observer: Observer, world: World) -> AsyncIterator[None]:
        await observer.ask(world.limited_customer, world.limited_product)
        await observer.look()
        tasks = [
            asyncio.create_task(observer.look_for_ever()),
            asyncio.create_task(observer.ask_for_ever(world.limited_customer, world.limited_product)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
            self._screen.end_progress()

    async def _produce(self, planned: list[Planned], provider: Provider, observer: Observer) -> list[Produced]:
        producer = Producer(self._installation.bootstrap_servers, TOPIC, planned)
        producing = asyncio.create_task(producer.run())
        showing = asyncio.create_task(self._show(producer, observer))
        try:
            await self._until(lambda: producer.sent_total >= len(planned) * _SLOW_SHARE, producing)
            await provider.slow_down(SLOW_SECONDS)
            self._screen.say(f"the provider slows down: {SLOW_SECONDS:g} s more per call")
            await self._until(lambda: producer.sent_total >= len(planned) * RESTART_SHARE, producing)
            await self._kill_and_restart(provider, observer)
            produced = await producing
        finally:
            producing.cancel()
            showing.cancel()
        self._times.produce = producer.seconds
        return produced

    async def _until(self, reached: Callable[[], bool], producing: asyncio.Task[list[Produced]]) -> None:
        while not reached() and not producing.done():
            self._installation.meter.must_run()
            await asyncio.sleep(_POLL_SECONDS)

    async def _show(self, producer: Producer, observer: Observer) -> None:
        told_no = False
        while True:
            self._screen.progress(producer.sent_total, observer.seen)
            if observer.limits.first_no is not None and not told_no:
                told_no = True
                meter = observer.limits.first_no["meter"]
                left, pending = meter["providerRemaining"], meter["pendingUnits"]
                self._screen.say(
                    f'limits: "no" on the free plan: {left} units left at the provider, {pending} on the way',
                    "bold yellow",
                )
            await asyncio.sleep(_SHOW_SECONDS)

    async def _kill_and_restart(self, provider: Provider, observer: Observer) -> None:
        meter, screen, facts = self._installation.meter, self._screen, self._restart
        deadline = time.monotonic() + _HOLD_LIMIT_SECONDS
        while (seen := await observer.look()).held == 0 or seen.events["accepted"] == 0:
            if time.monotonic() > deadline:
                raise CommandFailed("meter holds nothing though the provider is slow: nothing to show by a kill")
        meter.kill()
        facts.at_seconds, facts.held, facts.billed = screen.elapsed_seconds, seen.held, seen.billed
        facts.counters = dict(seen.events)
        screen.say(f"SIGKILL: meter is gone; it held {facts.held:,} events, {facts.billed:,} were billed", "bold red")
        await provider.slow_down(0)
        meter.start()
        await meter.wait_until(observer.ready, _START_LIMIT_SECONDS)
        facts.back_seconds = screen.elapsed_seconds - facts.at_seconds
        screen.say(f"meter is back, process {meter.pid}: the group waited for the dead member's session", "bold green")

    async def _catch_up(self, produced: list[Produced], observer: Observer) -> None:
        """Until the last offset is committed; when that does not happen, the verdict says what is missing."""
        screen, ends = self._screen, _ends(produced)
        screen.say(f"all {len(produced):,} records are in the topic")
        started = time.monotonic()
        while not observer.seen.has_committed(ends) and time.monotonic() < started + _CATCH_UP_LIMIT_SECONDS:
            self._installation.meter.must_run()
            screen.progress(len(produced), observer.seen)
            await asyncio.sleep(_SHOW_SECONDS)
        self._times.catch_up = time.monotonic() - started
        screen.say("every offset is committed" if observer.seen.has_committed(ends) else "not everything is committed")
        screen.say("checking the books")

    async def _check(self, scene: Scene, produced: list[Produced], provider: Provider, observer: Observer) -> int:
        started = time.monotonic()
        await observer.ask(scene.world.limited_customer, scene.world.limited_product)
        seen = await observer.look()
        expected, books = await asyncio.gather(
            asyncio.to_thread(expect, produced, self._key_of),
            evidence.gather(self._installation.bootstrap_servers, provider, seen.status),
        )
        findings = await audit.run(self._installation)
        faults = [*reconcile(expected, books.found), *_refusal_missing(observer.limits)]
        if findings.verdict is not Verdict.OK:
            faults.append(Fault("meter audit does not agree", [findings.summary(), *findings.lines()]))
        self._times.check = time.monotonic() - started
        shown = table.Shown(
            scene.planned, expected, books, self._restart, observer.limits, scene.free_units, self._times
        )
        self._screen.table(table.sections(shown))
        self._screen.title(f"meter audit: {findings.summary()}")
        self._screen.verdict(faults, _summary(expected, self._screen.elapsed_seconds))
        if faults:
            self._screen.title(f"logs and data stay in {self._installation.folder}")
        return FAILED if faults else BALANCED

    def _key_of(self, record: Produced) -> str | None:
        event = decode(record, Origin(self._cluster_id, TOPIC, record.partition), time.time())
        return event.key if isinstance(event, UsageEvent) else None

    async def _keep(self, world: World) -> None:
        """Until Ctrl-C; ends by itself only when one of the three programs does."""
        here = self._installation
        self._screen.kept(here, world.limited_customer, world.limited_product, data_stays=self.code == FAILED)
        while True:
            for program in (here.broker, here.sandbox, here.meter):
                program.must_run()
            await asyncio.sleep(_KEPT_LOOK_SECONDS)


def _end_on_signals() -> None:
    """Ctrl-C and SIGTERM cancel the story, so that everything is stopped in order."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # narrows for mypy: a coroutine runs in a task
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


def _ends(produced: Iterable[Produced]) -> dict[int, int]:
    """Partition -> the offset after its last record; 0 for one that got none."""
    ends = dict.fromkeys(range(topics.PARTITIONS), 0)
    for record in produced:
        ends[record.partition] = max(ends[record.partition], record.offset + 1)
    return ends


def _refusal_missing(limits: Limits) -> Iterable[Fault]:
    """The customer has used more than it has: somebody must have said so, and must say so now."""
    if limits.first_no is None or limits.last is None or limits.last["withinLimits"]:
        yield Fault("answers about limits that let a customer go on without allowance", [f"{limits.last}"])


def _summary(expected: Expected, seconds: float) -> str:
    return (
        f"{len(expected.rows):,} events billed exactly once, {len(expected.dead_lettered):,} invalid ones in the dead "
        f"letters, nothing else, lag 0 ({seconds:.0f} s)"
    )
