"""How a purchase begins: it takes the place of the one before, and may have to wait for credits."""

from collections.abc import Iterable, Sequence

import msgspec

from meter.sandbox.bookkeeping.entries import BEGUN, AnyEntry, Plan, Purchase
from meter.sandbox.bookkeeping.payments import payment
from meter.sandbox.bookkeeping.periods import days_later, moment_of, period_end
from meter.sandbox.catalogue import Catalogue, Shelf
from meter.sandbox.rest.errors import iso
from meter.sandbox.rest.references import new_reference


class NewPurchases:
    """Begins purchases. The customer and the product must exist."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def begin(
        self,
        environment: int,
        customer_ref: str,
        plan: Plan,
        now: float,
        *,
        status: str = "active",
        paid: bool = False,
        trial: bool = False,
        also: Sequence[AnyEntry] = (),
    ) -> Purchase:
        """A purchase of the plan as it stands, kept together with its payment, if it is `paid`, and `also`.

        An earlier purchase of the product expires. With `trial` nothing is paid before the plan's trial is over, if it
        has one; a customer has one trial of a product.
        """
        shelf = self._catalogue[environment]
        product = shelf.products.get(plan.product_ref)
        moment = iso(now)
        ends = _trial_end(shelf, customer_ref, plan, moment) if trial else None
        paid = paid and ends is None
        counts = self._catalogue.counts
        before = counts.on_day(environment, customer_ref, plan.product_ref, now) if plan.type == "one-time" else 0
        purchase = Purchase(
            reference=new_reference("pur"),
            customer_ref=customer_ref,
            product_ref=plan.product_ref,
            plan=plan,
            created_at=moment,
            status=status if ends is None else "trialing",
            trial_ends_at=ends,
            counted_before=before,
            product_name=product.name if product else None,
            auto_renew=plan.renews,
            end_date=planned_end(plan, moment),
            paid_at=moment if paid else None,
        )
        earlier = shelf.current.get((customer_ref, plan.product_ref))
        paying = [payment(purchase, "purchase", moment)] if paid else []
        self._catalogue.put(environment, [*_ended(earlier, moment), purchase, *paying, *also])
        return purchase

    def enrol(self, environment: int, customer_ref: str, product_ref: str, now: float) -> Purchase | None:
        """Put a customer who is on no plan on the product's free default plan; None when there is none."""
        plan = self._catalogue[environment].default_plan(product_ref)
        if plan is None or plan.requires_payment:
            return None
        return self.begin(environment, customer_ref, plan, now)


def planned_end(plan: Plan, start: str) -> str | None:
    """Where a purchase of the plan that begins at `start` ends by itself; None when it goes on."""
    if plan.is_recurring:
        return None if plan.renews else period_end(start, plan.billing_cycle, moment_of(start).timestamp())
    return None if plan.access_expiry_days is None else days_later(start, plan.access_expiry_days)


def woken(shelf: Shelf, customer_ref: str, balance: int) -> Iterable[Purchase]:
    """The customer's pending purchases that become active because the balance covers a unit."""
    for purchase in shelf.purchases_of(customer_ref):
        if purchase.status == "pending" and balance >= (purchase.plan.credits_per_unit or 0):
            yield msgspec.structs.replace(purchase, status="active")


def _trial_end(shelf: Shelf, customer_ref: str, plan: Plan, moment: str) -> str | None:
    """Where a trial of the plan ends that begins now; None when there is none, or has been one of the product."""
    earlier = (each for each in shelf.purchases_of(customer_ref) if each.product_ref == plan.product_ref)
    if not plan.trial_days or not plan.renews or plan.price <= 0 or any(each.trial_ends_at for each in earlier):
        return None
    return days_later(moment, plan.trial_days)


def _ended(earlier: Purchase | None, moment: str) -> list[Purchase]:
    if earlier is None or earlier.status not in BEGUN:
        return []
    end_date = min(earlier.end_date or moment, moment)
    return [msgspec.structs.replace(earlier, status="expired", end_date=end_date, auto_renew=False)]
