"""A range that was billed is sent again on the real broker: recognised, killed halfway and run again, once each."""

import json
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import Broker, MakeTopic, records_in
from tests.integration.books import committed_offsets, invalid, nameless, usage
from tests.integration.daemon import Installation, installation
from tests.waiting import eventually

EVENTS = 400
WITHOUT_ID = 40

pytestmark = pytest.mark.timeout(300)


def at(wall_seconds: float) -> str:
    return datetime.fromtimestamp(wall_seconds, UTC).isoformat()


async def replay(place: Installation, *arguments: str, code: int = 0, **options: object) -> Any:
    """What `meter replay ... --json` says; the sentence on stderr when it fails."""
    program = place.start_program("replay", ["replay", *arguments, "--json"], **options)
    assert await program.end() == code, program.log
    return json.loads(program.log) if code == 0 else program.log


async def test_a_range_that_was_billed_is_recognised_and_never_billed_again(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """Events with and without ids are billed, then sent again: refused where they may be forgotten, told in a dry run,
    killed halfway and run again. No row is added, the provider is not even asked, every offset has one end, and the
    replay has not moved the commit.
    """
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox()
        await place.start_meter()
        begun = time.time() - 1
        await place.produce([usage(number) for number in range(EVENTS)])
        await place.produce([nameless(number, "cus_nameless") for number in range(WITHOUT_ID)])
        await place.produce([invalid(number) for number in range(4)])
        await place.everything_ended()
        rows, ended = EVENTS + WITHOUT_ID, at(time.time() + 1)
        assert (await place.sandbox.totals())["usages"] == rows
        span = ("--from", at(begun), "--to", ended)

        refused = await replay(place, *span, code=2, billing__idempotency_window_seconds=0.5)
        assert "billing.idempotency_window_seconds" in refused
        would = await replay(place, *span, "--dry-run", billing__idempotency_window_seconds=3600)
        assert (would["sent"], would["recognised"], would["leftAlone"]) == (rows, rows, {"invalid": 4})
        assert would["customers"]["cus_nameless"] == {"recognised": WITHOUT_ID, "unbilled": 0}
        left_out = await replay(place, *span, "--unbilled")
        assert (left_out["sent"], left_out["leftAlone"]) == (0, {"already_billed": rows, "invalid": 4})

        async def in_the_topic() -> int:
            return len(await records_in(place.servers, place.topic))

        assert await in_the_topic() == rows + 4
        killed = place.start_program("replay", ["replay", *span, "--per-second", "60"])

        async def some_are_sent() -> bool:
            return await in_the_topic() >= rows + 40

        await eventually(some_are_sent, 60, "some are sent again")
        killed.signal(signal.SIGKILL)
        await killed.end()
        assert await in_the_topic() < 2 * rows

        await place.meters[0].program.stop()
        committed = await committed_offsets(place.servers, place.group)
        again = await replay(place, *span)
        assert (again["sent"], again["recognised"]) == (rows, rows)
        assert await committed_offsets(place.servers, place.group) == committed

        await place.start_meter()
        records = await in_the_topic()

        async def all_are_recognised() -> bool:
            return sum((await committed_offsets(place.servers, place.group)).values()) == records

        await eventually(all_are_recognised, 60, "everything sent again is recognised")
        totals = await place.sandbox.totals()
        assert (totals["usages"], totals["duplicates"]) == (rows, 0)
        audit = place.start_program("audit", ["audit"])
        assert await audit.end() == 0, audit.log


async def test_what_latest_has_skipped_is_billed_by_a_replay(broker: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    """Records below the commit that no receipt names: with their ids, or those of their places, once."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox()
        begun = time.time() - 1
        await place.produce([nameless(number, "cus_nameless") for number in range(WITHOUT_ID)])
        meter = await place.start_meter(kafka__start_from="latest")
        await eventually(meter.ready, 60, "meter is ready")
        span = ("--from", at(begun), "--to", at(time.time()))
        for _ in range(2):
            sent = await replay(place, *span, "--unbilled")
            assert sent["sent"] == (WITHOUT_ID if sent["unbilled"] else 0)

            async def all_are_billed() -> bool:
                return (await place.sandbox.totals())["usages"] == WITHOUT_ID

            await eventually(all_are_billed, 60, "what was skipped is billed")
        assert sent["leftAlone"] == {"already_billed": WITHOUT_ID}
