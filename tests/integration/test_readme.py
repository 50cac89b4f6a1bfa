"""The examples of the README, run as they stand against the real broker; only addresses and topics are replaced."""

import os
import re
import subprocess
import sys

from aiokafka import AIOKafkaConsumer, TopicPartition

from meter.pipeline.event import Origin, UsageEvent, decode
from tests.brokers import Broker, MakeTopic
from tests.doc_tables import README

TEXT = README.read_text(encoding="utf-8")


def example(pattern: str) -> str:
    """The one part of the README that fits."""
    (found,) = re.findall(pattern, TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


def run(command: list[str], broker: Broker, topic: str, given: str = "") -> str:
    """Its output; it must end well."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("METER_")}
    environ |= {"METER_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers, "METER_KAFKA__TOPIC": topic}
    done = subprocess.run(command, env=environ, input=given, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def placed(program: str, broker: Broker, topic: str) -> str:
    """The program with this broker and topic in it; both must have been there."""
    assert "127.0.0.1:9092" in program
    assert "usage-events" in program
    return program.replace("127.0.0.1:9092", broker.bootstrap_servers).replace("usage-events", topic)


async def only_event(broker: Broker, topic: str) -> tuple[bytes | None, UsageEvent]:
    """Key and event of the single record in the topic, which must be billable now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap_servers)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(partitions or [TopicPartition(topic, 0)])
        await consumer.seek_to_beginning()
        record = await consumer.getone()
    finally:
        await consumer.stop()
    event = decode(record, Origin("cluster", topic, record.partition), record.timestamp / 1000)
    assert isinstance(event, UsageEvent), event
    return record.key, event


async def test_the_producer_to_copy_sends_an_event_that_meter_bills(broker: Broker, topic: MakeTopic) -> None:
    """Copied as it stands it runs, and what it sends is valid and keyed by customer."""
    name = await topic(partitions=1)
    program = placed(example(r"^```python\n(.*?)^```$"), broker, name)
    run([sys.executable, "-c", program], broker, name)
    key, event = await only_event(broker, name)
    assert (key, event.customer, event.units) == (event.customer.encode(), "cus_A1B2C3D4", 3)


async def test_the_line_to_pipe_sends_an_event_that_meter_bills(broker: Broker, topic: MakeTopic) -> None:
    """Without a program: `echo ... | meter send -`."""
    name = await topic(partitions=1)
    line = example(r"^echo '([^']+)' \| \.venv/bin/meter send -$")
    assert "sent 1 event to" in run([sys.executable, "-m", "meter", "send", "-"], broker, name, line)
    key, event = await only_event(broker, name)
    assert (key, event.product) == (b"cus_A1B2C3D4", "prd_P9Q0R1S2")
