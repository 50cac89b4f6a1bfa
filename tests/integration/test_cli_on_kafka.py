"""`meter send` and `meter dead-letters` in real processes against the real broker."""

import asyncio
import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from aiokafka import AIOKafkaProducer

from tests.brokers import Broker, MakeTopic, create_topic, records_in
from tests.commands import meter

pytestmark = pytest.mark.timeout(300)


async def on_kafka(broker: Broker, topic: str, *arguments: str, stdin: str = "") -> "CompletedProcess[str]":
    """One command with this topic in its settings."""
    environ = {"METER_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers, "METER_KAFKA__TOPIC": topic}
    return await asyncio.to_thread(meter, *arguments, environ=environ, stdin=stdin)


def events(count: int, padding: str = "") -> list[str]:
    return [
        json.dumps({"customerRef": f"cus_{n % 7}", "units": 1, "idempotencyKey": f"k{n}", "metadata": {"p": padding}})
        for n in range(count)
    ]


async def records(broker: Broker, topic: str) -> list[tuple[bytes, bytes]]:
    """(key, value) of everything in the topic."""
    return [(record.key, record.value) for record in await records_in(broker.bootstrap_servers, topic)]


async def test_every_line_arrives_as_given_under_its_customer(broker: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    """20,000 lines from a file: each is one record, byte for byte, keyed by customer."""
    name, lines = await topic(partitions=2), events(20_000)
    (tmp_path / "events.jsonl").write_text("\n".join(lines), encoding="utf-8")
    done = await on_kafka(broker, name, "send", str(tmp_path / "events.jsonl"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"sent 20,000 events to {name} in ")
    found = await records(broker, name)
    assert sorted(value.decode() for _, value in found) == sorted(lines)
    assert all(key.decode() == json.loads(value)["customerRef"] for key, value in found)


async def test_broken_lines_stop_everything_unless_they_are_skipped(broker: Broker, topic: MakeTopic) -> None:
    """From stdin: first nothing is sent, exit 2; with --skip-broken the good lines are."""
    name = await topic(partitions=2)
    text = "\n".join([*events(3), "not json"])
    assert (await on_kafka(broker, name, "send", "-", stdin=text)).returncode == 2
    assert await records(broker, name) == []
    done = await on_kafka(broker, name, "send", "-", "--skip-broken", stdin=text)
    assert (done.returncode, len(await records(broker, name))) == (0, 3)
    assert "broken lines skipped: 1" in done.stdout


async def test_a_missing_topic_is_one_sentence_and_is_not_created(broker: Broker) -> None:
    """Exit 1; nobody wants a topic with a typing mistake for a name."""
    done = await on_kafka(broker, "no-such-topic", "send", "-", stdin=events(1)[0])
    assert done.returncode == 1
    assert done.stderr == "meter: topic no-such-topic does not exist: create it first, or name another with --topic\n"


async def test_a_line_too_large_for_the_broker_is_named(broker: Broker, topic: MakeTopic) -> None:
    """Exit 1 with the line's number, its size, and how many events were taken."""
    name = await topic(partitions=2)
    text = "\n".join([events(1)[0], events(1, "x" * 2_000_000)[0]])
    done = await on_kafka(broker, name, "send", "-", stdin=text)
    assert done.returncode == 1
    assert "line 2 was not accepted: 2,000,0" in done.stderr
    assert done.stderr.endswith("events sent: 1\n")


async def test_dead_letters_are_listed_once_per_origin(broker: Broker, topic: MakeTopic) -> None:
    """Copies count once; a record without our headers is shown as well; bytes stay bytes."""
    name = await topic(partitions=2)
    assert "there is no topic" in (await on_kafka(broker, name, "dead-letters", "list")).stdout
    await create_topic(broker.bootstrap_servers, f"{name}-dead-letters", 2)
    assert (await on_kafka(broker, name, "dead-letters", "list")).stdout == f"no dead letters in {name}-dead-letters\n"
    await _write_dead_letters(broker, name)

    listed = await on_kafka(broker, name, "dead-letters", "list")
    assert f"{name}:0:5" in listed.stdout
    assert "2  in all" in listed.stdout
    letters = json.loads((await on_kafka(broker, name, "dead-letters", "list", "--json")).stdout)
    assert {(one["origin"], one["reason"], one["copies"]) for one in letters} == {
        (f"{name}:0:5", "invalid:not_json", 2),
        (f"{name}-dead-letters:0:2", "(no reason given)", 1),
    }
    shown = await on_kafka(broker, name, "dead-letters", "show", f"{name}:0:5")
    assert "meter-reason: invalid:not_json\n" in shown.stdout
    assert shown.stdout.endswith("\n\\xff\\x1b[31m\n")
    missing = await on_kafka(broker, name, "dead-letters", "show", f"{name}:0:6")
    assert (missing.returncode, missing.stdout) == (1, "")


async def _write_dead_letters(broker: Broker, topic: str) -> None:
    headers = [("meter-origin", f"{topic}:0:5".encode()), ("meter-reason", b"invalid:not_json")]
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers) as producer:
        for _ in range(2):
            await producer.send_and_wait(f"{topic}-dead-letters", b"\xff\x1b[31m", partition=0, headers=headers)
        await producer.send_and_wait(f"{topic}-dead-letters", b"somebody else's", partition=0)


async def test_a_list_is_narrowed_and_says_when_the_topic_forgets(broker: Broker, topic: MakeTopic) -> None:
    """By reason, by customer, by time; L6: dead letters that expire are reported beside it, on stderr."""
    name = await topic(partitions=2)
    forgetful = {"retention.ms": str(86_400_000)}
    await create_topic(broker.bootstrap_servers, f"{name}-dead-letters", 2, forgetful)
    await _write_dead_letters(broker, name)
    listed = await on_kafka(broker, name, "dead-letters", "list", "--reason", "invalid", "--json")
    assert [letter["reason"] for letter in json.loads(listed.stdout)] == ["invalid:not_json"]
    assert (
        f"topic {name}-dead-letters keeps records for 1 day, but must keep them for an unlimited time" in listed.stderr
    )
    none = await on_kafka(broker, name, "dead-letters", "list", "--customer", "cus_1", "--from", "2026-01-01")
    assert none.stdout == f"no dead letters in {name}-dead-letters that match\n"
    wrong = await on_kafka(broker, name, "dead-letters", "list", "--from", "yesterday")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
