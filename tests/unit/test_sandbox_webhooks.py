"""Webhooks: what has changed is told, signed, until it is taken; what has not changed is not told."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import httpx
import pytest

from meter.sandbox.app import Sandbox
from meter.sandbox.bookkeeping.ledger import Credit
from meter.sandbox.knobs import Knobs
from meter.sandbox.rest.calls import SANDBOX, Call
from meter.sandbox.sales.refunds import Refunds
from meter.sandbox.store import Store
from meter.sandbox.webhooks.endpoints import EVENT_TYPES
from meter.sandbox.webhooks.events import Event
from meter.sandbox.webhooks.retries import next_go
from meter.sandbox.webhooks.samples import samples
from tests.sandboxes import (
    BULK,
    CUSTOMER,
    LIMITS,
    NOW,
    PRODUCT,
    USAGES,
    FixedClock,
    activate,
    bought,
    event,
    grant,
    known,
    plan_of,
)
from tests.webhook_receiver import Receiver, genuine

SECRET = "whsec_of_the_test"
URL = "http://receiver/hooks"
DAY = 86400.0


class World:
    """A sandbox, whose customer is known, and a receiver of its events; the clock is the test's."""

    def __init__(self, client: httpx.AsyncClient, sandbox: Sandbox, receiver: Receiver, clock: FixedClock) -> None:
        self.client, self.sandbox, self.receiver, self.clock = client, sandbox, receiver, clock

    async def told(self) -> list[str]:
        """Types of the events that are delivered now."""
        before = len(self.receiver.types)
        await self.sandbox.webhooks.send_due()
        return self.receiver.types[before:]

    async def deliveries(self) -> list[dict[str, Any]]:
        """What the controls say of every delivery."""
        found: list[dict[str, Any]] = (await self.client.get("/sandbox/webhooks")).json()["deliveries"]
        return found


@asynccontextmanager
async def world(store: Store | None = None, free_units: int | None = None, **knobs: Any) -> AsyncIterator[World]:
    """A world with one configured endpoint, which wants what changes access."""
    clock = FixedClock()
    receiver = Receiver(SECRET, clock)
    wanted = tuple(name for kind in ("purchase", "customer.credit", "usage") for name, _ in EVENT_TYPES[kind])
    turned = Knobs(**{"webhook_url": URL, "webhook_secret": SECRET, "webhook_events": wanted, **knobs})
    with closing(Store()) as empty:
        outgoing = httpx.ASGITransport(receiver.app)
        sandbox = Sandbox(store or empty, knobs=turned, now=clock, outgoing=outgoing)
        headers = {"authorization": "Bearer sk_sandbox_test"}
        transport = httpx.ASGITransport(app=sandbox)
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox", headers=headers) as client:
            await known(client, free_units)
            yield World(client, sandbox, receiver, clock)


async def on_credits(world: World, credits_given: int, price: int = 10) -> None:
    """Put the customer on a plan that takes `price` credits a unit, with so many credits."""
    plan = await plan_of(world.client, type="usage-based", creditsPerUnit=price)
    await grant(world.client, credits_given)
    await activate(world.client, plan)
    await world.told()


async def test_an_event_has_the_documented_form() -> None:
    """Envelope, headers and a signature that a receiver can verify on its own."""
    async with world() as here:
        reference = await bought(here.client, await plan_of(here.client, type="recurring", price=4900))
        assert await here.told() == ["purchase.created", "purchase.activated"]
        told, headers = here.receiver.received[0]
    assert set(told) == {"id", "type", "created", "api_version", "data", "livemode", "request"}
    assert (told["created"], told["api_version"], told["livemode"]) == (int(NOW), "2025-10-01", False)
    assert told["request"] == {"id": None, "idempotency_key": None}
    assert told["data"]["previous_attributes"] is None
    shown = told["data"]["object"]
    assert (shown["reference"], shown["customer"], shown["product"]) == (reference, CUSTOMER, PRODUCT)
    assert (headers["sv-event-id"], headers["user-agent"]) == (told["id"], "SolvaPay/1.0 (+webhooks)")
    assert told["id"].startswith("evt_")
    assert headers["sv-delivery"].startswith("dlv_")


