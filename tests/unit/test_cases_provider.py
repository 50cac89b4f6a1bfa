"""Interleavings that broke some design, by their numbers: the provider, the start and limits."""

import json

from meter.billing.answers import bulk_outcome
from meter.pipeline.event import UsageEvent
from meter.pipeline.outcome import Refusal, Refused, Rejected, TooLarge, TryAgain, UnknownCustomer
from meter.pipeline.settlement import ReceiptWrite
from meter.pipeline.start import Bounds, Choice, CommitNote, Committed, Start, choose, encode_note, plan_starts
from tests.builders import BUSY, REJECTED, TIMEOUT, Driver, accepted, bad_record, keys, record, records


def flush(driver: Driver) -> None:
    """What waits becomes old enough to be sent."""
    driver.pass_time(1.1)


# Provider


def test_p2_a_wrong_address_dead_letters_nothing() -> None:
    """404 for everything: a pause that ends by itself."""
    driver = Driver(0)
    driver.feed(0, *records(0, 6))
    for _ in range(20):
        while driver.sends:
            driver.answer(Refused(Refusal.WRONG_ADDRESS, "404"))
        driver.pass_time(11.0)
    assert driver.machine.gate.state() == "paused"
    assert driver.kept.dead == []
    driver.pass_time(11.0)
    driver.bill()
    assert driver.ends() == {"consumed": 6, "accepted": 6}


def test_p3_an_unknown_customer_is_tried_again_and_then_dead_lettered() -> None:
    """After its wait, and after somebody else was accepted."""
    driver = Driver(0, unknown_customer_wait_seconds=30.0)
    driver.feed(0, record(0, "early"))
    flush(driver)
    driver.answer(UnknownCustomer("Customer not found"))
    driver.feed(0, *records(1, 4))
    tries = 1
    for _ in range(400):
        driver.pass_time(0.1)
        while driver.sends:
            driver.answer(UnknownCustomer("Customer not found") if keys(driver.sends[0]) == ["early"] else None)
            tries += 1
        driver.write()
    assert 5 < tries < 20
    assert driver.reasons() == ["unknown_customer"]
    assert driver.position() == 4


def test_p3_a_customer_who_is_created_meanwhile_is_billed() -> None:
    """Nothing is dead-lettered that only came too early."""
    driver = Driver(0)
    driver.feed(0, record(0, "early"))
    flush(driver)
    driver.answer(UnknownCustomer("Customer not found"))
    driver.pass_time(2.0)
    driver.bill()
    assert driver.ends() == {"consumed": 1, "accepted": 1}


def test_p4_a_providers_schema_bug_dead_letters_nothing() -> None:
    """400 for all, every path named, four batches in flight; when it is mended, everything is billed."""
    driver = Driver(0)
    driver.feed(0, *(record(offset, customerRef=f"cus_{offset % 5}") for offset in range(12)))
    assert len(driver.sends) == 4
    for _ in range(30):
        while driver.sends:
            driver.answer(Rejected(dict.fromkeys(range(len(driver.sends[0].events)), "schema"), "validation failed"))
        driver.pass_time(2.0)
    assert (driver.machine.gate.paused, driver.kept.dead) == ("mass_refusal", [])
    for _ in range(10):
        driver.pass_time(11.0)
        driver.bill()
    assert driver.ends() == {"consumed": 12, "accepted": 12}
    assert driver.position() == 12


def refuse_all(driver: Driver, seconds: int) -> None:
    """The provider refuses every event by name for so long, twice a second."""
    for _ in range(2 * seconds):
        while driver.sends:
            driver.answer(Rejected(dict.fromkeys(range(len(driver.sends[0].events)), "schema"), "validation failed"))
        driver.pass_time(0.5)


def accept_all(driver: Driver, seconds: int) -> None:
    """The provider accepts every event for so long."""
    for _ in range(2 * seconds):
        driver.bill()
        driver.pass_time(0.5)


