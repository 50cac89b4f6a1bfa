"""A process that is stuck and does not know why ends by itself; one that knows why stays."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from meter.pipeline.assignment import BLOCKED_AFTER_SECONDS
from tests.brokers import Broker, MakeTopic
from tests.integration.books import usage, usages
from tests.integration.daemon import BULK_ROUTE, Installation, Meter, installation
from tests.integration.kafka_proxy import KafkaProxy, proxied
from tests.waiting import eventually

STUCK_AFTER_SECONDS = 12
"""Long enough for a new client to join and fill its windows meanwhile."""
LOOKS_SECONDS = 15
"""So long /healthz says no before the process ends."""
FEW = 100
CUSTOMER = {"reference": "cus_1"}

pytestmark = pytest.mark.timeout(300)


async def at_work(place: Installation, way: KafkaProxy) -> Meter:
    """A meter on this way to the broker that has billed something and waits for more."""
    await place.start_sandbox()
    meter = await place.start_meter(kafka__bootstrap_servers=way.servers, run__stuck_after_seconds=STUCK_AFTER_SECONDS)
    await place.produce(usages(FEW))
    await place.everything_ended()
    return meter


async def test_a_process_that_is_stuck_for_an_unknown_cause_says_so_and_ends(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """Kafka answers everything and shows records, but whoever fetches them gets none, a new client no more than the
    old one: no cause is known, the provider is well. `/healthz` fails in time, the process ends with exit code 1 and
    a line that says why, and its successor, on a better way, bills what was left."""
    async with (
        installation(broker.bootstrap_servers, await topic(), tmp_path) as place,
        proxied(broker.bootstrap_servers, place.topic) as way,
    ):
        meter = await at_work(place, way)
        way.starve(for_ever=True)
        await eventually(lambda: way.barren_fetches > 1, 60, "nothing is under way any more")
        await place.produce(usages(FEW, first=FEW))

        async def unhealthy() -> bool:
            answer = await meter.ask("GET", "/healthz")
            return answer is not None and answer.status_code == 503

        await eventually(unhealthy, 3 * STUCK_AFTER_SECONDS, "/healthz fails")  # how soon: tests/unit/test_standing.py
        assert f"stuck: 0 events are held and {FEW} records wait at the broker" in await meter.says("stuck")

        assert await meter.program.end(LOOKS_SECONDS + 30) == 1
        why = "watchdog: nothing moves, nobody knows why, and /healthz has said so for some time; the process ends"
        assert why in meter.program.log
        assert "the client is recreated" in meter.program.log  # it had tried that before
        await place.start_meter()
        await place.all_is_billed_once()


async def test_a_client_that_silently_delivers_nothing_is_made_anew(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """The connections of now bring nothing any more, without an error; new ones would. The process goes on with them
    after a third of `run.stuck_after_seconds`, and was never unhealthy."""
    async with (
        installation(broker.bootstrap_servers, await topic(), tmp_path) as place,
        proxied(broker.bootstrap_servers, place.topic) as way,
    ):
        meter = await at_work(place, way)
        way.starve(for_ever=False)
        await eventually(lambda: way.barren_fetches > 1, 60, "nothing is under way any more")
        await place.produce(usages(FEW, first=FEW))

        await stays_healthy([meter], 2 * STUCK_AFTER_SECONDS)
        await place.all_is_billed_once()
        assert "have records but none arrives: the client is recreated" in meter.program.log


async def test_a_client_whose_requests_are_never_answered_goes_on_by_itself(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """The connection on which records are fetched is accepted, open and dead. That the broker does not say where
    partitions end is a reason not to be ready, and no lag is made up."""
    async with (
        installation(broker.bootstrap_servers, await topic(), tmp_path) as place,
        proxied(broker.bootstrap_servers, place.topic) as way,
    ):
        meter = await at_work(place, way)
        way.fall_silent()
        await place.produce(usages(FEW, first=FEW))

        await meter.says("kafka: cannot ask where partitions begin and end")
        assert {row["lag"] for row in (await meter.status())["partitions"]} == {None}
        await place.everything_ended()
        await place.all_is_billed_once()


async def test_a_known_cause_is_no_reason_to_restart(broker: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    """A refused key, one refused event on a quiet topic, and a partition that an unknown customer's event blocks: each
    holds events for longer than the watchdog's patience, each is left alone, and each ends as soon as it can."""
    async with AsyncExitStack() as places:

        async def place(name: str) -> Installation:
            (tmp_path / name).mkdir()
            return await places.enter_async_context(
                installation(broker.bootstrap_servers, await topic(), tmp_path / name)
            )

        refused_key, refused_event, blocked = [await place(name) for name in ("key", "event", "blocked")]
        await refused_key.start_sandbox({"route": BULK_ROUTE, "kind": "reject_key"})
        await refused_event.start_sandbox({"route": BULK_ROUTE, "kind": "reject_event", "customers": ["cus_7"]})
        await (await blocked.start_sandbox(strict_customer="true")).json("POST", "/sandbox/customers", CUSTOMER)
        meters = [await one.start_meter(run__stuck_after_seconds=2) for one in (refused_key, refused_event, blocked)]
        await refused_key.produce(usages(FEW))
        await refused_event.produce([usage(7)])
        await blocked.produce([usage(7, partition=0), usage(1, partition=0)])

        await stays_healthy(meters, 2 + LOOKS_SECONDS + 3)
        assert await meters[0].says("billing_paused: unauthorized")
        assert await meters[2].says("partition_blocked", 3 * BLOCKED_AFTER_SECONDS)
        await stays_healthy(meters, 2 + LOOKS_SECONDS + 3)

        await refused_key.sandbox.fail()
        await refused_event.sandbox.fail()
        await refused_event.produce([usage(1)])  # shows that the provider is well, so that the other one is to blame
        await blocked.sandbox.json("POST", "/sandbox/customers", {"reference": "cus_7"})
        for one in (refused_key, blocked):
            await one.everything_ended()
            await one.books_balance()
        await eventually(lambda: dead_lettered(meters[1]), 60, "the refused event is dead-lettered")


async def dead_lettered(meter: Meter) -> bool:
    """It has put one event into the dead letters."""
    dead_lettered: dict[str, int] = (await meter.status())["dead_lettered"]
    return dead_lettered == {"rejected": 1}


async def stays_healthy(meters: Iterable[Meter], seconds: float) -> None:
    """Nobody is told that only a restart can help, and nobody ends."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for meter in meters:
            assert meter.program.is_running
            answer = await meter.ask("GET", "/healthz")
            assert answer is not None
            assert answer.status_code == 200, answer.text
        await asyncio.sleep(0.25)