async def test_the_whole_secret_signs() -> None:
    """With another secret, without the prefix, with another body or an old time the signature is bad."""
    async with world() as here:
        await bought(here.client, await plan_of(here.client, type="one-time", price=100))
        await here.told()
        request = (await here.deliveries())[0]
        assert here.receiver.refused == 0
        header = here.receiver.received[0].headers["sv-signature"]
    body = httpx.Response(200, json=request["event"]).content
    assert not genuine(SECRET.removeprefix("whsec_"), header, body, NOW)
    assert not genuine("whsec_other", header, body, NOW)
    assert not genuine(SECRET, header, b"{}", NOW)


async def test_a_purchase_is_told_of_from_its_beginning_to_its_end() -> None:
    """Scheduled to end, taken up again, scheduled again, and expired when its time is over."""
    async with world() as here:
        reference = await bought(here.client, await plan_of(here.client, type="recurring", price=4900))
        for verb in ("cancel", "reactivate", "cancel"):
            (await here.client.post(f"/v1/sdk/purchases/{reference}/{verb}")).raise_for_status()
        here.clock.now += 32 * DAY
        await here.sandbox.jobs.do_due()
        await here.sandbox.jobs.do_due()
        assert await here.told() == [
            "purchase.created",
            "purchase.activated",
            "purchase.cancellation_scheduled",
            "purchase.reactivated",
            "purchase.cancellation_scheduled",
            "purchase.expired",
        ]
        previous = here.receiver.received[-1].event["data"]["previous_attributes"]
    assert previous == {"status": "active"}


async def test_what_is_not_recurring_is_cancelled_at_once() -> None:
    """`purchase.cancelled` means that access has ended."""
    async with world() as here:
        reference = await bought(here.client, await plan_of(here.client, type="one-time", price=100))
        (await here.client.post(f"/v1/sdk/purchases/{reference}/cancel")).raise_for_status()
        assert (await here.told())[-1] == "purchase.cancelled"


async def test_another_plan_ends_the_purchase_before() -> None:
    """The one expires, the other is created and active."""
    async with world() as here:
        for name in ("Small", "Big"):
            await activate(here.client, await plan_of(here.client, name=name, type="recurring", price=0))
        assert (await here.told())[2:] == ["purchase.expired", "purchase.created", "purchase.activated"]


async def test_credits_are_told_of() -> None:
    """Given, taken and used up; whoever waited for them becomes active."""
    async with world() as here:
        plan = await plan_of(here.client, type="usage-based", creditsPerUnit=10)
        assert (await activate(here.client, plan))["status"] == "topup_required"
        await grant(here.client, 50, key="k1")
        assert await here.told() == ["purchase.created", "customer.credit.granted", "purchase.activated"]
        given = here.receiver.received[1].event
        assert given["request"]["idempotency_key"] == "k1"
        assert given["data"]["object"] == {
            "customerId": CUSTOMER,
            "credits": 50,
            "amount": 50,
            "reason": "test",
            "created": int(NOW),
        }
        await here.client.post(USAGES, json=event(units=5))
        assert await here.told() == ["customer.credit.debited", "customer.credit.exhausted"]
    assert [(each["amount"], each["credits"]) for each in here.receiver.objects("customer.credit.exhausted")] == [
        (-50, 0)
    ]


async def test_a_bulk_call_is_one_debit_for_each_customer() -> None:
    """A thousand events of one customer are one webhook with their sum and the balance after the last."""
    async with world() as here:
        await on_credits(here, 100_000)
        events = [event(idempotencyKey=str(number)) for number in range(1000)]
        await here.client.post(BULK, json={"events": events})
        assert await here.told() == ["customer.credit.debited"]
        (debit,) = here.receiver.objects("customer.credit.debited")
        assert (debit["amount"], debit["credits"]) == (-10_000, 90_000)


