"""What the catalogue holds, as values: customers, products, plans, purchases, payments, with the rules they decide."""

from typing import Any, Protocol

import msgspec

from meter.sandbox.rest.shapes import whole

CREDIT_PLAN_TYPES = ("usage-based", "hybrid")
CREDITS_PER_MINOR_UNIT = 100
"""A hundred credits are a cent."""

HOLDING = ("active", "trialing", "past_due")
"""Statuses of purchases that give access; one that is overdue still does, until it is suspended."""

BEGUN = (*HOLDING, "pending", "suspended")
"""Statuses of purchases that have not ended."""


class Entry(Protocol):
    """Anything with a reference."""

    @property
    def reference(self) -> str:
        """Unique within its kind and environment."""


class Customer(msgspec.Struct, rename="camel", omit_defaults=True):
    """Somebody who is billed."""

    reference: str
    email: str
    name: str
    created_at: str
    external_ref: str | None = None
    telephone: str | None = None
    metadata: dict[str, Any] | None = None


class Product(msgspec.Struct, rename="camel", omit_defaults=True):
    """Something that is sold; its plans are kept apart."""

    reference: str
    name: str
    created_at: str
    updated_at: str
    description: str | None = None
    image_url: str | None = None
    product_type: str | None = None
    is_mcp_pay: bool | None = None
    mcp: dict[str, Any] | None = None
    config: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    status: str = "active"


class Plan(msgspec.Struct, rename="camel", omit_defaults=True):
    """What a customer pays for a product, and what that includes; money in minor units."""

    reference: str
    product_ref: str
    created_at: str
    updated_at: str
    name: str | None = None
    description: str | None = None
    type: str = "recurring"
    status: str = "active"
    price: int | float = 0
    currency: str = "USD"
    billing_cycle: str | None = None
    billing_model: str | None = None
    free_units: int | None = None
    limit: int | None = None
    credits_per_unit: int | None = None
    default: bool = False
    setup_fee: int | float | None = None
    trial_days: int | float | None = None
    access_expiry_days: int | float | None = None
    max_active_users: int | float | None = None
    rollover_unused_units: bool | None = None
    hidden: bool | None = None
    auto_renew: bool | None = None
    features: dict[str, Any] | None = None
    limits: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    pricing_options: list[Any] | None = None

    @property
    def takes_credits(self) -> bool:
        """Whether usage is paid from the customer's credits, unit by unit."""
        return self.credits_per_unit is not None and self.type in CREDIT_PLAN_TYPES and not self.is_post_paid

    @property
    def is_post_paid(self) -> bool:
        """Whether usage is billed when its period is over, so that nobody is stopped before."""
        return self.billing_model == "post-paid"

    @property
    def requires_payment(self) -> bool:
        """False for a plan that a customer may be put on without asking."""
        return self.price > 0 or (self.credits_per_unit is not None and self.type in CREDIT_PLAN_TYPES)

    @property
    def may_be_default(self) -> bool:
        """Whether customers without a purchase may fall on it: only what is free or paid by use."""
        return self.price == 0 or self.type == "usage-based"

    @property
    def included_units(self) -> int:
        """Units a period before a further one costs anything: what is left of credits, or billed afterwards."""
        if self.type == "hybrid":
            return self.limit or self.free_units or 0
        return 0 if self.takes_credits else self.free_units or 0

    @property
    def allowance_units(self) -> int | None:
        """Units a period beyond which nobody may go on without credits; None when there is no bound.

        Free plans give free units, paid ones their limit; what is billed afterwards has a limit of its own, if any.
        """
        if self.is_post_paid:
            return None if self.type == "hybrid" else self.limit or None
        if self.price > 0:
            return (self.free_units if self.limit is None else self.limit) or None
        return self.free_units or self.limit or None

    def overage(self, used: int) -> tuple[int, float]:
        """Of so many units used in a period, those beyond what is included, and what they cost in minor units."""
        if self.type == "hybrid" or self.is_post_paid:
            over = max(used - self.included_units, 0)
            return over, whole(over * (self.credits_per_unit or 0) / CREDITS_PER_MINOR_UNIT)
        return (max(used - self.allowance_units, 0) if self.allowance_units else 0), 0

    @property
    def is_recurring(self) -> bool:
        """Whether it is sold by the billing period."""
        return self.type in ("recurring", "hybrid")

    @property
    def renews(self) -> bool:
        """Whether it is paid again for the period after, and not just for one."""
        return self.is_recurring and self.auto_renew is not False


