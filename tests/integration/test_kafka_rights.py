"""The rights that docs/operations.md asks for are enough for the daemon and the commands, on a broker that checks."""

import asyncio
import dataclasses
import json
import re
from pathlib import Path

import pytest

from meter.localkafka import LocalKafka
from tests.brokers import SCRAM_USER, SecuredBroker, create_topic, login_with_certificates
from tests.doc_tables import ROOT, table
from tests.integration.books import PARTITIONS, Planned, usages
from tests.integration.daemon import Installation, installation
from tests.integration.test_secured import login
from tests.kafka_rights import RIGHTS, grant

TOPIC = "usage-events"

pytestmark = pytest.mark.timeout(300)


def grant_what_is_told(servers: str, place: Installation) -> None:
    """Every right of the table, on what it names."""
    called = {
        "`kafka.topic`": ("topic", TOPIC),
        "`kafka.dead_letter_topic`": ("topic", f"{TOPIC}-dead-letters"),
        "`kafka.receipts_topic`": ("topic", f"{TOPIC}-receipts"),
        "group `kafka.group_id`": ("group", place.group),
    }
    for resource, rights in table(ROOT / "docs" / "operations.md", "Kafka rights"):
        for right in re.findall(rf"\b({'|'.join(RIGHTS)})\b", rights):
            grant(servers, SCRAM_USER[0], *called[resource], right)


async def command(place: Installation, options: dict[str, object], *words: str) -> str:
    """What it prints; it must end well."""
    program = place.start_program(words[0], words, **options)
    assert await program.end(60) == 0, program.log
    return program.log


async def test_the_rights_that_are_told_are_enough(tmp_path: Path) -> None:
    """Topics are created, events billed, dead-lettered, sent, replayed and explained; before any right is granted
    nothing is, which shows that the broker checks."""
    checked = dataclasses.replace(login_with_certificates(tmp_path), needs_rights=True)
    with LocalKafka(login=checked) as kafka:
        broker = SecuredBroker(
            kafka.login_bootstrap_servers, kafka.bootstrap_servers, checked.authority, ("", ""), SCRAM_USER
        )
        await create_topic(broker.open_servers, TOPIC, PARTITIONS)
        async with installation(broker.open_servers, TOPIC, tmp_path) as place:
            await place.start_sandbox()
            options = login(broker)
            meter = await place.start_meter(**options)
            await meter.says("Kafka does not allow this user to do that")
            await asyncio.to_thread(grant_what_is_told, broker.open_servers, place)

            await place.produce([*usages(200), Planned(0, b"no JSON", reason="invalid:not_json")])
            await place.everything_ended()
            await place.books_balance()

            lines = tmp_path / "events.jsonl"
            lines.write_text('{"customerRef": "cus_1", "idempotencyKey": "sent"}\n', encoding="utf-8")
            assert "sent 1 event" in await command(place, options, "send", str(lines))
            span = ("--from", "2026-01-01", "--to", "2100-01-01")
            assert "sent: " in await command(place, options, "replay", *span, "--beyond-provider-memory")
            redriven = await command(place, options, "dead-letters", "redrive", "--json")
            assert json.loads(redriven)["results"] == {"still_invalid": 1}
            assert "usage-events:0:" in await command(place, options, "dead-letters", "list")
            assert "billed: " in await command(place, options, "explain", "sent")