async def test_debits_that_wait_are_added_up() -> None:
    """Until somebody begins to send them; what was told of the customer in between keeps its place."""
    async with world() as here:
        await on_credits(here, 1000)
        for _ in range(3):
            await here.client.post(USAGES, json=event())
        await grant(here.client, 7)
        for _ in range(2):
            await here.client.post(USAGES, json=event())
        debited, granted = "customer.credit.debited", "customer.credit.granted"
        assert await here.told() == [debited, granted, debited]
        await here.client.post(USAGES, json=event())
        assert await here.told() == [debited]
        debits = [(each["amount"], each["credits"]) for each in here.receiver.objects(debited)]
        assert debits == [(-30, 970), (-20, 957), (-10, 947)]


async def test_a_debit_that_has_failed_is_not_added_to() -> None:
    """An event that was sent once is the same each time it comes."""
    async with world() as here:
        await on_credits(here, 1000)
        here.receiver.status = 500
        await here.client.post(USAGES, json=event())
        await here.told()
        await here.client.post(USAGES, json=event())
        here.clock.now += 300
        await here.told()
        debits = [(each["amount"], each["credits"]) for each in here.receiver.objects("customer.credit.debited")]
        assert sorted(debits) == [(-10, 980), (-10, 990), (-10, 990)]


async def test_what_was_not_kept_is_not_told() -> None:
    """A transaction that fails takes its events with it, and those that were to grow are as before."""
    with closing(Store()) as store:
        async with world(store, webhook_events=()) as here:
            await on_credits(here, 1000)
            await here.client.post(USAGES, json=event())
            debit = Credit(SANDBOX, CUSTOMER, "USAGE", -10, 980, NOW)
            with pytest.raises(TypeError):
                store.put_objects(SANDBOX, [], [debit], [Event(SANDBOX, "x", NOW, {"customer": object()})])
            await here.client.post(USAGES, json=event())
            await here.told()
            debits = [(each["amount"], each["credits"]) for each in here.receiver.objects("customer.credit.debited")]
            assert debits == [(-10, 990), (-10, 980)]


async def test_what_changes_nothing_is_not_told() -> None:
    """Repeats of usage, usage that costs nothing, repeated grants and questions about limits."""
    async with world() as here:
        await on_credits(here, 100)
        await here.client.post(USAGES, json=event(idempotencyKey="a"))
        await grant(here.client, 10, key="k")
        assert len(await here.told()) == 2
        await here.client.post(USAGES, json=event(idempotencyKey="a"))
        await here.client.post(USAGES, json=event(outcome="fail"))
        await here.client.post(USAGES, json=event(customerRef="cus_nobody"))
        await grant(here.client, 10, key="k")
        await here.client.post(LIMITS, json={"customerRef": CUSTOMER, "productRef": PRODUCT})
        assert await here.told() == []


async def test_an_allowance_that_begins_again_is_told_once() -> None:
    """In the next month, for a purchase that has an allowance, and not on the day on which it began."""
    async with world(free_units=10) as here:
        await here.client.post(LIMITS, json={"customerRef": CUSTOMER, "productRef": PRODUCT})
        await here.sandbox.jobs.do_due()
        assert await here.told() == ["purchase.created", "purchase.activated"]
        here.clock.now += 31 * DAY
        await here.sandbox.jobs.do_due()
        await here.sandbox.jobs.do_due()
        assert await here.told() == ["usage.reset"]
        (reset,) = here.receiver.objects("usage.reset")
        assert (reset["customer"], reset["product"], reset["quantity"]) == (CUSTOMER, PRODUCT, 0)


