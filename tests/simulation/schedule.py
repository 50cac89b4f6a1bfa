"""A schedule: small numbers that pick, step by step, what happens next in the world."""

import json
from collections import defaultdict
from collections.abc import Sequence

from tests.simulation.member import Member
from tests.simulation.provider import BAD_CUSTOMERS, NEW_CUSTOMER
from tests.simulation.replacing import replace
from tests.simulation.world import MOST_POLLED, PARTITIONS, World

Step = tuple[int, int, int]
KINDS = 70
"""Kinds of steps; 0 is nothing at all, so that a schedule that is made simpler says which steps matter."""
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


def play(world: World, steps: Sequence[Step]) -> None:
    """Lets everything happen that the schedule says."""
    for _ in range(world.max_members):
        world.join()
    for kind, a, b in steps:
        if kind:
            _happen(world, kind - 1, a, b)


def settle(world: World) -> None:
    """From now on nothing fails: everything must come to its end."""
    for member in [member for member in world.members if member.is_stopped]:
        world.wake(member)
    if not world.members:
        world.join()
    fresh = 1000
    for _ in range(SETTLING_ROUNDS):
        if any(world.seconds >= member.session_until for member in world.members):
            world.rebalance()  # the broker has dropped it, and it joins again
        for member in world.members:
            _calm(world, member)
        world.pass_time(2.0)
        if _is_settled(world):
            return
        fresh += 1
        if fresh % 2 == 0 and fresh < 1600:  # refused events wait for an acceptance after their refusal
            world.produce(fresh % PARTITIONS, fresh, 1, "cus_a")
    raise AssertionError(f"not settled: {[member.machine.counts for member in world.members]}")


def check_ends(world: World) -> None:
    """Every offset has an end; every billable key one row, every other event a dead letter."""
    by_key = defaultdict(set)
    for partition, log in world.broker.logs.items():
        for record in log:
            assert (partition, record.offset) in world.broker.ends, "an offset without an end"
            event = json.loads(record.value or b"")
            by_key[event["idempotencyKey"]].add(event["customerRef"])
    for key, customers in by_key.items():
        (customer,) = customers
        rows, is_parked = world.provider.rows[key], key in world.broker.dead_keys
        if customer in BAD_CUSTOMERS:
            assert (rows, is_parked) == (0, True), f"{key} is bad: {rows} rows"
        elif customer == NEW_CUSTOMER:
            assert rows == 1 or (rows == 0 and is_parked), f"{key} came too early: {rows} rows"
        else:
            assert rows == (customer != ""), f"{key} of {customer}: {rows} rows"
    for member in world.members:
        assert len(member.machine.usage) == 0, "units are held, and no event"


def _happen(world: World, kind: int, a: int, b: int) -> None:
    running = world.running()
    member = running[a % len(running)] if running else None
    if kind < 10:
        for key in range(a, a + 1 + b % 9):
            world.produce(b % PARTITIONS, key % KEYS, 1 + (a % 7 == 0), customer_of(key % KEYS))
    elif member is None:
        world.join()
    elif kind < 24:
        world.poll(member, b % PARTITIONS, 1 + a % 8)
    elif kind < 38:
        world.answer_any(member, ANSWERS[b % len(ANSWERS)])
    elif kind < 50:
        world.finish_write(member, WRITES[b % len(WRITES)])
    elif kind < 56:
        world.finish_commit(member, ("applied", "applied", "unheard", "lost")[b % 4])
    elif kind < 62:
        world.pass_time(0.3 + b % 7)
    elif kind < 67 or kind == 69:
        _membership(world, member, kind - 62, a)
    else:
        world.park(member, BAD_CUSTOMERS[a % 2])


def _membership(world: World, member: Member, kind: int, a: int) -> None:
    stopped = [other for other in world.members if other.is_stopped]
    if kind == 0:
        world.kill(member)
    elif kind == 1 and len(world.running()) > 1:
        world.stop(member)
    elif kind == 2 and stopped:
        world.wake(stopped[a % len(stopped)])
    elif kind == 3 and a % 3 == 0:
        world.cut_off(member)
    elif kind == 4 and len(world.members) == 1:
        world.come_back(member)
    elif kind == 7 and world.is_static and member.positions:
        replace(world, member)
    elif len(world.members) < world.max_members:
        world.join()
    else:
        world.struck["rebalance"] += 1
        world.rebalance()


def _calm(world: World, member: Member) -> None:
    for partition in list(member.positions):
        world.poll(member, partition, MOST_POLLED)
    for _ in range(4):
        world.answer_any(member, "ok")
        world.finish_write(member, "ok")
    world.finish_commit(member, "applied")


def _is_settled(world: World) -> bool:
    committed = {partition: commit.offset for partition, commit in world.broker.commits.items()}
    return committed == {partition: len(log) for partition, log in world.broker.logs.items()}
