"""The ceiling: the Kafka client alone, in the daemon's setting: `python -m bench.bare_loop SERVERS EVENTS FILE`.

Reads everything with `getmany` and does nothing with it; event loop, collector and consumer are set as in the daemon.
"""

import gc
import sys
import time
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.events import PARTITIONS, TOPIC
from bench.process_figures import resident_mebibytes
from meter.daemon import GC_THRESHOLDS
from meter.kafka.consumer import FETCH_BYTES, PARTITION_FETCH_BYTES
from meter.worker import POLL_TIMEOUT_SECONDS, RECORDS_PER_POLL


class BareFigures(msgspec.Struct):
    """What reading cost, from the first record to the last."""

    cpu_seconds: float
    wall_seconds: float
    resident_mebibytes: float


async def read_all(servers: str, events: int) -> BareFigures:
    """From the beginning of every partition until so many records were seen."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers,
        isolation_level="read_committed",
        fetch_max_wait_ms=250,
        fetch_max_bytes=FETCH_BYTES,
        max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        cpu, wall = time.process_time(), time.monotonic()
        seen = 0
        while seen < events:
            taken = await consumer.getmany(timeout_ms=int(POLL_TIMEOUT_SECONDS * 1000), max_records=RECORDS_PER_POLL)
            seen += sum(map(len, taken.values()))
        return BareFigures(time.process_time() - cpu, time.monotonic() - wall, resident_mebibytes())
    finally:
        await consumer.stop()


if __name__ == "__main__":
    import uvloop

    figures = uvloop.run(read_all(sys.argv[1], int(sys.argv[2])))
    Path(sys.argv[3]).write_bytes(msgspec.json.encode(figures))