async def test_units_that_are_included_begin_again_as_well() -> None:
    """Also where nobody is stopped beyond them, as on a plan that bills the rest later; not what is bought once."""
    async with world(free_units=None) as here:
        fields = {"type": "hybrid", "price": 0, "limit": 10, "creditsPerUnit": 50, "billingModel": "post-paid"}
        for plan in (await plan_of(here.client, **fields), await plan_of(here.client, type="one-time", limit=10)):
            await bought(here.client, plan)
            await here.told()
            here.clock.now += 31 * DAY
            await here.sandbox.jobs.do_due()
            assert await here.told() == (["usage.reset"] if here.clock.now < NOW + 32 * DAY else [])


async def test_retries_keep_the_documented_distances() -> None:
    """5 min, 15 min, 1 h, 6 h, 24 h, 48 h, then 72 h each; an event that fails twelve times disables its endpoint."""
    async with world() as here:
        here.receiver.status = 500
        await grant(here.client, 10)
        waits: list[float] = []
        while here.sandbox.webhooks.next_due() is not None:
            due_at = here.sandbox.webhooks.next_due() or 0.0
            waits.append(due_at - here.clock.now)
            here.clock.now = due_at
            assert len(await here.told()) == 1
        assert waits == [0, 300, 900, 3600, 21600, 86400, 172800, *[259200] * 5]
        (delivery,) = await here.deliveries()
        assert (delivery["state"], delivery["attempts"], delivery["answer"]) == ("given_up", 12, "500")
        await grant(here.client, 10)
        assert await here.told() == []
        disabled = await here.client.get("/v1/webhook_endpoints/we_CONFIGURED_SANDBOX")
        assert disabled.json()["status"] == "disabled"
        await here.client.post("/sandbox/webhooks/we_CONFIGURED_SANDBOX/enable")
        await grant(here.client, 10)
        assert await here.told() == ["customer.credit.granted"]


async def test_an_endpoint_that_recovers_gets_what_it_missed() -> None:
    """A failure holds up nobody else, and the event comes again until it is taken, then never more."""
    async with world() as here:
        here.receiver.status = 503
        await grant(here.client, 10)
        await here.told()
        here.receiver.status = 204
        await grant(here.client, 20)
        assert await here.told() == ["customer.credit.granted"]
        here.clock.now += 300
        assert await here.told() == ["customer.credit.granted"]
        here.clock.now += 30 * DAY
        assert await here.told() == []
        first, second, again = here.receiver.received
    assert first.event == again.event != second.event
    assert first.headers["sv-event-id"] == again.headers["sv-event-id"]
    assert first.headers["sv-delivery"] != again.headers["sv-delivery"]


async def test_nothing_is_written_when_nobody_listens() -> None:
    """Without an endpoint there is no delivery to keep."""
    async with world(webhook_url="") as here:
        await on_credits(here, 100)
        await here.client.post(USAGES, json=event())
        assert await here.deliveries() == []


async def test_an_endpoint_gets_the_types_that_it_asked_for() -> None:
    """From the moment it exists until it is deleted, in its own environment, signed with a secret of its own."""
    async with world(webhook_url="") as here:
        wanted = {"url": URL, "enabledEvents": ["customer.credit.granted"]}
        answer = await here.client.post("/v1/webhook_endpoints", json=wanted)
        assert answer.status_code == 201
        made = answer.json()
        listed = (await here.client.get("/v1/webhook_endpoints")).json()["webhookEndpoints"]
        assert listed == [{name: value for name, value in made.items() if name != "secret"}]
        live = {"authorization": "Bearer sk_live_x"}
        assert (await here.client.get("/v1/webhook_endpoints", headers=live)).json()["total"] == 0
        await bought(here.client, await plan_of(here.client, type="one-time", price=100))
        await grant(here.client, 10)
        assert await here.told() == []
        assert here.receiver.refused == 1, "signed with another secret than the test's"
        (await here.client.delete(f"/v1/webhook_endpoints/{made['id']}")).raise_for_status()
        assert [each["state"] for each in await here.deliveries()] == ["given_up"]
        assert (await here.client.get(f"/v1/webhook_endpoints/{made['id']}")).status_code == 404


