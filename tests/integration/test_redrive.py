"""Dead letters on the real broker: the cause is mended, they are redriven, and each is billed once."""

import json
import random
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord

from meter.demo.reconciliation import Billed
from tests.brokers import Broker, MakeTopic, create_topic, records_in
from tests.integration.books import KEY, Planned, nameless, usage
from tests.integration.daemon import BULK_ROUTE, Installation, installation
from tests.waiting import eventually

REFUSED = 120
GOOD = 30
LETTER_BYTES = 4_000

pytestmark = pytest.mark.timeout(300)


async def letters(place: Installation, command: str, *arguments: str) -> Any:
    """What `meter dead-letters ... --json` says."""
    program = place.start_program("letters", ["dead-letters", command, *arguments, "--json"])
    assert await program.end() == 0, program.log
    return json.loads(program.log)


async def billed_units(place: Installation, customer: str) -> Sequence[int]:
    """Units of every row of a customer."""
    page = await place.sandbox.json("GET", "/sandbox/usages?limit=10000")
    return sorted(row["units"] for row in page["usages"] if row["customerRef"] == customer)


async def test_what_the_provider_refused_is_billed_once_after_a_redrive_that_was_killed(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """L3: 120 events without ids are refused; the provider is mended; the redrive is killed halfway and run again, and
    once more for nothing. Each has one row, and the audit agrees."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        refuse = {"route": BULK_ROUTE, "kind": "reject_event", "customers": ["cus_refused"], "named": True, "rate": 1}
        await place.start_sandbox(refuse)
        meter = await place.start_meter()

        async def only_refused_ones_are_held() -> object:
            status = await meter.status()
            is_read = status["events"]["consumed"] == sum(place.ledger.ends.values())
            return is_read and status["events"]["held"] == status["billing"]["refused"]["events"]

        for number in range(0, REFUSED, GOOD):  # few bad among many: else it looks as if the provider were unwell
            await place.produce([usage(number * 10 + good) for good in range(3 * GOOD)])
            await place.produce([nameless(bad, "cus_refused") for bad in range(number, number + GOOD)])
            await eventually(only_refused_ones_are_held, 60, "each of them has been refused")
            await place.produce([usage(10_000 + number)])  # accepted only now it tells that they are to blame
            await place.everything_ended()
        assert await billed_units(place, "cus_refused") == []
        listed = await letters(place, "list", "--reason", "rejected", "--customer", "cus_refused", "--open")
        assert len(listed) == REFUSED
        would = await letters(place, "redrive", "--dry-run")
        assert would["results"] == {"redriven": REFUSED}

        await place.sandbox.fail()
        killed = place.start_program("redrive", ["dead-letters", "redrive", "--per-second", "40"])

        async def some_are_billed() -> bool:
            return len(await billed_units(place, "cus_refused")) >= 20

        await eventually(some_are_billed, 60, "some are billed")
        killed.signal(signal.SIGKILL)
        await killed.end()
        assert len(await billed_units(place, "cus_refused")) < REFUSED

        rest = await letters(place, "redrive")
        assert rest["results"]["redriven"] > 0
        again = await letters(place, "redrive")
        assert again["results"] == {"already_redriven": REFUSED}

        async def all_are_billed() -> bool:
            return len(await billed_units(place, "cus_refused")) >= REFUSED

        await eventually(all_are_billed, 60, "all are billed")
        assert await billed_units(place, "cus_refused") == [1 + number for number in range(REFUSED)]
        records = await records_in(place.servers, place.topic)
        assert {record.key for record in records if is_redriven(record)} == {KEY}
        nobody = place.start_program("redrive", ["dead-letters", "redrive", f"{place.topic}:0:99999"])
        assert await nobody.end() == 1
        assert f"letters: {place.topic}:0:99999" in nobody.log
        audit = place.start_program("audit", ["audit"])
        assert await audit.end() == 0, audit.log


async def test_a_letter_that_was_cut_goes_back_whole_from_its_origin(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """L5: the dead-letter topic takes less than the source. What the provider refused is cut; mended, it is redriven as
    it was, and billed once."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await create_topic(place.servers, f"{place.topic}-dead-letters", 4, {"max.message.bytes": str(LETTER_BYTES)})
        refuse = {"route": BULK_ROUTE, "kind": "reject_event", "customers": ["cus_refused"], "named": True, "rate": 1}
        await place.start_sandbox(refuse)
        await place.start_meter()
        text = random.Random(5).randbytes(10 * LETTER_BYTES).hex()
        large = json.dumps({"customerRef": "cus_refused", "units": 7, "metadata": {"text": text}}).encode()
        await place.produce([usage(number) for number in range(3 * GOOD)])
        await place.produce([Planned(2, large, "unknown", Billed("cus_refused", 7)), nameless(3, "cus_refused")])
        await place.produce([usage(10_000)])
        await place.everything_ended()
        dead = await records_in(place.servers, f"{place.topic}-dead-letters")
        assert sorted(len(letter.value) for letter in dead) == [0, len(nameless(3, "cus_refused").value or b"")]

        await place.sandbox.fail()
        assert (await letters(place, "redrive"))["results"] == {"redriven": 2}
        again = [record for record in await records_in(place.servers, place.topic) if is_redriven(record)]
        assert large in [record.value for record in again]
        assert [record.key for record in again] == [KEY, KEY]

        async def both_are_billed() -> bool:
            return await billed_units(place, "cus_refused") == [4, 7]

        await eventually(both_are_billed, 60, "both are billed")
        assert (await letters(place, "redrive"))["results"] == {"already_redriven": 2}
        await place.nothing_more_is_sent(2.0)


def is_redriven(record: ConsumerRecord) -> bool:
    """Whether it has come back from the dead letters."""
    return "meter-redrives" in dict(record.headers)


async def test_an_operator_parks_what_never_ends_and_redrives_it_later(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """P5, P6: on a topic of refused events alone nothing ends by itself; by the operator's wish all of it is."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        refuse = {"route": BULK_ROUTE, "kind": "reject_event", "customers": ["cus_refused"], "named": True, "rate": 1}
        sandbox = await place.start_sandbox(refuse)
        meter = await place.start_meter()
        await place.produce([nameless(number, "cus_refused") for number in range(4)])

        async def all_are_refused() -> bool:
            status = await meter.status()
            return bool(status["events"]["held"] == 4 and (await sandbox.totals())["requests"] > 0)

        await eventually(all_are_refused, 60, "everything is held and was refused")
        park = place.start_program(
            "park", ["dead-letters", "park", "--customer", "cus_refused", "--json"], http__port=meter.port
        )
        assert await park.end() == 0, park.log
        answer = json.loads(park.log)
        assert (answer["parked"] + answer["waiting"], answer["elsewhere"]) == (4, [])
        await place.everything_ended()
        listed = await letters(place, "list", "--customer", "cus_refused")
        assert len(listed) == 4
        assert {letter["reason"] for letter in listed} <= {"rejected", "parked"}

        gone = place.start_program("park", ["dead-letters", "park", listed[0]["origin"]], http__port=meter.port)
        assert await gone.end() == 1
        assert "none of them can be parked here: already ended, not read yet" in gone.log
        await sandbox.fail()
        assert (await letters(place, "redrive"))["results"] == {"redriven": 4}

        async def all_are_billed() -> bool:
            return await billed_units(place, "cus_refused") == [1, 2, 3, 4]

        await eventually(all_are_billed, 60, "all are billed")


async def test_whoever_parks_at_one_of_several_replicas_is_told_what_the_others_may_hold(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """Each replica parks its own: the answer names the partitions that were not asked, and who has them."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        refuse = {"route": BULK_ROUTE, "kind": "reject_event", "customers": ["cus_refused"], "named": True, "rate": 1}
        await place.start_sandbox(refuse)
        one, other = await place.start_meter(), await place.start_meter()

        async def shared() -> bool:
            return (len(await one.partitions()), len(await other.partitions())) == (2, 2)

        await eventually(shared, 60, "each has two partitions")
        await place.produce([nameless(number, "cus_refused") for number in range(4)])

        async def all_are_held() -> bool:
            return [(await meter.status())["events"]["held"] for meter in (one, other)] == [2, 2]

        await eventually(all_are_held, 60, "each holds two events")
        theirs = await other.partitions()

        async def parked(*arguments: str) -> dict[str, Any]:
            program = place.start_program("park", ["dead-letters", "park", *arguments, "--json"], http__port=one.port)
            assert await program.end() == 0, program.log
            answer: dict[str, Any] = json.loads(program.log)
            return answer

        first = await parked("--customer", "cus_refused")
        assert first["parked"] + first["waiting"] == 2
        assert [(one["host"], set(one["partitions"])) for one in first["elsewhere"]] == [("127.0.0.1", set(theirs))]
        origin = f"{place.topic}:{min(theirs)}:0"
        wrong = place.start_program("park", ["dead-letters", "park", origin], http__port=one.port)
        assert await wrong.end() == 1
        assert f"partition {min(theirs)} is held by the replica at 127.0.0.1 (meter-" in wrong.log
        second = await parked(
            "--customer", "cus_refused", "--at", f"127.0.0.1:{one.port}", "--at", f"127.0.0.1:{other.port}"
        )
        assert (second["parked"] + second["waiting"] >= 2, second["elsewhere"]) == (True, [])
        await place.everything_ended()
