"""Payments as rows: what a purchase, the renewal of one, or credits or usage have cost."""

from meter.sandbox.bookkeeping.entries import CREDITS_PER_MINOR_UNIT, Intent, Plan, Purchase, Session, Transaction
from meter.sandbox.bookkeeping.periods import moment_of, period_end
from meter.sandbox.rest.errors import iso
from meter.sandbox.rest.references import new_reference
from meter.sandbox.rest.shapes import MAX_WHOLE

CURRENCY = "USD"
"""The provider's default currency: plans are priced in it, other currencies are pricing options."""

MAX_AMOUNT = MAX_WHOLE
"""In minor units."""


def price(plan: Plan) -> int:
    """What a plan costs, in whole minor units."""
    return min(round(plan.price), MAX_AMOUNT)


def payment(purchase: Purchase, kind: str, moment: str) -> Transaction:
    """The price of a purchase's plan, paid at `moment`; `kind` is purchase or renewal."""
    return Transaction(
        reference=new_reference("txn"),
        type=kind,
        amount=price(purchase.plan),
        currency=purchase.plan.currency.upper(),
        created_at=moment,
        customer_ref=purchase.customer_ref,
        product_ref=purchase.product_ref,
        plan_ref=purchase.plan.reference,
        purchase_ref=purchase.reference,
    )


def next_payment(purchase: Purchase) -> str | None:
    """When the purchase is to be paid for the next period; None when it is not renewed, or costs nothing.

    A trial is paid when it ends.
    """
    if purchase.status not in ("active", "trialing") or not purchase.auto_renew or not purchase.plan.price > 0:
        return None
    if purchase.status == "trialing":
        return purchase.trial_ends_at
    latest = moment_of(purchase.renewed_at or purchase.billed_from)
    return period_end(purchase.billed_from, purchase.plan.billing_cycle, latest.timestamp())


def topup(session: Session, credits_bought: int, now: float) -> Transaction:
    """What credits cost, a begun cent as a whole one; they belong to the product that the checkout was for, if any."""
    return Transaction(
        reference=new_reference("txn"),
        type="topup",
        amount=-(-credits_bought // CREDITS_PER_MINOR_UNIT),
        currency=CURRENCY,
        created_at=iso(now),
        customer_ref=session.customer_ref,
        product_ref=session.product_ref,
        plan_ref=session.plan_ref,
    )


def of_intent(intent: Intent, kind: str, now: float) -> Transaction:
    """A paid intent that bought no plan; `kind` is topup or usage."""
    return Transaction(
        reference=new_reference("txn"),
        type=kind,
        amount=intent.amount,
        currency=intent.currency.upper(),
        created_at=iso(now),
        customer_ref=intent.customer_ref,
        product_ref=intent.product_ref,
        plan_ref=intent.plan_ref,
    )