class Purchase(msgspec.Struct, rename="camel", omit_defaults=True):
    """A customer's hold on a product; `plan` is the plan as it stood then, later edits do not touch it.

    `status` is what was last decided: pending, trialing, active, past_due, suspended, cancelled, expired, refunded.
    Access ends at `end_date`. What comes before `trial_ends_at` costs nothing.
    `paid_at` is when it was paid last, `renewed_at` where its latest further billing period began,
    `counted_from` where its allowance began again last.
    """

    reference: str
    customer_ref: str
    product_ref: str
    plan: Plan
    created_at: str
    status: str = "active"
    product_name: str | None = None
    auto_renew: bool = False
    end_date: str | None = None
    paid_at: str | None = None
    renewed_at: str | None = None
    cancelled_at: str | None = None
    cancellation_reason: str | None = None
    counted_from: str | None = None
    trial_ends_at: str | None = None
    counted_before: int = 0
    """Of a purchase that has one period only: what had counted on its first day before it."""

    @property
    def billed_from(self) -> str:
        """Where the first period begins that is paid for."""
        return self.trial_ends_at or self.created_at

    def status_at(self, moment: str) -> str:
        """The status at a moment in the form of `errors.iso`: what gives access has expired once its end is over."""
        if self.status in HOLDING and self.end_date is not None and moment >= self.end_date:
            return "expired"
        return self.status

    def holds_at(self, moment: str) -> bool:
        """Whether the customer may use the product on it at that moment."""
        return self.status in HOLDING and (self.end_date is None or moment < self.end_date)


class Intent(msgspec.Struct, rename="camel", omit_defaults=True):
    """A payment that a customer is about to make; `amount` in minor units.

    `status` is what was last decided: requires_payment_method, succeeded, failed, cancelled. `plan_ref` is what is
    bought; without one the money buys credits or pays for usage, as `purpose` says.
    """

    reference: str
    idempotency_key: str
    customer_ref: str
    purpose: str
    amount: int
    currency: str
    created_at: str
    expires_at: str
    status: str = "requires_payment_method"
    product_ref: str | None = None
    plan_ref: str | None = None
    pricing_tier: str | None = None
    description: str | None = None

    def status_at(self, moment: str) -> str:
        """The status at a moment in the form of `errors.iso`: what was not paid in time is cancelled."""
        if self.status == "requires_payment_method" and moment >= self.expires_at:
            return "cancelled"
        return self.status


class Session(msgspec.Struct, rename="camel", omit_defaults=True):
    """A link that a customer may follow for a while; `kind` is checkout or customer."""

    reference: str
    kind: str
    customer_ref: str
    created_at: str
    expires_at: str
    product_ref: str | None = None
    plan_ref: str | None = None
    purpose: str | None = None
    return_url: str | None = None
    used_at: str | None = None

    def status_at(self, moment: str) -> str:
        """active, used or expired at a moment in the form of `errors.iso`."""
        if self.used_at is not None:
            return "used"
        return "active" if moment < self.expires_at else "expired"


class Transaction(msgspec.Struct, rename="camel", omit_defaults=True):
    """Money that has moved, or should have; `amount` is in minor units and never negative, that of refunds neither.

    `type` is purchase, renewal, topup, usage or refund; `status` succeeded or failed; a refund says whose money went
    back.
    """

    reference: str
    type: str
    amount: int
    currency: str
    created_at: str
    status: str = "succeeded"
    customer_ref: str | None = None
    product_ref: str | None = None
    plan_ref: str | None = None
    purchase_ref: str | None = None
    source_transaction_ref: str | None = None
    reason: str | None = None

    @property
    def is_refund(self) -> bool:
        """Whether the money went back."""
        return self.type == "refund"

    @property
    def has_paid(self) -> bool:
        """Whether it brought money: a payment that succeeded."""
        return self.status == "succeeded" and not self.is_refund


class Reservation(msgspec.Struct, rename="camel", omit_defaults=True):
    """A reference that waits for what is made next: `reference` says for what, `gives` is given to it, once."""

    reference: str
    gives: str
    taken_at: str | None = None

    @classmethod
    def of(cls, what: str, name: str, gives: str) -> "Reservation":
        """For the next `what` of that name: customer (its email), product (its name), refund (of which payment)."""
        return cls(reference=f"{what} {name}", gives=gives)


AnyEntry = Customer | Product | Plan | Purchase | Session | Intent | Transaction | Reservation
