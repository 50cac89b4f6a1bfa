"""What happens to the processes: a schedule's small numbers pick it, step by step."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from tests.simulation.processes.cluster import SESSION_SECONDS
from tests.simulation.processes.world import Replica, World
from tests.simulation.provider import BAD_CUSTOMERS, NEW_CUSTOMER, UNLOCKED
from tests.simulation.schedule import KEYS, PRODUCING, Case, check_ends, events_of

NO_FAULTS = frozenset(
    {
        "provider: Rejected",
        "provider: UnknownCustomer",
        UNLOCKED,
        "kafka: a session has run out",  # it follows from another fault, as do the next three
        "kafka: commit: refused, no longer a member",
        "kafka: left out of a rebalance",
        "sending forbidden at the last moment",
        "stopped in order",
    }
)
MOODS = ("cut_before", "cut_after", "late", "busy", "unauthorized", "too_large", "not_sent", "late")
EFFECTS = ("fail", "lose", "fail", "hang")
OPERATIONS = (
    "commit",
    "receipts.write",
    "dead_letters.write",
    "commit",
    "poll",
    "receipts.read",
    "committed",
    "connect",
)
LONGEST_PAUSE_SECONDS = 0.8
SETTLING_SECONDS = 2.0
SETTLING_ROUNDS = 400


def run(case: Case) -> Counter[str]:
    """What has struck in a world from its first record to the last end; raises whatever goes wrong in it."""
    world = World(case.seed, case.members)
    with _silence():
        try:
            last = world.loop.run_until_complete(_told(world, case))
        finally:
            world.loop.end_all()
    world.check()
    check_ends(world.books, world.provider, [replica.shell.machine for replica in last])
    return world.struck_in_story + Counter({UNLOCKED: world.provider.unlocked_total})


@contextmanager
def _silence() -> Iterator[None]:
    """Nobody logs: it would take most of the time."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


async def _told(world: World, case: Case) -> list[Replica]:
    """Those who were there at the end, when nothing failed any more."""
    world.outside(world.group.watch())
    for number in range(case.members):
        world.start(f"s{number}" if world.is_static else None)
    for number, (kind, a, b) in enumerate(case.schedule):
        if kind:
            world.chance.seed((world.seed << 16) + number)
            await _happen(world, kind, a, b)
            world.check()
    world.struck_in_story = world.struck.copy()
    return await _settle(world)


async def _happen(world: World, kind: int, a: int, b: int) -> None:
    running = world.running()
    replica = running[a % len(running)] if running else None
    if kind in PRODUCING:
        for key in range(a, a + events_of(b)):
            world.produce(0, key % KEYS, 1 + (a % 7 == 0), _customer_of(key % KEYS))
    elif kind < 45:
        await asyncio.sleep(LONGEST_PAUSE_SECONDS * (b + 1) / 256)
    elif kind < 52:
        world.moods.append(MOODS[a % len(MOODS)])
    elif kind < 56:
        _trouble(world, OPERATIONS[a % len(OPERATIONS)], EFFECTS[b % len(EFFECTS)])
    elif replica is not None and b % 3 == 0:
        _strike(world, replica, kind - 56, b)


def _customer_of(key: int) -> str:
    """Few are refused, unknown or invalid: what is looked at is what processes do with all the others."""
    if key % 29 == 4:
        return BAD_CUSTOMERS[key % 2]
    if key % 43 == 5:
        return NEW_CUSTOMER
    return "" if key % 19 == 7 else f"cus_{key % 3}"


def _trouble(world: World, operation: str, effect: str) -> None:
    faults = world.cluster.faults
    match effect:
        case "fail":
            faults.fail(operation)
        case "lose":
            faults.lose(operation)
        case _:
            faults.hang(operation)


def _strike(world: World, replica: Replica, kind: int, b: int) -> None:
    if kind < 2:
        _kill(world, replica, b)
    elif kind < 5:
        world.struck["stopped past its session"] += 1
        replica.beats = False
        world.loop.call_later(_long(b), world.loop.go_on, replica, context=world.context)
    elif kind < 8:
        world.struck["cut off from Kafka"] += 1
        _cut_off(world, replica, b)
    elif kind < 10:
        world.struck["stopped in order"] += 1
        replica.shell.stop.set()
        world.start(replica.name)
    elif kind < 12:
        world.group.rebalance()
    elif kind < 14 and world.is_static and replica.beats:
        world.struck["replaced while it may send"] += 1
        if b % 2 == 0:
            _cut_off(world, replica, b)
        world.start(replica.name)


def _cut_off(world: World, replica: Replica, b: int) -> None:
    replica.is_cut_off = True
    world.loop.call_later(_long(b), setattr, replica, "is_cut_off", False, context=world.context)


def _kill(world: World, replica: Replica, b: int) -> None:
    is_uncommitted = any(
        offset >= (world.books.commits[partition].offset if partition in world.books.commits else 0)
        for partition, offset in world.books.ends
        if partition in replica.shell.machine.assignment.partitions()
    )
    world.struck["killed between receipt and commit" if is_uncommitted else "killed"] += 1
    world.kill(replica)
    if replica.name is not None or b % 2:
        world.start(replica.name)
    else:
        world.loop.call_later(_long(b), world.start, None, context=world.context)


def _long(b: int) -> float:
    """From nearly a session to twice as long."""
    return SESSION_SECONDS * (0.8 + 1.2 * b / 256)


async def _settle(world: World) -> list[Replica]:
    """From now on nothing fails: everything must come to its end, and everybody must stop when asked to."""
    world.cluster.faults.none()
    world.moods.clear()
    world.start_missing()
    await asyncio.sleep(2 * SESSION_SECONDS)
    for number in range(SETTLING_ROUNDS):
        world.check()
        if world.is_settled():
            break
        if number % 2 == 0:  # refused events wait for an acceptance after their refusal
            world.produce(0, 1000 + number, 1, "cus_a")
        await asyncio.sleep(SETTLING_SECONDS)
    else:
        raise AssertionError(f"not settled: {[replica.shell.machine.counts for replica in world.replicas]}")
    last = list(world.replicas)
    for replica in last:
        replica.shell.stop.set()
    await asyncio.wait([replica.task for replica in last])
    return last
