"""What is told of one event, by its key or by its place."""

import json

import pytest

from meter.accounting.explain import explain
from meter.accounting.trace import Content, Explanation
from meter.errors import CommandFailed
from tests.kept_topics import TRAIL, KeptTopics
from tests.records import FakeRecord, as_json


async def told(topics: KeptTopics, asked: str) -> Explanation:
    return await explain(topics, TRAIL, asked, lambda what, done, total: None)


@pytest.mark.parametrize("asked", ["a", "t:0:0", "t:0:2"])
async def test_an_accepted_event_with_its_copy(asked: str) -> None:
    """By its key, by its place and by the place of its copy: the same event, its batch and its reference."""
    topics = KeptTopics(committed=3)
    topics.event("a", units=5)
    topics.event("b")
    topics.event("a", units=5)
    topics.receipt({0: ("a", "a"), 1: ("b", "a")})
    topics.receipt({2: ("a", "d")})
    found = await told(topics, asked)
    assert found.verdict() == "billed: the provider's reference is a"
    assert (found.key, found.content) == ("a", Content("cus_1", "", 5))
    assert [(str(one.place), one.end) for one in found.records] == [("t:0:0", "accepted"), ("t:0:2", "duplicate")]
    assert "receipt t-receipts:0:0: accepted in batch b at 1970-01-01T00:00:00.000Z, reference a" in str(
        list(found.lines())
    )
    assert json.loads(json.dumps(found.as_json()))["reference"] == "a"


async def test_an_event_without_an_id_is_found_by_its_place() -> None:
    """Its key is made of it."""
    topics = KeptTopics(committed=1)
    topics.add("t", as_json({"customerRef": "cus_1"}))
    key = (await told(topics, "t:0:0")).key
    topics.receipt({0: (key, "a")}, undebited={"0": "no_active_purchase"})
    found = await told(topics, "t:0:0")
    assert found.verdict().endswith(", but nothing was debited: no_active_purchase")
    assert (await told(topics, key)).records == found.records


async def test_a_repeat_is_not_called_undebited() -> None:
    """The answer that said what was debited was lost: nobody can say that nothing was."""
    topics = KeptTopics(committed=1)
    topics.event("a")
    topics.receipt({0: ("a", "a")}, undebited={"0": "duplicate"})
    told_of = await told(topics, "a")
    assert told_of.verdict() == (
        "billed: the provider's reference is a; it already had the event, and its first answer was lost"
    )
    assert not any("not debited" in line for line in told_of.lines())


async def test_a_dead_letter_and_its_redriven_self() -> None:
    """Two records of one event: the first ended in the dead letters, the second is not yet ended."""
    topics = KeptTopics(committed=1)
    topics.event("a")
    topics.event("a")
    topics.dead_letter(0, "a", ("meter-outcome", b"unknown"))
    found = await told(topics, "a")
    assert [one.end for one in found.records] == ["dead_lettered", "not_yet_ended"]
    assert found.verdict().startswith("not yet ended")
    assert any("dead letter t-dead-letters:0:0: rejected" in line for line in found.lines())


async def test_what_was_billed_is_told_and_not_what_another_event_says_under_its_key() -> None:
    """A conflict is a record of the same key and no copy: its units were not billed, and it has an end of its own."""
    topics = KeptTopics(committed=2)
    topics.event("a", units=2)
    topics.event("a", units=7)
    topics.receipt({0: ("a", "a")})
    topics.dead_letter(1, "a", reason="conflict")
    by_key, by_place = await told(topics, "a"), await told(topics, "t:0:1")
    assert (by_key.content, by_key.verdict()) == (Content("cus_1", "", 2), "billed: the provider's reference is a")
    assert any(line.startswith("conflict  t:0:1: dead-lettered") for line in by_key.lines())
    assert "          says 7 units of (no product) for cus_1" in by_key.lines()
    assert (by_place.content, by_place.accepted) == (Content("cus_1", "", 7), None)
    assert by_place.verdict() == "in the dead letters: conflict: a different event has its key"

    topics.add("t-dead-letters", b"", *as_bytes(origin="t:0:1", key="new:1", redrives="1", redriven="2026-01-31"))
    again = await told(topics, "t:0:1")
    assert again.verdict().endswith("has its key; redriven at 2026-01-31 as a separate event, new:1")
    assert again.as_json()["reference"] is None


async def test_that_a_dead_letter_went_back_is_told() -> None:
    """As long as nothing is known of what became of it then."""
    topics = KeptTopics(committed=1)
    topics.event("a")
    topics.dead_letter(0, "a")
    topics.add("t-dead-letters", b"", *as_bytes(origin="t:0:0", key="a", redrives="1", redriven="2026-01-31"))
    assert (await told(topics, "a")).verdict() == "in the dead letters: rejected; redriven at 2026-01-31"


def as_bytes(**said: str) -> list[tuple[str, bytes]]:
    """Headers of ours."""
    return [(f"meter-{name}", text.encode()) for name, text in said.items()]


async def test_a_record_that_could_not_be_read() -> None:
    """No key, but a place and a dead letter."""
    topics = KeptTopics(committed=1)
    topics.add("t", b"not json")
    topics.dead_letter(0)
    found = await told(topics, "t:0:0")
    assert (found.key, found.content, found.verdict()) == ("", None, "in the dead letters: rejected")


async def test_a_record_that_is_gone_is_known_from_its_receipt() -> None:
    """Out of the source's retention: who and how many units nobody knows any more, and nobody says."""
    topics = KeptTopics(committed=9)
    topics.receipt({7: ("a", "a")})
    found = await told(topics, "t:0:7")
    assert (found.key, found.content, found.records[0].is_kept) == ("a", None, False)
    assert any(line.endswith("no longer in the source topic") for line in found.lines())


async def test_below_the_commit_and_named_by_nobody_is_called_unknown() -> None:
    """Never accepted by guess."""
    topics = KeptTopics(committed=1)
    topics.event("a")
    for asked in ("a", "t:0:0"):
        assert (await told(topics, asked)).verdict().startswith("unknown: it is below the committed position")


@pytest.mark.parametrize("asked", ["nobody-has-this-key", "t:0:5", "t:7:0", "other:0:0"])
async def test_what_nothing_tells_of(asked: str) -> None:
    """One sentence, exit 1."""
    topics = KeptTopics(committed=1)
    topics.event("a")
    with pytest.raises(CommandFailed, match="no trace of"):
        await told(topics, asked)


async def test_a_receipt_of_an_older_topic_is_not_this_records() -> None:
    """I1: the same place under the same name, another key."""
    topics = KeptTopics(committed=1)
    topics.logs["t"].append(FakeRecord(as_json({"customerRef": "cus_1", "idempotencyKey": "new"}), offset=0))
    topics.receipt({0: ("old", "a")})
    assert (await told(topics, "t:0:0")).verdict().startswith("unknown")
    old = await told(topics, "old")
    assert (old.records[0].end, old.records[0].is_kept) == ("accepted", False)


async def test_a_long_key_is_found_as_its_producer_wrote_it() -> None:
    """Receipts name its hash."""
    topics = KeptTopics(committed=0)
    topics.event("k" * 300)
    assert (await told(topics, "k" * 300)).key.startswith("sha256:")