def test_p4_a_page_of_a_gateway_in_between_dead_letters_nothing_either() -> None:
    """While the provider deploys what mends it, somebody else answers: most events were refused all the same."""
    driver = Driver(0)
    driver.feed(0, *(record(offset, customerRef=f"cus_{offset % 5}") for offset in range(12)))
    refuse_all(driver, 20)
    while not driver.sends:
        driver.pass_time(0.5)
    driver.answer(Refused(Refusal.WRONG_ADDRESS, "404"))
    assert driver.machine.gate.paused == "wrong_address"
    accept_all(driver, 60)
    assert driver.ends() == {"consumed": 12, "accepted": 12}


def test_p4_a_schema_bug_that_only_one_customer_meets_dead_letters_nothing() -> None:
    """All events of a partition may be one customer's; full of refused ones, it still finds out that all is well."""
    driver = Driver(0)
    driver.feed(0, *records(0, 120))
    refuse_all(driver, 60)
    assert (driver.actions.paused, driver.machine.gate.state()) == ({0}, "ok")
    accept_all(driver, 60)
    assert driver.ends() == {"consumed": 120, "accepted": 120}


def test_p4_a_schema_bug_after_much_that_was_accepted_dead_letters_nothing() -> None:
    """Refused are fewer than were accepted before: no mass, but too many at once to be their own fault."""
    driver = Driver(0, max_held_events=1000)
    driver.feed(0, *(record(offset, customerRef=f"cus_{offset % 5}") for offset in range(210)))
    accept_all(driver, 10)
    driver.feed(0, *(record(offset, customerRef=f"cus_{offset % 5}") for offset in range(210, 300)))
    refuse_all(driver, 10)
    assert driver.machine.gate.state() == "ok"
    driver.feed(0, record(300, "new"))
    accept_all(driver, 20)
    assert driver.ends() == {"consumed": 301, "accepted": 301}


def test_p6_on_a_quiet_topic_a_bad_event_waits_for_another_to_be_accepted() -> None:
    """Not dead-lettered before, and billing is not paused meanwhile."""
    driver = Driver(0)
    driver.feed(0, record(0, "bad"))
    for _ in range(100):
        driver.pass_time(1.0)
        while driver.sends:
            driver.answer(REJECTED)
    assert (driver.kept.dead, driver.machine.gate.state()) == ([], "ok")
    driver.feed(0, record(1, "good"))
    flush(driver)
    driver.bill()
    assert driver.reasons() == ["rejected"]
    assert driver.position() == 2


def test_p6_copies_behind_a_bad_event_do_not_keep_a_new_one_out() -> None:
    """What has ended behind it is only numbers: the new event whose acceptance tells whose fault it is gets in."""
    driver = Driver(0, max_held_events=6)
    driver.feed(0, record(0, "good"))
    flush(driver)
    driver.bill()
    driver.feed(0, record(1, "bad"))
    flush(driver)
    driver.answer(REJECTED)
    log = [*(record(offset, "good") for offset in range(2, 42)), record(42, "new")]
    while log:
        driver.pass_time(2.0)
        driver.bill()
        assert 0 not in driver.actions.paused, f"{len(log)} records are never read"
        driver.feed(0, *log[:5])
        del log[:5]
    flush(driver)
    driver.bill()
    assert driver.reasons() == ["rejected"]
    assert driver.position() == 43


def test_p6_beside_an_event_that_always_fails_a_new_one_still_tells_whose_fault_a_refusal_is() -> None:
    """P1 in one partition, P6 in the other, and both keep back what has ended behind: the new event gets in."""
    driver = Driver(0, 1)
    driver.feed(0, record(0, "never"))
    for offset in range(1, 30):
        driver.feed(0, record(offset))
        flush(driver)
        _answer_all(driver)
    assert driver.machine.poison()
    driver.feed(1, record(0, "bad"))
    driver.feed(1, bad_record(1))
    for _ in range(60):
        flush(driver)
        _answer_all(driver)
    assert 1 not in driver.actions.paused
    driver.feed(1, record(2, "new"))
    flush(driver)
    _answer_all(driver)
    assert driver.reasons() == ["invalid:not_json", "rejected"]
    assert driver.position(1) == 3
    driver.pass_time(60.0)
    assert driver.actions.paused == {0}


def _answer_all(driver: Driver) -> None:
    """503 to whatever has the event `never` in it, 400 to `bad`."""
    for _ in range(len(driver.sends)):
        asked = keys(driver.sends[0])
        driver.answer(BUSY if "never" in asked else REJECTED if asked == ["bad"] else None)
    driver.write()


