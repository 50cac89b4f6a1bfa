"""Which records of a range are sent again, as what, and what is refused because it may be forgotten."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from meter.accounting.outgoing import Outgoing
from meter.accounting.replay import Order, Outcome, Replaying
from meter.accounting.replay_rules import Choice, Left, Memory
from meter.errors import CommandFailed, UserMistake
from meter.pipeline import receipt as receipts
from meter.pipeline.event import Origin, UsageEvent, decode
from meter.pipeline.now import Now
from meter.pipeline.start import Bounds, Committed
from meter.settings import Settings
from tests.kept_topics import OWNER, TRAIL, KeptTopics
from tests.records import NOW_SECONDS, FakeRecord, as_json

DAY = 86_400.0
KNOWN = Memory(DAY, 2 * DAY, 1000)
UNKNOWN = Memory(None, DAY, 1000)
EVERYTHING = Choice(beyond_memory=True)


class Topics(KeptTopics):
    """Records are found by their own times."""

    async def offsets_at(self, topic: str, partitions: Iterable[int], wall_seconds: float) -> Mapping[int, int]:
        log = self.logs[topic]
        found = [record.offset for record in log if record.timestamp >= wall_seconds * 1000]
        return {number: found[0] for number in partitions if found}

    def made(self, age_seconds: float, value: object, *headers: tuple[str, bytes]) -> UsageEvent | None:
        """A record of the source topic that was made so long ago; answers its event if it is one."""
        made_at = int((NOW_SECONDS - age_seconds) * 1000)
        record = FakeRecord(as_json(value), headers, offset=len(self.logs["t"]), timestamp=made_at)
        self.logs["t"].append(record)
        event = decode(record, Origin(self.cluster_id, "t", 0), NOW_SECONDS)
        return event if isinstance(event, UsageEvent) else None


class Sender:
    """Into the topic; is killed once it has sent `most`."""

    def __init__(self, topics: Topics, most: int = 10**9) -> None:
        self.sent: list[Outgoing] = []
        self._topics = topics
        self._most = most

    async def send(self, outgoing: Sequence[Outgoing]) -> None:
        for one in outgoing:
            if len(self.sent) == self._most:
                raise CommandFailed("killed")
            self.sent.append(one)
            self._topics.made(0.0, {}, *one.headers)
            self._topics.logs["t"][-1] = FakeRecord(one.value, tuple(one.headers), len(self._topics.logs["t"]) - 1)


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> Now:
        return Now(self.seconds, NOW_SECONDS)

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


async def replayed(
    topics: Topics, choice: Choice = EVERYTHING, sender: Sender | None = None, **more: object
) -> Outcome:
    """One run over everything that is older than now."""
    times = {"since_seconds": NOW_SECONDS - 40 * DAY, "until_seconds": NOW_SECONDS - 0.001, "memory": KNOWN}
    order = Order(TRAIL, choice=choice, **{**times, **more})  # type: ignore[arg-type]  # its other fields
    clock = Clock()
    return await Replaying(
        topics, sender or Sender(topics), order, clock, clock.sleep, lambda what, done, total: None
    ).run()


def keys_from(topics: Topics, offset: int) -> list[str]:
    """The keys of the source topic's events from there on."""
    events = [decode(record, Origin("cluster-1", "t", 0), NOW_SECONDS) for record in topics.logs["t"][offset:]]
    return [event.key for event in events]


async def test_an_event_keeps_key_and_time_whatever_they_come_from() -> None:
    """Its own id, a request's, or the place of its record: the copy has the same, and its own headers."""
    topics = Topics(committed=3)
    made = [
        topics.made(60, {"customerRef": "c", "idempotencyKey": "a"}),
        topics.made(50, {"customerRef": "c", "requestId": "r"}, ("trace", b"1")),
        topics.made(40, {"customerRef": "c"}),
    ]
    outcome = await replayed(topics)
    again = [decode(record, Origin("cluster-1", "t", 0), NOW_SECONDS) for record in topics.logs["t"][3:]]
    assert [(event.key, event.digest, event.timestamp_seconds) for event in made if event] == [
        (event.key, event.digest, event.timestamp_seconds) for event in again if isinstance(event, UsageEvent)
    ]
    assert ("trace", b"1") in topics.logs["t"][4].headers
    assert dict(topics.logs["t"][5].headers)["meter-origin"] == b"t:0:2"
    assert (outcome.sent, outcome.unbilled["c"]) == (3, 3)


async def test_l7_nothing_above_the_commit_is_sent() -> None:
    """It has not ended: the daemon has it, and a copy would race it."""
    topics = Topics(committed=2)
    for key in "abcd":
        topics.made(60, {"customerRef": "c", "idempotencyKey": key})
    outcome = await replayed(topics)
    assert keys_from(topics, 4) == ["a", "b"]
    assert (outcome.sent, outcome.uncommitted) == (2, 2)


