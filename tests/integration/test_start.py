"""Where a group begins: at its commits, else at the choice that was made once, and never by accident."""

import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, OffsetAndMetadata, TopicPartition
from aiokafka.admin import NewPartitions
from aiokafka.admin.records_to_delete import RecordsToDelete

from meter.pipeline.start import Choice, CommitNote, encode_note
from tests.brokers import Broker, MakeTopic, admin_of
from tests.integration.books import Ledger, committed_offsets, produce, usage, usages
from tests.integration.daemon import Installation, Meter, installation
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)

PARTITIONS = {0, 1, 2, 3}


async def started(place: Installation, **options: object) -> Meter:
    """A meter that has its partitions."""
    meter = await place.start_meter(**options)
    await eventually(meter.ready, 60, "meter is ready")
    return meter


async def billed_once(place: Installation) -> None:
    """Everything in the books is billed, and nothing else."""
    await place.everything_ended()
    await place.books_balance()


async def test_a_new_group_on_a_topic_with_records_is_asked_where_to_start(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """`kafka.start_from` is `refuse` by default: one sentence with the number of records and both ways, exit 2."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox()
        await place.produce(usages(100, invalid_every=1000))
        meter = place.start_program("meter", ["run"], http__port=0, kafka__start_from=None)
        assert await meter.end() == 2
        last = meter.log.splitlines()[-1]
        assert all(word in last for word in ("100 records", "kafka.start_from", "earliest", "latest")), last
        assert "Traceback" not in meter.log
        assert await committed_offsets(place.servers, place.group) == {}


async def test_earliest_bills_what_is_there(broker: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    """From the first record kept, and what comes later."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox()
        await place.produce(usages(100))
        await place.start_meter(kafka__start_from="earliest")
        await place.produce(usages(100, first=100))
        await billed_once(place)


async def test_latest_bills_what_comes_from_now_on_in_idle_partitions_too(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """S1: events that arrive in a partition nobody ever wrote to while meter is down are billed, not skipped."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox()
        before = Ledger()
        await produce(place.servers, place.topic, [usage(4 * n) for n in range(100)], before)
        meter = await started(place, kafka__start_from="latest")
        await meter.program.stop()

        await place.produce(usages(100, first=1000))
        await place.start_meter(kafka__start_from="latest")
        await billed_once(place)


async def test_an_empty_topic_needs_no_choice(broker: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    """S3: joined, died idle, events arrived: no refusal, and they are billed."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox()
        meter = await started(place, kafka__start_from="refuse")
        meter.kill()
        assert await committed_offsets(place.servers, place.group) == dict.fromkeys(PARTITIONS, 0)

        await place.produce(usages(100))
        await place.start_meter(kafka__start_from="refuse")
        await billed_once(place)


async def test_a_choice_that_was_half_committed_holds_as_of_its_time(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """S2: `latest` was chosen, partitions 0 and 1 were committed, then everybody died. Partitions 2 and 3 start at the
    moment of the choice: earlier records are not billed, later ones are."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox()
        await produce(place.servers, place.topic, usages(100, invalid_every=1000), Ledger())
        await _commit_choice(place, {0: 25, 1: 25})
        await place.produce(usages(100, first=1000))
        await place.start_meter(kafka__start_from="refuse")
        await billed_once(place)


async def _commit_choice(place: Installation, offsets: Mapping[int, int]) -> None:
    note = encode_note(CommitNote(Choice("latest", time.time(), len(PARTITIONS))))
    consumer = AIOKafkaConsumer(
        bootstrap_servers=place.servers, group_id=place.group, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        places = {TopicPartition(place.topic, partition): offset for partition, offset in offsets.items()}
        consumer.assign(list(places))
        await consumer.commit({at: OffsetAndMetadata(offset, note) for at, offset in places.items()})
    finally:
        await consumer.stop()


@pytest.mark.timeout(300)
async def test_an_added_partition_is_read_from_its_beginning(broker: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    """S4: `latest` is about the partitions that there were; a new one is seen within 10 s, and its first records
    are billed. The receipts topic grows with it."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox()
        await started(place, kafka__start_from="latest")
        async with admin_of(place.servers) as admin:
            await admin.create_partitions({place.topic: NewPartitions(5)})
        await place.produce([usage(n, partition=4) for n in range(100)])
        await place.everything_ended()
        await place.books_balance()


async def test_a_commit_that_fell_out_of_retention_is_loud(broker: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    """S5: meter goes on at the first record kept, and says in log and status how many are missing."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox()
        meter = await started(place)
        await meter.program.stop()
        await produce(place.servers, place.topic, [usage(n, partition=0) for n in range(30)], Ledger())
        async with admin_of(place.servers) as admin:
            await admin.delete_records({TopicPartition(place.topic, 0): RecordsToDelete(30)})

        await place.produce(usages(100, first=1000))
        meter = await place.start_meter()
        await billed_once(place)
        assert (await meter.status())["lost_records"] == 30
        assert "records.lost" in meter.program.log
