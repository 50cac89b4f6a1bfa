"""Which dead letters go back, as what, and that nothing is lost when the way back is cut short."""

import hashlib
import json
from collections.abc import Sequence

import pytest

from meter.accounting.letters import Case, Filter, Letter, chosen, read_letter
from meter.accounting.outgoing import Outgoing
from meter.accounting.pace import pause_seconds
from meter.accounting.redrive import Errand, Fate, Redriving
from meter.accounting.redrive_rules import Note, Rules, Skip, refuse, revive
from meter.errors import CommandFailed
from meter.pipeline.event import Origin, UsageEvent, decode
from meter.pipeline.now import Now
from meter.pipeline.place import Place, place_of
from tests.kept_topics import TRAIL, KeptTopics
from tests.records import NOW_SECONDS, FakeRecord, as_json

RULES = Rules("t")
AT = "2025-11-23T20:00:00Z"
KAFKA_KEY = b"customer-7"


class Clock:
    def now(self) -> Now:
        return Now(0.0, NOW_SECONDS)


class Sender:
    """Writes into the topics; fails for good before note number `dies_before_note`."""

    def __init__(self, topics: KeptTopics, dies_before_note: int = -1) -> None:
        self._topics = topics
        self._dies_before_note = dies_before_note
        self.notes = 0

    async def send(self, outgoing: Sequence[Outgoing]) -> None:
        for one in outgoing:
            self._topics.add("t", one.value, *one.headers, key=one.key)

    async def note(self, notes: Sequence[Note]) -> None:
        for one in notes:
            if self.notes == self._dies_before_note:
                raise CommandFailed("killed")
            self.notes += 1
            self._topics.add("t-dead-letters", b"", *one.headers, key=one.key)


async def redriven(topics: KeptTopics, sender: Sender | None = None, **chosen: object) -> list[Fate]:
    """One run."""
    errand = {"wanted": Filter(), "rules": RULES, **chosen}
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    made = Errand(TRAIL, **errand)  # type: ignore[arg-type]  # its other fields
    redriving = Redriving(topics, sender or Sender(topics), made, Clock(), sleep, lambda what, done, total: None)
    return await redriving.run()


def event_in(record: FakeRecord) -> UsageEvent:
    """What meter makes of a record of the source topic."""
    event = decode(record, Origin("cluster-1", "t", 0), NOW_SECONDS)
    assert isinstance(event, UsageEvent), event
    return event


def dead_lettered(topics: KeptTopics, value: object, **said: str) -> FakeRecord:
    """An event of the source topic that was dead-lettered; answers its record."""
    offset = topics.add("t", as_json(value), key=KAFKA_KEY)
    record = topics.logs["t"][offset]
    names = {"reason": "rejected", "origin": f"t:0:{offset}", "timestamp": str(record.timestamp), "at": AT, **said}
    headers = [(f"meter-{name}", text.encode()) for name, text in names.items()]
    topics.add("t-dead-letters", record.value, ("trace", b"1"), *headers, key=record.key)
    return record


def letter(**changed: object) -> Letter:
    plain = read_letter(Place("d", 0, 0), [("meter-origin", b"t:0:1"), ("meter-reason", b"rejected")], b"{}")
    return plain._replace(**changed)  # type: ignore[arg-type]  # fields of a letter


async def test_an_event_without_an_id_keeps_the_identity_of_its_first_place() -> None:
    """Whichever of the two records is billed, it is one event: same key, same time."""
    topics = KeptTopics(committed=1)
    first = event_in(dead_lettered(topics, {"customerRef": "cus_1"}))
    (fate,) = await redriven(topics)
    again = event_in(topics.logs["t"][1])
    assert (fate.result, fate.key, again.key) == ("redriven", first.key, first.key)
    assert again.timestamp_seconds == first.timestamp_seconds
    assert ("trace", b"1") in topics.logs["t"][1].headers


async def test_what_goes_back_has_the_kafka_key_that_it_had_and_so_has_its_note() -> None:
    """Whoever reads the topic by key finds the event where its producer has put it."""
    topics = KeptTopics(committed=1)
    dead_lettered(topics, {"customerRef": "cus_1"})
    await redriven(topics)
    assert [record.key for record in topics.logs["t"]] == [KAFKA_KEY, KAFKA_KEY]
    assert [record.key for record in topics.logs["t-dead-letters"]] == [KAFKA_KEY, KAFKA_KEY]


async def test_a_key_that_stands_in_the_letter_is_kept() -> None:
    """Also where the code that made it is gone: it is frozen in the header."""
    topics = KeptTopics(committed=1)
    dead_lettered(topics, {"customerRef": "cus_1"}, key="made-by-an-older-version")
    await redriven(topics)
    assert event_in(topics.logs["t"][1]).key == "made-by-an-older-version"


