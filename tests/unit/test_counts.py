"""The numbers of the machine."""

from meter.pipeline.counts import Counts


def test_counts_balance_when_every_event_has_one_fate() -> None:
    """Invariant 2: consumed = accepted + duplicate + dead_lettered + released + held."""
    counts = Counts(consumed=10, accepted=3, duplicate=2, released=1, held=1)
    counts.dead_letter("expired")
    counts.dead_letter("expired")
    counts.dead_letter("invalid:json")
    assert counts.balanced()
    assert counts.events()["dead_lettered"] == 3


def test_counts_do_not_balance_when_an_event_got_lost() -> None:
    """`held` is what is really held: an event that nobody has shows as a difference."""
    assert not Counts(consumed=2, accepted=1, held=0).balanced()


def test_what_should_have_been_debited_is_counted_and_a_new_reason_is_not_overlooked() -> None:
    """A repeat and a plan without credits are normal; labels stay few, whatever the provider says."""
    counts = Counts()
    named = ["no_product_ref", "customer_not_found", "no_active_purchase"]
    counts.undebited([*named, "duplicate", "plan_not_credit_based", "cus_1 is frozen", "cus_2 is frozen"])
    assert counts.not_debited == dict.fromkeys(named, 1) | {"other": 2}
