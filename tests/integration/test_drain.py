"""SIGTERM: what is held is sent, everything is committed, the process says goodbye and exits 0."""

import signal
from pathlib import Path

import pytest

from tests.brokers import Broker, MakeTopic
from tests.integration.books import committed_offsets, usages
from tests.integration.daemon import OVER_BOTH, SLOW, installation
from tests.waiting import eventually

EVENTS = 20_000

pytestmark = pytest.mark.timeout(300)


@OVER_BOTH
async def test_what_is_held_at_sigterm_is_billed_and_committed_before_the_end(
    broker: Broker, topic: MakeTopic, tmp_path: Path, transport: str
) -> None:
    """With every record read and most of them held: exit 0, nothing held, committed = end, the books balance."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path, transport) as place:
        await place.start_sandbox(SLOW)
        await place.produce(usages(EVENTS))
        meter = await place.start_meter()

        async def all_read() -> bool:
            consumed: int = (await meter.status())["events"]["consumed"]
            return consumed == len(place.ledger.expected.origins)

        await eventually(all_read, 60, "every record is read")
        await place.strike_moment(1, EVENTS)

        await meter.program.stop()
        await place.books_balance()
        assert await committed_offsets(place.servers, place.group) == place.ledger.ends
        assert '"event": "drained", "held": 0}' in meter.program.log
        await place.nothing_more_is_sent()
        await place.books_balance()


async def test_a_provider_that_is_away_does_not_keep_the_process_from_ending(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """After `run.drain_timeout_seconds` what is held is given back, uncommitted: the next process bills it."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox({"route": "/v1/sdk/usages/bulk", "kind": "status", "status": 503})
        await place.produce(usages(500))
        meter = await place.start_meter(run__drain_timeout_seconds=1)
        await eventually(lambda: "billing.retrying" in meter.program.log, 60, "the provider refuses")

        await meter.program.stop()
        assert (await place.sandbox.totals())["usages"] == 0
        await place.sandbox.fail()
        await place.start_meter()

        await place.everything_ended()
        await place.books_balance()


async def test_a_second_signal_ends_it_at_once(broker: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    """Whoever does not want to wait for the drain says so; redelivery is the recovery."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox({"route": "/v1/sdk/usages/bulk", "kind": "status", "status": 503})
        await place.produce(usages(500))
        meter = await place.start_meter(run__drain_timeout_seconds=600)
        await eventually(lambda: "billing.retrying" in meter.program.log, 60, "the provider refuses")

        meter.program.signal(signal.SIGTERM)
        await eventually(lambda: "draining" in meter.program.log, 60, "it drains")
        meter.program.signal(signal.SIGTERM)
        assert await meter.program.end() == 128 + signal.SIGTERM
        assert '"event": "drained"' not in meter.program.log