async def test_l8_a_group_without_offsets_replays_nothing() -> None:
    """Its offsets have expired, or the name is misspelt: what has ended is not known."""

    class Forgotten(Topics):
        async def committed(self, group: str, topic: str) -> Mapping[int, Committed]:
            return {}

    topics = Forgotten(committed=0)
    topics.made(60, {"customerRef": "c"})
    with pytest.raises(CommandFailed, match="group meter has committed nothing on topic t"):
        await replayed(topics)


async def test_only_the_range_and_the_customers_that_are_meant() -> None:
    """From the first record made at `--from` to the first made at `--to`, which is left out."""
    topics = Topics(committed=4)
    for age, key, customer in ((300, "a", "c"), (200, "b", "c"), (150, "x", "other"), (100, "d", "c")):
        topics.made(age, {"customerRef": customer, "idempotencyKey": key})
    span: dict[str, Any] = {"since_seconds": NOW_SECONDS - 200, "until_seconds": NOW_SECONDS - 100}
    await replayed(topics, Choice(frozenset({"c"}), beyond_memory=True), **span)
    assert keys_from(topics, 4) == ["b"]


async def test_what_stays_says_why() -> None:
    """Invalid, outside the provider's time window, or with a dead letter, which has a command of its own."""
    topics = Topics(committed=5)
    topics.made(60, "no object")
    topics.made(31 * DAY, {"customerRef": "c"})
    topics.made(60, {"customerRef": "c", "timestamp": "2035-01-01T00:00:00Z"})
    topics.made(60, {"customerRef": "c", "idempotencyKey": "refused"})
    topics.made(60, {"customerRef": "c", "idempotencyKey": "accepted in the end"})
    topics.dead_letter(3, "refused")
    topics.dead_letter(4, "accepted in the end")
    topics.receipt({4: ("accepted in the end", "a")})
    outcome = await replayed(topics)
    assert outcome.left == {Left.INVALID: 1, Left.EXPIRED: 1, Left.FUTURE: 1, Left.DEAD_LETTERED: 1}
    assert keys_from(topics, 5) == ["accepted in the end"]


async def test_an_event_under_anothers_key_stays_a_conflict() -> None:
    """Its key was billed, but not for it: sent again where the key is forgotten it would be billed in its place."""
    topics = Topics(committed=2)
    topics.made(60, {"customerRef": "c", "idempotencyKey": "a", "units": 1})
    topics.made(50, {"customerRef": "c", "idempotencyKey": "a", "units": 2})
    topics.receipt({0: ("a", "a")})
    topics.dead_letter(1, "a", reason="conflict")
    outcome = await replayed(topics)
    assert (outcome.sent, outcome.left) == (1, {Left.DEAD_LETTERED: 1})


async def test_what_was_redriven_and_died_again_is_left_in_both_places() -> None:
    """The letter tells of its first record and of its last."""
    topics = Topics(committed=2)
    topics.made(60, {"customerRef": "c", "idempotencyKey": "a"})
    topics.made(50, {"customerRef": "c", "idempotencyKey": "a"}, ("meter-origin", b"t:0:0"), ("meter-redrives", b"1"))
    topics.dead_letter(0, "a", ("meter-record", b"t:0:1"), ("meter-redrives", b"1"))
    outcome = await replayed(topics)
    assert (outcome.sent, outcome.left) == (0, {Left.DEAD_LETTERED: 2})


async def test_a_dry_run_tells_what_is_recognised_and_sends_nothing() -> None:
    """By customer; only one's own receipts count."""
    topics = Topics(committed=3)
    for key, customer in (("a", "c"), ("b", "c"), ("d", "other")):
        topics.made(60, {"customerRef": customer, "idempotencyKey": key})
    topics.receipt({0: ("a", "a")})
    topics.receipt({1: ("b", "a")}, OWNER._replace(environment="live"))
    outcome = await replayed(topics, dry_run=True)
    assert (outcome.billed, outcome.unbilled) == ({"c": 1}, {"c": 1, "other": 1})
    assert len(topics.logs["t"]) == 3


async def test_killed_half_way_and_run_again_everything_was_sent_and_copies_are_no_originals() -> None:
    """The second run sends the first one's records again under their keys, and none of its copies."""
    topics = Topics(committed=4)
    for key in "abcd":
        topics.made(60, {"customerRef": "c", "idempotencyKey": key})
    with pytest.raises(CommandFailed):
        await replayed(topics, sender=Sender(topics, most=2), per_second=1.0)
    assert keys_from(topics, 4) == ["a", "b"]
    topics.commit(6)
    outcome = await replayed(topics, until_seconds=NOW_SECONDS + 1)
    assert keys_from(topics, 6) == ["a", "b", "c", "d"]
    assert outcome.left == {Left.REPLAYED: 2}


