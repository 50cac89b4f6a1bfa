"""What an audit finds in topics that are known to the last record."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

import pytest

from meter.accounting.audit import Question, audit
from meter.accounting.offsets import OffsetLedger, Span
from meter.accounting.report import Findings, Verdict
from meter.accounting.usage import Row
from meter.errors import Unavailable
from meter.pipeline.receipt import Owner
from meter.pipeline.start import Bounds, Choice, CommitNote
from tests.kept_topics import TRAIL, KeptTopics

QUESTION = Question(TRAIL)


class Rows:
    """A provider with these rows; None: it cannot be asked."""

    def __init__(self, *rows: Row) -> None:
        self._rows = rows

    async def rows(self) -> AsyncIterator[Sequence[Row]]:
        yield self._rows


class Nobody:
    def rows(self) -> AsyncIterator[Sequence[Row]]:
        raise Unavailable("nobody answers")


async def found(topics: KeptTopics, provider: Rows | Nobody | None, question: Question = QUESTION) -> Findings:
    return await audit(topics, question, provider, lambda what, done, total: None)


def row(key: str, units: int = 1, customer: str = "cus_1", product: str = "") -> Row:
    return Row(key, customer, product, units)


async def test_each_kind_of_end_counts_once() -> None:
    """Accepted over duplicate, however often a receipt says so; what is above the commit has not ended yet."""
    topics = KeptTopics(committed=3)
    topics.event("a", units=5)
    topics.event("a", units=5)
    topics.add("t", b"not json")
    topics.event("later")
    topics.receipt({0: ("a", "a")})
    topics.receipt({0: ("a", "d"), 1: ("a", "d")})
    topics.dead_letter(2)
    findings = await found(topics, Rows(row("a", 5), row("later")))
    assert findings.verdict is Verdict.OK, findings
    assert findings.ends == (3, 1, 1, 1)
    assert (findings.open, findings.accepted) == (1, (1, 5))
    assert findings.comparison is not None
    assert findings.comparison.others == 1
    assert findings.summary().startswith("every one of 3 offsets has exactly one end (1 accepted, 1 duplicate, 1 dead")


async def test_gaps_are_listed_with_their_offsets() -> None:
    """Neighbours as one span; nothing of it is good."""
    topics = KeptTopics(committed=5)
    for key in "abcde":
        topics.event(key)
    topics.receipt({3: ("d", "a")})
    findings = await found(topics, Rows(row("d")))
    assert findings.verdict is Verdict.FAILED
    (partition,) = findings.partitions
    assert partition.gaps == [Span(0, 2), Span(4, 4)]
    assert "no end: t:0:0 to 2 (3)" in list(findings.lines())
    assert json.loads(json.dumps(findings.as_json()))["partitions"][0]["gaps"] == [[0, 2], [4, 4]]


async def test_a_gap_may_be_a_receipt_that_is_no_longer_kept() -> None:
    """Said beside it, and only there: without a gap nobody misses what has expired."""

    class Expired(KeptTopics):
        async def bounds(self, topic: str, partitions: Iterable[int]) -> Mapping[int, Bounds]:
            logs = await super().bounds(topic, partitions)
            return {n: log._replace(beginning=1 if topic == "t-receipts" else 0) for n, log in logs.items()}

    topics = Expired(committed=1)
    topics.event("a")
    topics.receipt({0: ("a", "a")})
    topics.receipt({1: ("b", "a")})
    words = "no longer kept in t-receipts: 1 records; ends recorded only there cannot be seen"
    findings = await found(topics, Nobody())
    assert (findings.verdict, findings.as_json()["expired"]) == (Verdict.FAILED, {"t-receipts": 1})
    assert words in findings.lines()
    topics.receipt({0: ("a", "a")})
    again = await found(topics, Rows(row("a")))
    assert (again.verdict, words in again.lines()) == (Verdict.OK, False)


async def test_l2_a_dead_letter_that_a_receipt_has_overtaken_is_told_and_no_fault() -> None:
    """Killed between the two, the event was delivered again and accepted: that is its end, as for every reader."""
    topics = KeptTopics(committed=3)
    for key in "abc":
        topics.event(key, units=2)
    topics.dead_letter(1, "b")
    topics.receipt({0: ("a", "a"), 1: ("b", "a")})
    topics.dead_letter(2, "c")
    findings = await found(topics, Rows(row("a", 2), row("b", 2)))
    assert findings.verdict is Verdict.OK, findings.summary()
    assert findings.ends == (3, 2, 0, 1)
    assert (findings.overtaken, findings.accepted) == (1, (2, 4))
    assert "a dead letter too, but the receipt counts: t:0:1" in list(findings.lines())
    assert json.loads(json.dumps(findings.as_json()))["partitions"][0]["overtakenDeadLetters"] == [[1, 1]]


async def test_l2_an_overtaken_dead_letter_does_not_hide_that_its_event_was_billed_twice() -> None:
    """Or not at all: the provider's rows tell, key by key."""
    topics = KeptTopics(committed=2)
    for key in "ab":
        topics.event(key)
        topics.dead_letter(len(topics.logs["t"]) - 1, key)
    topics.receipt({0: ("a", "a"), 1: ("b", "a")})
    comparison = (await found(topics, Rows(row("a"), row("a")))).comparison
    assert comparison is not None
    assert (comparison.repeated, comparison.missing, comparison.parked) == (1, 1, 0)


