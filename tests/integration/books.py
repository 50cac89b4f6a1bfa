"""What a test produced, and whether all of it has ended: the books of keys and origins, kept as the demo keeps them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from meter.demo import evidence, topics
from meter.demo.provider import Provider
from meter.demo.reconciliation import Billed, Expected, Fault, Found, Origin, reconcile

PARTITIONS = 4
CUSTOMERS = 50
PRODUCT = "prd_SEARCH"
KEY = b"usage"
"""Of every record: a tombstone needs one; partitions are given."""


Rows = Sequence[tuple[str, Billed]]
"""Of the provider, each with its key."""


class Planned(NamedTuple):
    """One record to produce, and what must become of it: `key` of a valid one, `reason` of any other."""

    partition: int
    value: bytes | None
    key: str | None = None
    billed: Billed | None = None
    reason: str | None = None


def nameless(number: int, customer: str) -> Planned:
    """An event whose identity is its place in the topic."""
    value = json.dumps({"customerRef": customer, "units": 1 + number}).encode()
    return Planned(number % PARTITIONS, value, f"unknown-{number}", Billed(customer, 1 + number))


@dataclass(frozen=True)
class Ledger:
    """Everything that was produced so far, by key and by place in the topic."""

    rows: dict[str, Billed] = field(default_factory=dict)
    keys: dict[Origin, str] = field(default_factory=dict)
    dead_lettered: dict[Origin, str] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    """Partition -> the offset after the last record produced."""

    def note(self, planned: Planned, partition: int, offset: int) -> None:
        """The broker has put it there."""
        self.ends[partition] = max(self.ends.get(partition, 0), offset + 1)
        if planned.key is not None and planned.billed is not None:
            self.keys[Origin(partition, offset)] = planned.key
            self.rows[planned.key] = planned.billed
        else:
            self.dead_lettered[Origin(partition, offset)] = planned.reason or ""

    @property
    def expected(self) -> Expected:
        """What must become of all of it."""
        return Expected(rows=self.rows, keys=self.keys, dead_lettered=self.dead_lettered)


def usage(number: int, partition: int | None = None) -> Planned:
    """Usage event `number`, valid, with a key of its own; in the partition of its number unless told otherwise."""
    customer, units, key = f"cus_{number % CUSTOMERS}", 1 + number % 9, f"event-{number}"
    fields = {"customerRef": customer, "productRef": PRODUCT, "units": units, "idempotencyKey": key}
    place = number % PARTITIONS if partition is None else partition
    return Planned(place, json.dumps(fields).encode(), key, Billed(customer, units))


def invalid(number: int) -> Planned:
    """A record that can never be billed, of one of four kinds."""
    value, reason = (
        (b'{"customerRef": "cus_', "invalid:not_json"),
        (b'{"units": 1}', "invalid:missing_customer"),
        (b'{"customerRef": "cus_1", "units": -1}', "invalid:units"),
        (None, "invalid:empty"),
    )[number % 4]
    return Planned(number // 4 % PARTITIONS, value, reason=reason)


def usages(count: int, first: int = 0, invalid_every: int = 400) -> Iterable[Planned]:
    """`count` usage events, and after every so many of them one record that is none."""
    for number in range(first, first + count):
        yield usage(number)
        if number % invalid_every == invalid_every - 1:
            yield invalid(number // invalid_every)


async def produce(
    servers: str, topic: str, planned: Iterable[Planned], ledger: Ledger, compression: str | None = "lz4"
) -> None:
    """Send all of them, and note where the broker has put each."""
    producer = AIOKafkaProducer(
        bootstrap_servers=servers,
        enable_idempotence=True,
        compression_type=compression,
        linger_ms=5,
        max_request_size=2**21,
    )
    await producer.start()
    try:
        waiting = [(one, await producer.send(topic, one.value, KEY, one.partition)) for one in planned]
        for one, future in waiting:
            place = await future
            ledger.note(one, place.partition, place.offset)
    finally:
        await producer.stop()


async def rows_at(sandbox_url: str) -> Rows:
    """Whatever the provider has billed."""
    async with Provider(sandbox_url) as provider:
        return list(await provider.rows())


async def faults_in_the_books(
    servers: str, topic: str, group: str, rows: Rows, ledger: Ledger, statuses: Sequence[Mapping[str, Any]]
) -> list[Fault]:
    """Everything that is wrong with rows, dead letters, receipts, commits and counters together; empty: nothing is.

    `statuses` are those of all running meters, which may be none.
    """
    committed = await committed_offsets(servers, group)
    receipted = evidence.receipts(await topics.read(servers, f"{topic}-receipts"))
    letters = await topics.read(servers, f"{topic}-dead-letters")
    found = Found(
        rows=rows,
        dead_lettered=evidence.dead_lettered(letters),
        receipted={origin: key for origin, (key, _) in receipted.ends.items()},
        accepted_keys=receipted.accepted_keys,
        lag={partition: end - committed.get(partition, 0) for partition, end in ledger.ends.items()},
        counters=added_up(statuses),
    )
    return reconcile(ledger.expected, found)


def added_up(statuses: Sequence[Mapping[str, Any]]) -> Mapping[str, int]:
    """The counters of all running meters together."""
    names = ("consumed", "accepted", "duplicate", "dead_lettered", "released", "held")
    return {name: sum(status["events"][name] for status in statuses) for name in names}


async def committed_offsets(servers: str, group: str) -> Mapping[int, int]:
    """Partition -> what the group has committed, asked from outside the group."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(group)
    finally:
        await admin.close()
    return {place.partition: at.offset for place, at in found.items() if at.offset >= 0}