@pytest.mark.parametrize(
    ("memory", "refused", "words"),
    [
        (Memory(3600.0, DAY, 1000), True, "the provider remembers keys since then"),
        (Memory(DAY, 60.0, 1), False, ""),
        (Memory(None, 3600.0, 1000), True, "meter's own window begins there"),
        (Memory(None, DAY, 1), True, "meter's own window begins there"),
        (Memory(None, DAY, 2), False, ""),
    ],
)
async def test_what_may_be_forgotten_is_refused_unless_somebody_says_so(
    memory: Memory, refused: bool, words: str
) -> None:
    """Two events were billed two hours ago. The provider's memory counts where it is known; else meter's own window,
    by age and by number of ids."""
    topics = Topics(committed=2)
    for offset, key in enumerate("ab"):
        topics.made(7200, {"customerRef": "c", "idempotencyKey": key})
        topics.receipt({offset: (key, "a")}, at=NOW_SECONDS - 7100)
    span: dict[str, Any] = {"since_seconds": NOW_SECONDS - 7200, "memory": memory}
    if refused:
        with pytest.raises(UserMistake, match=words):
            await replayed(topics, Choice(), **span)
        assert len(topics.logs["t"]) == 2
        assert words in (await replayed(topics, Choice(), dry_run=True, **span)).refusal
    assert (await replayed(topics, Choice(unbilled=True), **span)).left == {Left.ALREADY_BILLED: 2}
    assert (await replayed(topics, Choice(beyond_memory=refused), **span)).sent == 2


@pytest.mark.parametrize(("gone", "sent"), [(0, 1), (1, 0)])
async def test_what_no_receipt_names_is_unbilled_only_where_receipts_reach_back(gone: int, sent: int) -> None:
    """Skipped by `latest`, say. Once receipts of that time have expired, nobody knows, and it stays; so does what is
    less than an hour younger than the first receipt that is kept: clocks differ."""

    class Expired(Topics):
        async def bounds(self, topic: str, partitions: Iterable[int]) -> Mapping[int, Bounds]:
            found = await super().bounds(topic, partitions)
            return {n: log._replace(beginning=gone if topic == "t-receipts" else 0) for n, log in found.items()}

    topics = Expired(committed=1)
    topics.made(3 * DAY - 3000, {"customerRef": "c"})
    for age in (4 * DAY, 3 * DAY):
        topics.receipt({9: ("another", "a")}, at=NOW_SECONDS - age)
    outcome = await replayed(topics, Choice(unbilled=True))
    assert (outcome.sent, outcome.left[Left.BEYOND_MEMORY]) == (sent, 1 - sent)


async def test_where_receipts_expire_before_the_window_does_the_window_is_as_short() -> None:
    """A restarted daemon would not recognise what they named, and nobody knows about the provider."""

    class Expired(Topics):
        async def bounds(self, topic: str, partitions: Iterable[int]) -> Mapping[int, Bounds]:
            found = await super().bounds(topic, partitions)
            return {n: log._replace(beginning=1 if topic == "t-receipts" else 0) for n, log in found.items()}

    topics = Expired(committed=2)
    for offset, (key, age) in enumerate((("gone", 7200.0), ("kept", 3600.0))):
        topics.made(age, {"customerRef": "c", "idempotencyKey": key})
        topics.receipt({offset: (key, "a")}, at=NOW_SECONDS - age)
    span: dict[str, Any] = {"since_seconds": NOW_SECONDS - 7200, "memory": UNKNOWN}
    with pytest.raises(UserMistake, match="meter's own window begins there"):
        await replayed(topics, Choice(), **span)
    left = (await replayed(topics, Choice(), dry_run=True, **span)).left
    assert left == {Left.BEYOND_MEMORY: 1}
    assert (await replayed(topics, Choice(), **{**span, "since_seconds": NOW_SECONDS - 3600})).sent == 1


async def test_the_pace_is_kept() -> None:
    """Ten records at two a second take four and a half seconds, the first goes at once."""
    topics, clock = Topics(committed=10), Clock()
    for number in range(10):
        topics.made(60, {"customerRef": "c", "idempotencyKey": str(number)})
    span = (NOW_SECONDS - DAY, NOW_SECONDS - 1)
    order = Order(TRAIL, *span, KNOWN, Choice(), per_second=2.0)
    await Replaying(topics, Sender(topics), order, clock, clock.sleep, lambda what, done, total: None).run()
    assert clock.seconds == pytest.approx(4.5)


async def test_receipts_that_only_a_newer_meter_can_read_stop_it() -> None:
    """They may call something accepted that would be billed again."""
    topics = Topics(committed=1)
    topics.made(60, {"customerRef": "c"})
    topics.add("t-receipts", as_json({"v": receipts.VERSION + 1, "anything": "else"}))
    with pytest.raises(CommandFailed, match="receipts of version 2"):
        await replayed(topics)


def test_nobody_knows_the_providers_memory_unless_it_is_set() -> None:
    """None is published: the default is not a guess."""
    assert Settings().billing.idempotency_window_seconds is None
