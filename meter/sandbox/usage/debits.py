"""What usage costs in credits: the `creditDebit` of each event, and the rows that it leaves in the ledger."""

from meter.sandbox.bookkeeping.entries import Purchase
from meter.sandbox.bookkeeping.ledger import Credit
from meter.sandbox.bookkeeping.usages import Usage
from meter.sandbox.catalogue import Shelf
from meter.sandbox.rest.calls import Call
from meter.sandbox.rest.errors import iso
from meter.sandbox.rest.timestamps import unix_seconds
from meter.sandbox.store import Recorded, Store


class Bill:
    """The bill of one call: knows what its earlier events have taken already.

    Credits go down to zero and no further, unless that is allowed; the event is recorded in any case.
    """

    def __init__(self, store: Store, shelf: Shelf, call: Call, *, allow_negative: bool = False) -> None:
        self.debits: list[Credit] = []
        self._store = store
        self._shelf = shelf
        self._allow_negative = allow_negative
        self._environment = call.environment
        self._now = call.now
        self._moment = iso(call.now)
        self._balances: dict[str, int] = {}
        self._used: dict[tuple[str, str | None, str], int] = {}

    def member(self, usage: Usage, place: Recorded) -> str:
        """The `creditDebit` member of a result as JSON that follows others; empty when the outcome is no success."""
        if place.duplicate:
            return _SKIPPED["duplicate"]
        if usage.outcome != "success":
            return ""
        if usage.product_ref is None:
            return _SKIPPED["no_product_ref"]
        if usage.customer_ref not in self._shelf.customers:
            return _SKIPPED["customer_not_found"]
        purchase = self._shelf.current.get((usage.customer_ref, usage.product_ref))
        if purchase is None or not purchase.holds_at(self._moment):
            return _SKIPPED["no_active_purchase"]
        if not purchase.plan.takes_credits:
            return _SKIPPED["plan_not_credit_based"]
        return self._debit(usage, place, purchase)

    def _debit(self, usage: Usage, place: Recorded, purchase: Purchase) -> str:
        price = purchase.plan.credits_per_unit or 1
        customer_ref = usage.customer_ref
        balance = self._balances.get(customer_ref)
        if balance is None:
            balance = self._store.ledger.balance(self._environment, customer_ref)
        amount = (usage.units - self._included(usage, purchase)) * price
        if not self._allow_negative:
            amount = min(amount, max(balance, 0))
        balance -= amount
        self._balances[customer_ref] = balance
        if amount:
            self.debits.append(
                Credit(self._environment, customer_ref, "USAGE", -amount, balance, self._now, usage_row=place.row)
            )
        return f',"creditDebit":{{"debited":true,"amount":{amount},"unitsRemaining":{max(balance, 0) // price}}}'

    def _included(self, usage: Usage, purchase: Purchase) -> int:
        """How many of the usage's units a hybrid plan's allowance of its period still pays for."""
        allowance = purchase.plan.included_units
        if not allowance:
            return 0
        moment = unix_seconds(usage.timestamp) if usage.timestamp is not None else None
        moment = self._now if moment is None else moment
        period = self._store.counts.period(purchase, moment)
        counter = (usage.customer_ref, usage.product_ref, period.begin)
        used = self._used.get(counter)
        if used is None:
            used = self._store.counts.used(self._environment, purchase, moment)
        self._used[counter] = used + usage.units
        return min(usage.units, max(allowance - used, 0))


_REASONS = ("duplicate", "no_product_ref", "customer_not_found", "no_active_purchase", "plan_not_credit_based")
_SKIPPED = {reason: f',"creditDebit":{{"debited":false,"reason":"{reason}"}}' for reason in _REASONS}
REPEATED = _SKIPPED["duplicate"]
"""How the result of a repeat ends."""