@pytest.mark.parametrize("url", ["", "ftp://x/y", "nothing", "http://", 7, None])
async def test_an_endpoint_needs_an_address(url: Any) -> None:
    """400 in the provider's form."""
    async with world(webhook_url="") as here:
        answer = await here.client.post("/v1/webhook_endpoints", json={"url": url})
        assert (answer.status_code, answer.json()["message"]) == (400, "Validation failed")


async def test_types_must_be_names() -> None:
    """What is no list of texts is refused; unknown types are not, since the provider has more than the sandbox."""
    async with world(webhook_url="") as here:
        for events, status in (([1], 400), ("x", 400), (["payment.disputed"], 201)):
            answer = await here.client.post("/v1/webhook_endpoints", json={"url": URL, "enabledEvents": events})
            assert answer.status_code == status


async def test_the_types_are_listed_and_shown() -> None:
    """Each type once, and a sample of each; no other type is ever made."""
    async with world() as here:
        categories = (await here.client.get("/v1/sdk/webhooks/event-types")).json()
        types = [each["type"] for category in categories for each in category["events"]]
        assert len(types) == len(set(types))
        for name in types:
            told = await here.client.get("/v1/sdk/webhooks/event-schema", params={"type": name})
            assert (told.status_code, told.json()["type"]) == (200, name)
        assert set(samples(SANDBOX, NOW)) == set(types)
        sample = (await here.client.get("/v1/sdk/webhooks/event-schema")).json()
        assert sample["type"] == "purchase.created"
        wrong = await here.client.get("/v1/sdk/webhooks/event-schema", params={"type": "x"})
        assert wrong.status_code == 404


async def test_deliveries_can_be_hurried_and_repeated() -> None:
    """`/sandbox/webhooks/send` needs no waiting: all that wait, or some that are over already."""
    async with world() as here:
        here.receiver.status = 500
        await grant(here.client, 10)
        await here.told()
        here.receiver.status = 200
        assert await here.told() == []
        assert (await here.client.post("/sandbox/webhooks/send")).json() == {"due": 1}
        assert await here.told() == ["customer.credit.granted"]
        (delivery,) = await here.deliveries()
        assert (delivery["state"], delivery["attempts"], delivery["answer"]) == ("delivered", 2, "200")
        await here.client.post("/sandbox/webhooks/send", json={"deliveries": [delivery["number"]]})
        assert await here.told() == ["customer.credit.granted"]


async def test_a_reset_forgets_deliveries_and_keeps_the_configured_endpoint() -> None:
    """As after a first start with the same options."""
    async with world() as here:
        await here.client.post("/v1/webhook_endpoints", json={"url": URL})
        await grant(here.client, 10)
        await here.client.post("/sandbox/reset")
        assert await here.told() == []
        await known(here.client)
        await grant(here.client, 10)
        assert await here.told() == ["customer.credit.granted"]