def test_p7_a_single_event_that_is_too_large_is_dead_lettered_and_the_others_are_billed() -> None:
    """And those that come later go together again, as soon as the limit learned from it has grown back."""
    driver = Driver(0)
    filler = "x" * 2_000  # so much that the limit learned from three of these is below two
    driver.feed(0, *(record(offset, description=filler) for offset in range(3)))
    while driver.sends:
        driver.answer(TooLarge() if "k1" in keys(driver.sends[0]) else None)
    driver.feed(0, *records(3, 6))
    driver.bill()
    assert [(write.reason, write.event.offset) for write in driver.kept.dead] == [("too_large", 1)]
    assert (driver.ends(), driver.position()) == ({"consumed": 6, "accepted": 5, "dead_lettered": 1}, 6)

    for first in range(6, 303, 3):
        driver.feed(0, *records(first, first + 3))
        driver.bill()
    driver.feed(0, *(record(offset, description=filler) for offset in range(303, 306)))
    assert [keys(batch) for batch in driver.sends] == [["k303", "k304", "k305"]]


def test_p8_a_day_of_retry_after_is_not_waited() -> None:
    """Five minutes at the most."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.answer(TryAgain("429", outcome_unknown=False, retry_after_seconds=86_400.0))
    driver.pass_time(301.0)
    assert len(driver.sends) == 1


def test_p9_an_answer_with_a_result_too_few_is_an_unknown_outcome() -> None:
    """The same keys again, two seconds later; nobody guesses which event is missing."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    short = json.dumps({"success": True, "results": [{"reference": "r", "creditDebit": None}] * 2}).encode()
    outcome = bulk_outcome(200, {}, short, 3, 0.0)
    assert isinstance(outcome, TryAgain)
    assert outcome.outcome_unknown
    driver.answer(outcome)
    driver.pass_time(1.9)
    assert driver.sends == []
    driver.pass_time(0.2)
    assert [keys(batch) for batch in driver.sends] == [["k0", "k1", "k2"]]


def test_p10_what_expires_during_an_outage_is_dead_lettered_and_its_batch_unharmed() -> None:
    """Its reason is `expired`, and marked when its outcome is unknown."""
    driver = Driver(0)
    driver.feed(0, record(0), record(1, timestamp="2025-10-24T22:00:00Z"), record(2))
    driver.answer(TIMEOUT)
    driver.seconds += 3 * 3600.0
    driver.pass_time(1.0)
    driver.bill()
    assert driver.reasons() == ["expired"]
    letter = driver.kept.dead[0].event
    assert isinstance(letter, UsageEvent)
    assert letter.unknown
    assert driver.position() == 3


# Start


def test_s1_an_idle_partition_starts_where_it_was_committed() -> None:
    """`latest` was chosen once; what came while nobody ran is not skipped."""
    choice = Choice("latest", 1000.0, 4)
    commits = {3: Committed(5, encode_note(CommitNote(choice)))}
    assert plan_starts([3], commits, {3: Bounds(0, 9)}, choice) == {3: Start(5)}


def test_s2_a_partition_nobody_committed_follows_the_choice_as_of_its_time() -> None:
    """R1 committed P0 and P1, R2 died before P2."""
    made = Choice("latest", 1000.0, 3)
    commits = {p: Committed(5, encode_note(CommitNote(made))) for p in (0, 1)}
    bounds = {p: Bounds(0, 9) for p in range(3)}
    assert choose(commits, bounds, "earliest", 2000.0) == made
    assert plan_starts([2], commits, bounds, made) == {2: Start(0, at_seconds=1000.0)}


def test_s3_a_daemon_that_joined_an_empty_topic_is_not_refused_later() -> None:
    """Its commits carry a choice, though nobody had to make one."""
    first = choose({}, {0: Bounds(0, 0)}, "refuse", 1000.0)
    assert isinstance(first, Choice)
    commits = {0: Committed(0, encode_note(CommitNote(first)))}
    assert choose(commits, {0: Bounds(0, 50)}, "refuse", 2000.0) == first


