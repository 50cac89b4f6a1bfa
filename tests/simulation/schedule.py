"""A schedule: small numbers that pick, step by step, what happens next in the world."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from meter.pipeline.assignment import ENDED_ALLOWANCE, REFUSED_ALLOWANCE
from meter.pipeline.machine import Machine
from tests.simulation.broker import Broker
from tests.simulation.group import come_back, cut_off, heartbeat, join, kill, rebalance, stop, wake
from tests.simulation.member import MAX_HELD_EVENTS, Member
from tests.simulation.provider import BAD_CUSTOMERS, NEW_CUSTOMER, Provider
from tests.simulation.replacing import replace
from tests.simulation.world import MOST_POLLED, PARTITIONS, World

Step = tuple[int, int, int]


class Case(NamedTuple):
    """One schedule, and the world that it happens in."""

    seed: int
    members: int
    schedule: list[Step]


KINDS = 70
"""Kinds of steps; 0 is nothing at all, so that a schedule that is made simpler says which steps matter."""
PRODUCING = range(1, 11)
KEYS = 90
ANSWERS = ("ok", "ok", "ok", "ok", "cut_before", "cut_after", "late", "busy", "unauthorized", "too_large", "not_sent")
WRITES = ("ok", "ok", "ok", "unacknowledged", "failed", "too_large")
SETTLING_ROUNDS = 1000


def customer_of(key: int) -> str:
    """Most keys have a good customer; others one that the provider refuses, one who comes later, or none."""
    if key % 9 == 4:
        return BAD_CUSTOMERS[key % 2]
    if key % 13 == 5:
        return NEW_CUSTOMER
    return "" if key % 11 == 7 else f"cus_{key % 3}"


def events_of(b: int) -> int:
    """How many events a step produces."""
    return 1 + b % 9


def events_in(steps: Sequence[Step]) -> int:
    """How many events the schedule produces."""
    return sum(events_of(b) for kind, _, b in steps if kind in PRODUCING)


def play(world: World, steps: Sequence[Step]) -> None:
    """Lets everything happen that the schedule says.

    What chance decides in one step does not depend on the steps before it: one of them can be left out.
    """
    for _ in range(world.max_members):
        join(world)
    for number, (kind, a, b) in enumerate(steps):
        if kind:
            world.chance.seed((world.seed << 16) + number)
            _happen(world, kind, a, b)


def settle(world: World) -> None:
    """From now on nothing fails: everything must come to its end."""
    for member in [member for member in world.members if member.is_stopped]:
        wake(world, member)
    if not world.members:
        join(world)
    fresh = 1000
    for _ in range(SETTLING_ROUNDS):
        if any(world.seconds >= member.session_until for member in world.members):
            rebalance(world)  # the broker has dropped it, and it joins again
        for member in world.members:
            heartbeat(world, member)
            if any(_is_hopeless(member, partition) for partition in member.paused):
                world.struck["only an operator could help"] += 1
                for customer in BAD_CUSTOMERS:
                    world.park(member, customer)
            _calm(world, member)
        world.pass_time(2.0)
        if _is_settled(world):
            return
        fresh += 1
        if fresh % 2 == 0 and fresh < 1600:  # refused events wait for an acceptance after their refusal
            world.produce(fresh % PARTITIONS, fresh, 1, "cus_a")
    raise AssertionError(f"not settled: {[member.machine.counts for member in world.members]}")


def check_ends(broker: Broker, provider: Provider, machines: Iterable[Machine]) -> None:
    """Every offset has an end; every billable key one row, every other event a dead letter."""
    by_key = defaultdict(set)
    for partition, log in broker.logs.items():
        for record in log:
            assert (partition, record.offset) in broker.ends, "an offset without an end"
            event = json.loads(record.value or b"")
            by_key[event["idempotencyKey"]].add(event["customerRef"])
    for key, customers in by_key.items():
        (customer,) = customers
        rows, is_dead_lettered = provider.rows[key], key in broker.dead_keys
        if customer in BAD_CUSTOMERS:
            assert (rows, is_dead_lettered) == (0, True), f"{key} is bad: {rows} rows"
        elif customer == NEW_CUSTOMER:
            assert rows == 1 or (rows == 0 and is_dead_lettered), f"{key} came too early: {rows} rows"
        else:
            assert rows == (customer != ""), f"{key} of {customer}: {rows} rows"
    for machine in machines:
        assert len(machine.usage) == 0, "units are held, and no event"


def _happen(world: World, kind: int, a: int, b: int) -> None:
    running = world.running()
    member = running[a % len(running)] if running else None
    if kind in PRODUCING:
        for key in range(a, a + events_of(b)):
            world.produce(b % PARTITIONS, key % KEYS, 1 + (a % 7 == 0), customer_of(key % KEYS))
    elif member is None:
        join(world)
    elif kind < 25:
        world.poll(member, b % PARTITIONS, 1 + a % 8)
    elif kind < 39:
        world.answer_any(member, ANSWERS[b % len(ANSWERS)])
    elif kind < 51:
        world.finish_write(member, WRITES[b % len(WRITES)])
    elif kind < 57:
        world.finish_commit(member, ("applied", "applied", "unheard", "lost")[b % 4])
    elif kind < 63:
        world.pass_time(0.3 + b % 7)
    elif kind < 68 or kind == 70:
        _membership(world, member, kind - 63, a)
    else:
        world.park(member, BAD_CUSTOMERS[a % 2])


def _membership(world: World, member: Member, kind: int, a: int) -> None:
    stopped = [other for other in world.members if other.is_stopped]
    if kind == 0:
        kill(world, member)
    elif kind == 1 and len(world.running()) > 1:
        stop(world, member)
    elif kind == 2 and stopped:
        wake(world, stopped[a % len(stopped)])
    elif kind == 3 and a % 3 == 0:
        cut_off(world, member)
    elif kind == 4 and len(world.members) == 1:
        come_back(world, member)
    elif kind == 7 and world.is_static and member.positions:
        replace(world, member)
    elif len(world.members) < world.max_members:
        join(world)
    else:
        world.struck["rebalance"] += 1
        rebalance(world)


def _calm(world: World, member: Member) -> None:
    for partition in list(member.positions):
        world.poll(member, partition, MOST_POLLED)
    for _ in range(4):
        world.answer_any(member, "ok")
        world.finish_write(member, "ok")
    world.finish_commit(member, "applied")


def _is_hopeless(member: Member, partition: int) -> bool:
    """Refused events, or what has ended behind them, fill all the memory that the partition may ever take."""
    progress, share = member.machine.assignment.progress(partition), MAX_HELD_EVENTS / len(member.positions)
    if progress is None:
        return False
    held, ended = progress.held(), progress.load() - progress.held()
    return held >= REFUSED_ALLOWANCE * share or ended >= ENDED_ALLOWANCE * share


def _is_settled(world: World) -> bool:
    committed = {partition: commit.offset for partition, commit in world.broker.commits.items()}
    return committed == {partition: len(log) for partition, log in world.broker.logs.items()}
