"""`meter audit` on the real broker: the books from outside, and what somebody has passed over."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from meter.http.server import serve
from meter.sandbox.app import Sandbox
from meter.sandbox.knobs import Knobs
from meter.sandbox.store import Store
from tests.brokers import Broker, MakeTopic
from tests.integration.books import usage, usages
from tests.integration.daemon import Installation, installation

EVENTS = 2_000

pytestmark = pytest.mark.timeout(300)


async def audited(place: Installation, *arguments: str, **options: object) -> tuple[int, Any]:
    """Exit code and findings of one `meter audit --json`."""
    program = place.start_program("audit", ["audit", "--json", *arguments], **options)
    code = await program.end()
    return code, json.loads(program.log)


async def test_every_offset_has_one_end_after_a_kill_and_the_provider_agrees(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """Killed in between, with copies and invalid records: accepted, duplicate and dead-lettered add up to the topic;
    and each event can be explained."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox()
        meter = await place.start_meter()
        await place.produce([*usages(EVENTS, invalid_every=100), usage(7, partition=1), usage(7, partition=0)])
        meter.kill()
        await place.start_meter()
        await place.everything_ended()

        code, found = await audited(place)
        assert (code, found["verdict"], found["gaps"], found["notYetEnded"]) == (0, "ok", 0, 0)
        assert found["records"] == EVENTS + EVENTS // 100 + 2
        assert found["dead_lettered"] == EVENTS // 100
        assert found["acceptedOncePerKey"]["events"] == EVENTS
        assert found["provider"]["verdict"] == "agrees"

        explain = place.start_program("explain", ["explain", "event-7", "--json"])
        assert await explain.end() == 0, explain.log
        told = json.loads(explain.log)
        assert sorted(record["end"] for record in told["records"]) == ["accepted", "duplicate", "duplicate"]
        assert told["reference"].startswith("usage_")
        assert told["verdict"].startswith(f"billed: the provider's reference is {told['reference']}")

        code, later = await audited(place, "--from", "2100-01-01")
        assert (code, later["records"]) == (0, 0)


async def test_what_somebody_has_committed_without_an_end_is_a_gap(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """Exit 1 and the offsets; a provider that cannot be asked is never called good."""
    async with installation(broker.bootstrap_servers, await topic(partitions=1), tmp_path) as place:
        await place.produce([usage(number, partition=0) for number in range(10)])
        await _commit(place, 7)
        code, found = await audited(place)
        assert (code, found["verdict"], found["gaps"], found["notYetEnded"]) == (1, "failed", 7, 3)
        assert found["partitions"][0]["gaps"] == [[0, 6]]
        assert found["provider"]["verdict"] == "not verifiable"


async def test_a_provider_that_shows_nobody_its_rows_is_never_called_good(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """As the real one: it bills, and has no route that tells. Exit 1 and in words, unless Kafka alone was wanted."""
    async with (
        installation(broker.bootstrap_servers, await topic(), tmp_path) as place,
        provider_without_controls() as url,
    ):
        options = {"billing__base_url": url}
        await place.start_meter(**options)
        await place.produce(usages(100))
        await place.everything_ended()

        code, found = await audited(place, **options)
        assert (code, found["verdict"], found["good"], found["accepted"]) == (1, "not_verifiable", False, 100)
        code, found = await audited(place, "--kafka-only", **options)
        assert (code, found["verdict"], found["provider"]) == (0, "ok", {"verdict": "not asked"})

        said = [place.start_program("audit", ["audit", *more], **options) for more in ([], ["--kafka-only"])]
        assert [await program.end() for program in said] == [1, 0]
        unknown, alone = (program.log.splitlines()[-1] for program in said)
        ends = "every one of 100 offsets has exactly one end (100 accepted, 0 duplicate, 0 dead-lettered)"
        why = "the provider shows nobody its usage rows"
        assert unknown == f"NOT VERIFIABLE  {ends}; provider: not verifiable ({why})"
        assert alone == f"OK  {ends}; Kafka alone: the provider was not asked"


@asynccontextmanager
async def provider_without_controls() -> AsyncIterator[str]:
    """The provider's own routes and no other, as outside of a sandbox; its address."""
    with closing(Store(counting=Knobs().counting)) as store:
        sandbox = Sandbox(store, knobs=Knobs())

        async def public(scope: Scope, receive: Receive, send: Send) -> None:
            shown = scope["type"] != "http" or scope["path"].startswith("/v1/")
            await (sandbox if shown else PlainTextResponse("not found", 404))(scope, receive, send)

        async with serve(public, "127.0.0.1", 0) as port:
            yield f"http://127.0.0.1:{port}"


async def _commit(place: Installation, offset: int) -> None:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=place.servers, group_id=place.group, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(place.topic, 0)])
        await consumer.commit({TopicPartition(place.topic, 0): offset})
    finally:
        await consumer.stop()