def test_s4_partitions_added_while_running_start_at_their_beginning() -> None:
    """Also when `latest` was chosen."""
    choice = Choice("latest", 1000.0, 4)
    assert plan_starts([4, 7], {}, {p: Bounds(0, 9) for p in range(8)}, choice) == {4: Start(0), 7: Start(0)}


def test_s5_what_fell_out_of_retention_is_named() -> None:
    """From the commit to the log's start."""
    commits = {0: Committed(5, "")}
    start = plan_starts([0], commits, {0: Bounds(20, 30)}, Choice("earliest", 0.0, 1))[0]
    assert (start.offset, start.lost) == (20, Bounds(5, 20))


# Limits, as far as the machine counts


def test_t1_units_of_an_answer_that_was_cut_stay_pending() -> None:
    """Until a snapshot that was asked for later."""
    driver = Driver(0)
    before = driver.machine.usage.pin("cus_1")
    driver.feed(0, *records(0, 3))
    driver.answer(TIMEOUT)
    driver.pass_time(3.0)
    driver.bill()
    assert driver.machine.usage.pending(before, "") == 3
    assert driver.machine.usage.pending(driver.machine.usage.pin("cus_1"), "") == 0


def test_t4_units_released_after_an_unknown_outcome_count_as_sent() -> None:
    """And no earlier than two seconds after it: until then they are held."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.revoke()
    driver.answer(TIMEOUT)
    usage = driver.machine.usage
    early = usage.pin("cus_1")
    assert usage.held("cus_1", "") == 3
    driver.pass_time(1.0)
    assert usage.pending(early, "") == 3
    driver.pass_time(1.5)
    assert usage.held("cus_1", "") == 0
    assert usage.pending(early, "") == 3


def test_t4_units_dead_lettered_after_an_unknown_outcome_count_as_sent() -> None:
    """It expires while it is unknown whether it was billed: an answer that looks as if it was not would be too much."""
    driver = Driver(0)
    usage = driver.machine.usage
    early = usage.pin("cus_1")
    driver.feed(0, record(0, timestamp="2025-10-24T22:00:00Z", units=7))
    flush(driver)
    driver.answer(TIMEOUT)
    driver.seconds += 3 * 3600.0
    driver.pass_time(1.0)
    driver.bill()
    assert driver.reasons() == ["expired"]
    assert (usage.held("cus_1", ""), usage.pending(early, "")) == (0, 7)


def test_t4_units_that_were_never_sent_are_forgotten() -> None:
    """Released from the buffer: the provider cannot have them."""
    driver = Driver(0)
    pin = driver.machine.usage.pin("cus_1")
    driver.feed(0, *records(0, 2))
    assert driver.machine.usage.pending(pin, "") == 2
    driver.revoke()
    assert driver.machine.usage.pending(pin, "") == 0


# What else must hold


def test_a_dead_letter_that_was_decided_before_revocation_is_not_written_after_it() -> None:
    """Its event is released and comes again: whoever owns it then decides."""
    driver = Driver(0)
    driver.feed(0, record(0, "bad"))
    flush(driver)
    driver.answer(REJECTED)
    driver.feed(0, *records(1, 4))
    good = driver.sends.pop()
    driver.machine.answered(good.name, accepted(good), driver.now)
    driver.machine.revoked(driver.now)
    driver.step()
    assert all(isinstance(write, ReceiptWrite) for write in driver.writes)
    driver.write()
    assert driver.kept.dead == []


def test_everything_that_ended_leaves_nothing_behind() -> None:
    """After refusals, timeouts, copies and rebalances no unit is pending and nothing under way."""
    driver, answers = Driver(0), [None, TIMEOUT, REJECTED, BUSY, UnknownCustomer("no")]
    for number in range(30):
        first = driver.position()
        driver.feed(0, *records(first, first + 3), record(first + 3, f"k{first}"))
        if driver.sends:
            driver.answer(answers[number % 5])
        if number % 7 == 3:
            driver.revoke()
            driver.assign(0)
        driver.pass_time(5.0)
        driver.bill()
    driver.revoke()
    driver.pass_time(3.0)
    driver.bill()
    assert driver.machine.is_quiet(driver.now)
    assert len(driver.machine.usage) == 0
