"""`meter send` as a backfill on the real broker: killed halfway and run again, every line is billed once."""

import json
import re
import signal
from pathlib import Path

import pytest

from tests.brokers import Broker, MakeTopic, records_in
from tests.integration.daemon import installation
from tests.waiting import eventually

LINES = 300

pytestmark = pytest.mark.timeout(300)


async def test_a_file_whose_sending_was_killed_is_sent_again_and_billed_once(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """300 lines, two of three without an id, some of them twice the same: SIGKILL, and again from the beginning, under
    another file name and with a line added."""
    file = tmp_path / "usage.jsonl"
    events = [{"customerRef": f"cus_{number // 2 % 7}", "units": 1 + number // 2} for number in range(LINES)]
    named = [{"idempotencyKey": f"k{number}"} if number % 3 == 0 else {} for number in range(LINES)]
    file.write_text("\n".join(json.dumps(event | key) for event, key in zip(events, named, strict=True)))
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox()
        meter = await place.start_meter()
        await eventually(meter.ready, 60, "meter is ready")
        killed = place.start_program("send", ["send", str(file), "--per-second", "60"])

        async def billed() -> int:
            return (await place.sandbox.totals())["usages"]

        async def some_are_billed() -> bool:
            return await billed() >= 40

        await eventually(some_are_billed, 60, "some are billed")
        killed.signal(signal.SIGKILL)
        await killed.end()
        in_the_topic = len(await records_in(place.servers, place.topic))
        assert 40 <= in_the_topic < LINES

        renamed = file.rename(tmp_path / "renamed.jsonl")
        renamed.write_text(f"{renamed.read_text()}\n{json.dumps({'customerRef': 'cus_0', 'units': 1000})}\n")
        again = place.start_program("send", ["send", str(renamed)])
        assert await again.end() == 0, again.log
        assert "sent 301 events" in again.log
        assert "lines without an id: 201, identified by their content and all lines above" in again.log

        async def all_have_ended() -> bool:
            return bool((await meter.status())["events"]["duplicate"] == in_the_topic and await billed() == LINES + 1)

        await eventually(all_have_ended, 60, "every line is billed, and what was sent twice recognised")
        assert (await place.sandbox.totals())["units"] == 1000 + sum(1 + number // 2 for number in range(LINES))


async def test_ctrl_c_says_where_to_go_on_and_going_on_there_sends_the_rest(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """Exit 130 with the first line that may not have been sent; `--from-line` leaves out those before it."""
    file = tmp_path / "usage.jsonl"
    file.write_text("\n".join(json.dumps({"customerRef": "c", "units": number}) for number in range(60)))
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        stopped = place.start_program("send", ["send", str(file), "--per-second", "8"])

        async def some_are_there() -> bool:
            return len(await records_in(place.servers, place.topic)) >= 6

        await eventually(some_are_there, 60, "some are in the topic")
        stopped.signal(signal.SIGINT)
        assert await stopped.end() == 130
        line = re.search(r"continue with --from-line (\d+)\n", stopped.log)
        assert line is not None, stopped.log
        rest = place.start_program("send", ["send", str(file), "--from-line", line[1]])
        assert await rest.end() == 0, rest.log
        found = [json.loads(record.value)["units"] for record in await records_in(place.servers, place.topic)]
        assert set(found) == set(range(60))
        assert len(found) <= 60 + 2  # of the step that was under way
