"""What a user or a producer gets wrong: one clear sentence each, the right exit code, and nothing lost."""

import json
import random
import socket
from collections.abc import Iterable
from pathlib import Path

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from meter.demo.reconciliation import Billed
from meter.localkafka import LocalKafka
from meter.localkafka.ports import HOST, any_free
from tests.brokers import Broker, MakeTopic, create_topic, records_in
from tests.integration.books import PARTITIONS, Planned, usage, usages
from tests.integration.daemon import KEY, Installation, installation
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)

NOWHERE = "127.0.0.1:1"
LARGEST_BYTES = 1_048_588 - 61 - 16
"""Of a value: what a broker takes by default, less what a batch and a record of it need."""


async def refusal(place: Installation, **options: object) -> list[str]:
    """The lines of a meter that must not even start, exit 2."""
    program = place.start_program("meter", ["run"], **options)
    assert await program.end() == 2
    assert "Traceback" not in program.log
    return program.log.splitlines()


async def test_a_configuration_that_cannot_work_ends_with_a_sentence_for_each_fault(tmp_path: Path) -> None:
    """Unknown option and missing key, both at once, exit 2, before anything is connected."""
    async with installation(NOWHERE, "usage", tmp_path) as place:
        lines = await refusal(place, kafka__topci="usage", billing__secret_key=None)
        assert [line for line in lines if "METER_KAFKA__TOPCI is not an option" in line], lines
        assert [line for line in lines if "billing.secret_key is missing" in line], lines


async def test_a_port_in_use_is_said_before_anything_is_consumed(tmp_path: Path) -> None:
    """One sentence that names the port and the option, exit 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with installation(NOWHERE, "usage", tmp_path) as place:
            (line,) = await refusal(place, http__port=port)
            assert str(port) in line
            assert "http.port" in line


async def test_a_wrong_key_pauses_and_the_right_one_resumes(broker: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    """401: nothing is sent but probes, nothing is dead-lettered, `/readyz` says why; mended, everything is billed."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        sandbox = await place.start_sandbox(key="sk_sandbox_another")
        await place.produce(usages(2_000))
        meter = await place.start_meter()
        await meter.says("billing_paused: unauthorized")
        assert (await meter.status())["billing"]["state"] == "paused"
        assert KEY not in meter.program.log

        sandbox.kill()
        await place.start_sandbox(key=KEY)

        await place.everything_ended()
        await place.books_balance()
        await eventually(meter.ready, 60, "meter is ready")


async def test_an_unreachable_broker_is_waited_for(tmp_path: Path) -> None:
    """One log line however often it is tried, `/readyz` 503 with the reason; when it appears, work begins."""
    port = any_free()
    async with installation(f"{HOST}:{port}", "usage", tmp_path) as place:
        await place.start_sandbox()
        meter = await place.start_meter()
        await meter.says("nothing is listening there")
        assert (await meter.status())["ready"] is False

        with LocalKafka(port=port):
            await create_topic(place.servers, place.topic, PARTITIONS)
            await place.produce(usages(2_000))
            await place.everything_ended()
            await place.books_balance()
            assert meter.program.log.count("nothing is listening there") == 1
            await meter.program.stop()


async def test_an_unreachable_provider_is_waited_for(broker: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    """Nothing is lost and nothing dead-lettered; `/readyz` says so after a while; when it appears, all is billed."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.produce(usages(2_000, invalid_every=500))
        meter = await place.start_meter()
        await meter.says("billing_unreachable: ")
        assert (await meter.status())["events"]["dead_lettered"] == 4

        await place.start_sandbox()

        await place.everything_ended()
        await place.books_balance()


async def test_garbage_in_the_topic_is_dead_lettered_and_the_rest_is_billed(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """Random bytes, tombstones, and records as large as the broker takes, some of them good. Of garbage as large as
    that there is no room for a dead letter with its reason: it is cut."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox()
        await place.produce(_with_garbage(2_000))
        await place.produce([of(number) for of in (_large, _large_garbage) for number in range(4)], compression=None)
        with pytest.raises(MessageSizeTooLargeError):
            await place.produce([Planned(0, bytes(LARGEST_BYTES + 1))], compression=None)
        await place.start_meter()
        await place.everything_ended()
        await place.books_balance()
        letters = await records_in(place.servers, f"{place.topic}-dead-letters")
        cut = [json.loads(dict(letter.headers).get("meter-truncated", b"{}")) for letter in letters]
        assert [one["value_bytes"] for one in cut if one] == [LARGEST_BYTES] * 4


def _with_garbage(count: int) -> Iterable[Planned]:
    chance = random.Random(3)
    for number in range(count):
        yield usage(number)
        if number % 20 == 0:  # 0xff begins no UTF-8 text
            yield Planned(
                number // 20 % 4, b"\xff" + chance.randbytes(chance.randrange(2_000)), reason="invalid:not_json"
            )
        elif number % 20 == 1:
            yield Planned(number // 20 % 4, None, reason="invalid:empty")


def _large_garbage(partition: int) -> Planned:
    return Planned(partition, b"\xff" * LARGEST_BYTES, reason="invalid:not_json")


def _large(partition: int) -> Planned:
    key = f"large-{partition}"
    start, end = f'{{"customerRef": "cus_large", "idempotencyKey": "{key}", "metadata": {{"text": "', '"}}'
    value = start + "x" * (LARGEST_BYTES - len(start) - len(end)) + end
    return Planned(partition, value.encode(), key, Billed("cus_large", 1))