@pytest.mark.parametrize("killed_before_note", [0, 1, 2])
async def test_killed_half_way_and_run_again_nothing_is_lost(killed_before_note: int) -> None:
    """L3: what was sent and not noted is sent again under its key; what was noted is not."""
    topics = KeptTopics(committed=3)
    for key in "abc":
        dead_lettered(topics, {"customerRef": "cus_1", "idempotencyKey": key}, key=key)
    with pytest.raises(CommandFailed):
        await redriven(topics, Sender(topics, killed_before_note), per_second=1.0)
    again = await redriven(topics)
    assert sum(fate.result == "already_redriven" for fate in again) == killed_before_note
    assert {event_in(record).key for record in topics.logs["t"][3:]} == set("abc")
    assert len(topics.logs["t"]) == 3 + 3 + 1  # the one that was sent and not noted, twice
    assert {fate.result for fate in await redriven(topics)} == {"already_redriven"}


async def test_copies_of_a_letter_are_one() -> None:
    """L1: dead letters are written at least once; they are sent once per origin."""
    topics = KeptTopics(committed=1)
    dead_lettered(topics, {"customerRef": "cus_1"})
    log = topics.logs["t-dead-letters"]
    log.append(FakeRecord(log[0].value, log[0].headers, offset=1))
    assert [fate.result for fate in await redriven(topics)] == ["redriven"]
    assert len(topics.logs["t"]) == 2


async def test_what_a_receipt_calls_accepted_is_not_sent() -> None:
    """L2: dead-lettered, killed before the commit, delivered again and accepted."""
    topics = KeptTopics(committed=1)
    dead_lettered(topics, {"customerRef": "cus_1", "idempotencyKey": "a"}, key="a")
    topics.receipt({0: ("a", "a")})
    assert [fate.result for fate in await redriven(topics)] == ["already_billed"]
    assert len(topics.logs["t"]) == 1


async def test_a_dry_run_says_the_same_and_sends_nothing() -> None:
    """Not even a note."""
    topics = KeptTopics(committed=1)
    dead_lettered(topics, {"customerRef": "cus_1"})
    assert [fate.result for fate in await redriven(topics, dry_run=True)] == ["redriven"]
    assert (len(topics.logs["t"]), len(topics.logs["t-dead-letters"])) == (1, 1)


async def test_what_would_die_again_at_once_stays() -> None:
    """Invalid still, or too old by now."""
    topics = KeptTopics(committed=2)
    dead_lettered(topics, "no object", reason="invalid:not_an_object")
    dead_lettered(topics, {"customerRef": "c", "timestamp": "2020-01-01T00:00:00Z"}, reason="expired")
    assert {fate.result for fate in await redriven(topics)} == {"still_invalid"}


async def test_a_conflict_gets_a_new_key_that_is_always_the_same() -> None:
    """Run twice, it is billed once all the same: the key comes from the old one and the origin."""
    rules = Rules("t", new_key=True)
    keys = set()
    for _ in range(2):
        topics = KeptTopics(committed=1)
        dead_lettered(topics, {"customerRef": "cus_1", "idempotencyKey": "a"}, key="a", reason="conflict")
        topics.receipt({7: ("a", "a")})
        assert [fate.result for fate in await redriven(topics)] == ["conflict"]
        assert [fate.result for fate in await redriven(topics, rules=rules)] == ["redriven"]
        keys.add(event_in(topics.logs["t"][1]).key)
    assert keys == {"new:d8eeabaf6c96c0667b246f6a8b810747a01a656a98384d232af9a9c70f2494d1"}


async def test_an_event_that_dies_again_is_open_again_until_it_has_come_back_too_often() -> None:
    """The loop guard counts redrives; the note of the first one does not hide the second death."""
    topics = KeptTopics(committed=9)
    dead_lettered(topics, {"customerRef": "cus_1"})
    for redrives in (1, 2, 3):
        assert [fate.result for fate in await redriven(topics)] == ["redriven"]
        sent = topics.logs["t"][-1]
        assert dict(sent.headers)["meter-redrives"] == str(redrives).encode()
        topics.add("t-dead-letters", sent.value, *sent.headers, ("meter-reason", b"rejected"))
    assert [fate.result for fate in await redriven(topics)] == ["looped"]
    assert [fate.result for fate in await redriven(topics, rules=Rules("t", max_redrives=4))] == ["redriven"]