async def test_customers_checkouts_payments_and_offers_are_told_of() -> None:
    """Whatever an endpoint may ask for comes to one that asks for everything; what stays the same does not."""
    async with world(webhook_events=()) as here:
        assert await here.told() == ["customer.created"]
        name = {"name": "Ann"}
        for _ in range(2):
            (await here.client.patch(f"/v1/sdk/customers/{CUSTOMER}", json=name)).raise_for_status()
        plan = await plan_of(here.client, type="one-time", price=4900)
        refs = {"customerRef": CUSTOMER, "productRef": PRODUCT, "planRef": plan}
        session = (await here.client.post("/v1/sdk/checkout-sessions", json=refs)).json()["sessionId"]
        (await here.client.post(f"/sandbox/checkout-sessions/{session}")).raise_for_status()
        for price in (5900, 5900):
            await here.client.put(f"/v1/sdk/products/{PRODUCT}/plans/{plan}", json={"price": price})
        await here.client.delete(f"/v1/sdk/products/{PRODUCT}")
        told = await here.told()
        customer = here.receiver.received[1].event["data"]
        (paid,) = here.receiver.objects("payment.succeeded")
    assert sorted(told) == sorted(
        [
            "customer.updated",
            "checkout_session.created",
            "checkout_session.completed",
            "purchase.created",
            "purchase.activated",
            "payment.succeeded",
            "plan.updated",
            "plan.archived",
            "product.archived",
        ]
    )
    assert (customer["object"]["name"], customer["previous_attributes"]) == ("Ann", {"name": ""})
    assert (paid["customer"], paid["product"], paid["amount"], paid["currency"]) == (CUSTOMER, PRODUCT, 4900, "usd")


async def test_a_full_refund_is_told_of_and_ends_the_purchase() -> None:
    """`payment.refunded` for the money, `purchase.refunded` for the access."""
    with closing(Store()) as store:
        async with world(store, webhook_events=()) as here:
            await bought(here.client, await plan_of(here.client, type="one-time", price=4900))
            await here.told()
            (paid,) = here.receiver.objects("payment.succeeded")
            wish = json.dumps({"sourceTransactionRef": paid["id"]}).encode()
            Refunds(store, here.sandbox.catalogue).create(Call(SANDBOX, "/mcp", wish, NOW))
            assert sorted(await here.told()) == ["payment.refunded", "purchase.refunded"]


async def test_a_renewal_is_told_of() -> None:
    """Each period that was missed is a renewal, and a payment, of its own; no allowance, no reset."""
    async with world(webhook_events=("purchase.renewed", "payment.succeeded")) as here:
        await bought(here.client, await plan_of(here.client, type="recurring", price=4900, billingCycle="monthly"))
        assert await here.told() == ["payment.succeeded"]
        here.clock.now += 65 * DAY
        await here.sandbox.jobs.do_due()
        assert await here.told() == ["purchase.renewed", "payment.succeeded"] * 2


async def test_a_trial_that_converts_is_told_of() -> None:
    """With the payment that it leads to."""
    async with world(webhook_events=("purchase.created", "purchase.trial_converted", "payment.succeeded")) as here:
        plan = await plan_of(here.client, type="recurring", price=4900, billingCycle="monthly", trialDays=7)
        refs = {"customerRef": CUSTOMER, "productRef": PRODUCT, "planRef": plan}
        session = (await here.client.post("/v1/sdk/checkout-sessions", json=refs)).json()["sessionId"]
        (await here.client.post(f"/sandbox/checkout-sessions/{session}")).raise_for_status()
        assert await here.told() == ["purchase.created"]
        assert [each["status"] for each in here.receiver.objects("purchase.created")] == ["trialing"]
        here.clock.now += 8 * DAY
        await here.sandbox.jobs.do_due()
        assert await here.told() == ["purchase.trial_converted", "payment.succeeded"]


async def test_what_is_not_paid_in_time_is_told_of() -> None:
    """Overdue, suspended, and active again."""
    async with world() as here:
        reference = await bought(here.client, await plan_of(here.client, type="recurring", price=4900))
        await here.told()
        for status in ("past_due", "suspended", "active"):
            (await here.client.put(f"/sandbox/purchases/{reference}", json={"status": status})).raise_for_status()
        assert await here.told() == ["purchase.past_due", "purchase.suspended", "purchase.activated"]