async def test_receipts_of_others_and_of_an_older_topic_end_nothing() -> None:
    """W3, I1: another group's, and one whose key is not the record's."""
    topics = KeptTopics(committed=2)
    topics.event("a")
    topics.event("b")
    topics.receipt({0: ("a", "a")}, Owner("other", "http://provider", "sandbox"))
    topics.receipt({1: ("of-an-older-topic", "a")})
    findings = await found(topics, Nobody())
    assert (findings.gaps, findings.foreign_receipts) == (2, 1)


async def test_a_provider_that_cannot_be_asked_is_not_verifiable_and_never_good() -> None:
    """Every offset has its end, and that is all that is known: neither `agrees` nor `ok`."""
    topics = KeptTopics(committed=1)
    topics.event("a")
    topics.receipt({0: ("a", "a")})
    findings = await found(topics, Nobody())
    shown = findings.as_json()
    assert (shown["verdict"], shown["good"], shown["everyOffsetHasOneEnd"]) == ("not_verifiable", False, True)
    assert shown["provider"] == {"verdict": "not verifiable", "reason": "nobody answers"}
    assert "provider: not verifiable (nobody answers)" in findings.summary()


async def test_gaps_fail_an_audit_whether_or_not_the_provider_can_be_asked() -> None:
    """What Kafka alone shows to be wrong is not merely unknown."""
    topics = KeptTopics(committed=1)
    topics.event("a")
    verdicts = [(await found(topics, provider)).verdict for provider in (Rows(), Nobody(), None)]
    assert verdicts == [Verdict.FAILED] * 3


async def test_kafka_alone_is_good_only_in_so_many_words() -> None:
    """Nobody wanted the provider to be asked: that it was not stands in the words and in the JSON."""
    topics = KeptTopics(committed=1)
    topics.event("a")
    topics.receipt({0: ("a", "a")})
    findings = await found(topics, None)
    shown = findings.as_json()
    assert (shown["verdict"], shown["good"], shown["provider"]) == ("ok", True, {"verdict": "not asked"})
    assert findings.summary().endswith("; Kafka alone: the provider was not asked")


async def test_the_provider_is_compared_key_by_key_and_in_sums() -> None:
    """Missing, twice, other units, and billed though dead-lettered: each is seen and none hides another."""
    topics = KeptTopics(committed=4)
    topics.event("missing")
    topics.event("twice", customer="cus_2")
    topics.event("other", units=3, customer="cus_3")
    topics.event("parked")
    topics.receipt({0: ("missing", "a"), 1: ("twice", "a"), 2: ("other", "a")})
    topics.dead_letter(3, "parked")
    rows = Rows(row("twice", 1, "cus_2"), row("twice", 1, "cus_2"), row("other", 4, "cus_3"), row("parked"))
    comparison = (await found(topics, rows)).comparison
    assert comparison is not None
    assert (comparison.missing, comparison.repeated, comparison.parked) == (1, 1, 1)
    assert [one.usage.customer for one in comparison.differences] == ["cus_1", "cus_2", "cus_3"]