@pytest.mark.parametrize(("kept", "result"), [(True, "redriven"), (False, "out_of_retention")])
async def test_a_letter_that_was_cut_is_redriven_from_its_origin(kept: bool, result: str) -> None:
    """L5: whole if the source topic still has the very same record; else it says so."""
    topics = KeptTopics(committed=1)
    offset = topics.event("a")
    value = topics.logs["t"][offset].value or b""
    cut = json.dumps({"value_bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}).encode()
    said = [("meter-origin", b"t:0:0"), ("meter-reason", b"rejected"), ("meter-truncated", cut)]
    topics.add("t-dead-letters", b"", *said)
    if not kept:
        topics.logs["t"][0] = FakeRecord(b"another record", offset=0)
    assert [fate.result for fate in await redriven(topics)] == [result]
    if kept:
        assert event_in(topics.logs["t"][1]).key == "a"


@pytest.mark.parametrize(
    ("case", "rules", "why_not"),
    [
        (Case(letter()), RULES, None),
        (Case(letter(), noted_redrives=1), RULES, Skip.ALREADY_REDRIVEN),
        (Case(letter(redrives=1), noted_redrives=1), RULES, None),
        (Case(letter(redrives=3)), RULES, Skip.LOOPED),
        (Case(letter(origin="other:0:1")), RULES, Skip.OTHER_TOPIC),
        (Case(letter(origin="nowhere")), RULES, Skip.OTHER_TOPIC),
        (Case(letter(reason="conflict")), RULES, Skip.CONFLICT),
        (Case(letter(is_unknown=True)), RULES, Skip.UNKNOWN_OUTCOME),
        (Case(letter(is_unknown=True)), Rules("t", include_unknown=True), None),
    ],
)
def test_what_a_letter_alone_tells(case: Case, rules: Rules, why_not: Skip | None) -> None:
    """L4 among them: what may have been inserted wants the explicit flag."""
    assert refuse(case, rules) == why_not


def test_a_letter_without_our_headers_is_nobodys_to_redrive() -> None:
    """Somebody else's record in the topic has no origin in ours."""
    foreign = read_letter(Place("t-dead-letters", 0, 3), [], b"x")
    assert (foreign.origin, foreign.reason) == ("t-dead-letters:0:3", "(no reason given)")
    assert refuse(Case(foreign), RULES) is Skip.OTHER_TOPIC


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        (Filter(), True),
        (Filter(reasons=frozenset({"invalid"})), True),
        (Filter(reasons=frozenset({"invalid:units"})), True),
        (Filter(reasons=frozenset({"units"})), False),
        (Filter(customers=frozenset({"cus_1"})), True),
        (Filter(customers=frozenset({"cus_2"})), False),
        (Filter(origins=frozenset({"t:0:1"})), True),
        (Filter(origins=frozenset({"t:0:2"})), False),
        (Filter(since_seconds=NOW_SECONDS), False),
        (Filter(until_seconds=NOW_SECONDS), True),
        (Filter(open_only=True), False),
    ],
)
def test_filters(wanted: Filter, takes: bool) -> None:
    """Each narrows by itself; a reason's first part means all of its kind."""
    case = Case(letter(reason="invalid:units", customer="cus_1", at=AT), noted_redrives=1)
    assert bool(chosen([case], wanted)) is takes


@pytest.mark.parametrize("text", ["", "t", "t:0", "t:0:", "t::1", ":0:1", "t:x:1", "t:0:²", "t:0:" + "9" * 40])
def test_what_is_no_place(text: str) -> None:
    """Headers may be anybody's."""
    assert place_of(text) is None


def test_a_place_is_read_from_its_end() -> None:
    """A topic's name has no colon, but who knows."""
    assert place_of("a:b:3:41") == Place("a:b", 3, 41)


def test_the_rate_is_kept_on_average() -> None:
    """Twenty sent at ten a second take two seconds."""
    assert pause_seconds(20, 0.5, 10.0) == 1.5
    assert pause_seconds(20, 3.0, 10.0) == 0.0
    assert pause_seconds(20, 0.0, None) == 0.0


def test_a_revived_event_is_judged_by_the_present() -> None:
    """An event that was ahead of its time is good once its time has come."""
    value = as_json({"customerRef": "cus_1", "timestamp": "2025-11-23T20:00:00Z"})
    record = FakeRecord(value, (("meter-origin", b"t:0:1"), ("meter-reason", b"future")))
    assert isinstance(revive(letter(reason="future"), record, "cluster-1", NOW_SECONDS), Outgoing)
    assert revive(letter(reason="future"), record, "cluster-1", NOW_SECONDS - 3 * 86_400) is Skip.STILL_INVALID