async def test_demo_data_are_no_news() -> None:
    """They are there as if they had been for long, at the start and after a reset; what happens then is news."""
    receiver, clock = Receiver(SECRET, FixedClock()), FixedClock()
    with closing(Store()) as store:
        knobs = Knobs(webhook_url=URL, webhook_secret=SECRET)
        outgoing = httpx.ASGITransport(receiver.app)
        sandbox = Sandbox(store, knobs=knobs, now=clock, outgoing=outgoing, demo_data=True)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(sandbox), base_url="http://sandbox") as client:
            (await client.post("/sandbox/reset")).raise_for_status()
            await sandbox.webhooks.send_due()
            assert receiver.types == []
            (await client.post("/sandbox/customers", json={"reference": CUSTOMER})).raise_for_status()
            await sandbox.webhooks.send_due()
    assert receiver.types == ["customer.created"]


async def test_low_balance_credits() -> None:
    """The knob says what is low; the debit that crosses it is announced, the next one is not."""
    async with world(low_balance_credits=50) as here:
        await on_credits(here, 100)
        told = []
        for _ in range(4):
            await here.client.post(USAGES, json=event(units=2))
            told += [name.removeprefix("customer.credit.") for name in await here.told()]
    assert told == ["debited", "debited", "debited", "low_balance", "debited"]


async def test_webhook_duplicates() -> None:
    """Twice the same event, as two deliveries."""
    async with world(webhook_duplicates=1.0) as here:
        await grant(here.client, 10)
        assert len(await here.told()) == 2
        one, other = here.receiver.received
    assert one.event == other.event
    assert one.headers["sv-delivery"] != other.headers["sv-delivery"]


async def test_webhook_shuffle() -> None:
    """The same events, not in their order; without the knob in it."""
    orders = []
    for shuffled in (False, True):
        async with world(webhook_shuffle=shuffled) as here:
            for amount in range(1, 11):
                await grant(here.client, amount)
            await here.told()
            orders.append([each["amount"] for each in here.receiver.objects("customer.credit.granted")])
    straight, mixed = orders
    assert straight == sorted(mixed) == list(range(1, 11))
    assert mixed != straight


async def test_webhook_delay_seconds() -> None:
    """Nothing at once, everything once the time is over."""
    async with world(webhook_delay_seconds=60.0) as here:
        for _ in range(5):
            await grant(here.client, 10)
        assert await here.told() == []
        here.clock.now += 60
        assert len(await here.told()) == 5


async def test_webhook_time_scale() -> None:
    """The first wait is a thousandth of five minutes."""
    async with world(webhook_time_scale=0.001) as here:
        here.receiver.status = 500
        await grant(here.client, 10)
        await here.told()
        here.clock.now += 0.31
        assert len(await here.told()) == 1


async def test_webhook_lag_seconds() -> None:
    """What happens now is sent at the next whole half minute, and no more than twenty events at once."""
    async with world(webhook_lag_seconds=30.0) as here:
        here.clock.now += 1
        for _ in range(25):
            await grant(here.client, 10)
        assert here.sandbox.webhooks.next_due() == NOW + 30
        here.clock.now = NOW + 30
        assert len(await here.told()) == 20
        assert here.sandbox.webhooks.next_due() == NOW + 60
        here.clock.now = NOW + 60
        assert len(await here.told()) == 5


async def test_webhook_events() -> None:
    """The configured endpoint gets what it is told to want."""
    async with world(webhook_events=("customer.credit.granted",)) as here:
        await bought(here.client, await plan_of(here.client, type="one-time", price=100))
        await grant(here.client, 10)
        assert await here.told() == ["customer.credit.granted"]


def test_a_lag_sends_at_moments_of_its_own() -> None:
    """What is due waits for the next of them, and a second go for the one after."""
    assert next_go(100.0, 0.0, 0.0) == 100.0
    assert next_go(100.0, 0.0, 30.0) == 120.0
    assert next_go(120.0, 0.0, 30.0) == 120.0
    assert next_go(100.0, 120.0, 30.0) == 150.0
    assert next_go(100.0, 121.0, 30.0) == 150.0