@pytest.mark.parametrize(
    ("billed_for", "differing"),
    [(("prd_a", "prd_b"), []), (("prd_b", "prd_a"), ["prd_a", "prd_b"]), (("prd_a", ""), ["", "prd_b"])],
    ids=["the same", "swapped", "without a product"],
)
async def test_usage_billed_for_another_product_of_the_same_customer_is_a_difference(
    billed_for: tuple[str, str], differing: list[str]
) -> None:
    """Every key has its row and the customer's sums agree: only the products tell."""
    topics = KeptTopics(committed=2)
    topics.event("a", units=3, product="prd_a")
    topics.event("b", units=5, product="prd_b")
    topics.receipt({0: ("a", "a"), 1: ("b", "a")})
    first, second = billed_for
    findings = await found(topics, Rows(row("a", 3, product=first), row("b", 5, product=second)))
    assert findings.comparison is not None
    assert [(one.usage.customer, one.usage.product) for one in findings.comparison.differences] == [
        ("cus_1", product) for product in differing
    ]
    assert findings.verdict is (Verdict.FAILED if differing else Verdict.OK)


async def test_one_key_in_two_places_is_one_event() -> None:
    """W10: the copy was answered `duplicate` by the provider, so both are receipted as accepted."""
    topics = KeptTopics(committed=2)
    topics.event("a", units=7)
    topics.event("a", units=7)
    topics.receipt({0: ("a", "a")})
    topics.receipt({1: ("a", "a")}, undebited={"0": "duplicate"})
    findings = await found(topics, Rows(row("a", 7)))
    assert findings.verdict is Verdict.OK
    assert (findings.accepted, findings.not_debited, findings.repeats) == ((1, 7), {}, 1)
    said = "accepted as repeats that the provider already had: 1"
    assert said in findings.lines()


async def test_a_redriven_event_ends_in_both_of_its_places() -> None:
    """The first record in the dead letters, the second accepted under the same key; a second death has a place too."""
    topics = KeptTopics(committed=3)
    topics.event("a")
    topics.event("a")
    topics.add("t", b"bad", ("meter-origin", b"t:0:9"))
    topics.dead_letter(0, "a")
    topics.dead_letter(9, "", ("meter-record", b"t:0:2"), ("meter-redrives", b"1"))
    topics.receipt({1: ("a", "a")})
    findings = await found(topics, Rows(row("a")))
    assert findings.verdict is Verdict.OK, list(findings.lines())
    assert findings.ends == (3, 1, 0, 2)


async def test_a_span_of_time_is_looked_at_alone() -> None:
    """In this topic a second is an offset; a key that was accepted outside of it contradicts no dead letter in it."""
    topics = KeptTopics(committed=4)
    for key in ("a", "b", "b", "d"):
        topics.event(key)
    topics.dead_letter(1, "b")
    topics.receipt({2: ("b", "a")})
    question = Question(TRAIL, since_seconds=1, until_seconds=2)
    findings = await found(topics, Rows(row("b")), question)
    assert findings.verdict is Verdict.OK, list(findings.lines())
    assert findings.ends == (1, 0, 0, 1)


async def test_what_lies_before_a_chosen_start_is_no_gap() -> None:
    """`latest` was chosen when the topic held two records: they are counted apart."""
    topics = KeptTopics(3, CommitNote(Choice("latest", 2.0, 1)))
    for key in "abc":
        topics.event(key)
    topics.receipt({2: ("c", "a")})
    findings = await found(topics, Rows(row("c")))
    assert (findings.verdict, findings.skipped, findings.ends.records) == (Verdict.OK, 2, 1)


def test_a_million_offsets_take_ten_bytes_each() -> None:
    """Memory does not depend on how long keys are."""
    ledger = OffsetLedger(0, 1_000_000)
    assert sum(getattr(ledger, name).nbytes for name in ("_marks", "_keys", "_undebited")) == 10_000_000
