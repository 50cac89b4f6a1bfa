"""Knobs: each changes what it says, and nothing is turned by mistake."""

from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from meter.sandbox.bookkeeping.counting import Counting
from meter.sandbox.knobs import BadKnobsError, Knobs, read_knobs
from meter.sandbox.store import Store
from tests.sandboxes import (
    BULK,
    CUSTOMER,
    USAGES,
    FixedClock,
    activate,
    balance,
    client_of,
    event,
    grant,
    known,
    plan_of,
    remaining,
    rows,
)


async def record(client: httpx.AsyncClient, *events: dict[str, Any]) -> httpx.Response:
    """The answer to a bulk call."""
    return await client.post(BULK, json={"events": list(events)})


async def test_strict_customer() -> None:
    """One unknown customer costs the call: 404 in the documented words, and nothing is recorded."""
    async with client_of(knobs=Knobs(strict_customer=True)) as client:
        await known(client)
        for answer in (
            await record(client, event(), event(customerRef="cus_X")),
            await client.post(USAGES, json=event(customerRef="cus_X")),
        ):
            expected = {"statusCode": 404, "message": "Customer not found", "error": "Not Found"}
            assert (answer.status_code, answer.json()) == (404, expected)
        assert await rows(client) == []
        assert (await record(client, event())).status_code == 200


async def test_strict_names() -> None:
    """Earlier names are unknown fields, which are ignored; so what they named is missing."""
    async with client_of(knobs=Knobs(strict_names=True)) as client:
        answer = await record(client, {"customerId": CUSTOMER}, event(value=7, metadata={}))
        assert [issue["path"] for issue in answer.json()["errors"]] == [["events", 0, "customerRef"]]
        await record(client, event(value=7))
        assert (await rows(client))[0]["units"] == 1
        assert (await client.post(BULK, json={"records": [event()]})).status_code == 400


async def test_accept_offsets() -> None:
    """A timestamp with an offset is kept as the same moment in UTC; without one it is still refused."""
    async with client_of(knobs=Knobs(accept_offsets=True)) as client:
        sent = ["2026-03-15T13:30:00+02:00", "2026-03-15T11:30:00Z", "2026-03-15T11:30:00.123456Z"]
        assert (await record(client, *(event(timestamp=text) for text in sent))).status_code == 200
        kept = [row["timestamp"] for row in await rows(client)]
        assert kept == ["2026-03-15T11:30:00.000Z", *sent[1:]]
        for text in ("2026-03-15T13:30:00", "2026-03-17T12:30:00+00:00", "0001-01-01T00:00:00+23:59", "x"):
            assert (await record(client, event(timestamp=text))).status_code == 400


async def test_key_life_seconds() -> None:
    """A key is known that long, counted from its first row; then it is new, and that row keeps its key all the same."""
    clock = FixedClock()
    async with client_of(knobs=Knobs(key_life_seconds=60), clock=clock) as client:
        await record(client, event(idempotencyKey="a"))
        for later, kept in ((59.5, 1), (0.5, 2), (59.5, 2)):
            clock.now += later
            await record(client, event(idempotencyKey="a"), event(idempotencyKey="a"))
            assert [row["idempotencyKey"] for row in await rows(client)] == ["a"] * kept


async def test_inserted_counts_only_new_rows() -> None:
    """Repeats have results, but are not counted."""
    events = [event(idempotencyKey="a"), event(idempotencyKey="a"), event()]
    for counts, inserted in (("results", 3), ("new", 2)):
        async with client_of(knobs=read_knobs(None, {"METER_SANDBOX__INSERTED_COUNTS": counts})) as client:
            answer = (await record(client, *events)).json()
            assert (answer["inserted"], len(answer["results"])) == (inserted, 3)


async def test_allow_negative_credits() -> None:
    """Debits go on; `unitsRemaining` and `remaining` stay at zero."""
    async with client_of(knobs=Knobs(allow_negative_credits=True)) as client:
        await known(client, free_units=None)
        await activate(client, await plan_of(client, type="usage-based", creditsPerUnit=100))
        await grant(client, 100)
        (result,) = (await record(client, event(units=3))).json()["results"]
        assert result["creditDebit"] == {"debited": True, "amount": 300, "unitsRemaining": 0}
        assert (await balance(client), await remaining(client)) == (-200, 0)


async def test_no_pending_activation() -> None:
    """Without credits nothing is remembered, and the free plan takes over."""
    async with client_of(knobs=Knobs(pending_activation=False)) as client:
        await known(client, free_units=10)
        plan = await plan_of(client, type="usage-based", creditsPerUnit=100)
        assert (await activate(client, plan))["status"] == "topup_required"
        assert (await client.get("/v1/sdk/purchases")).json() == {"purchases": []}
        assert await remaining(client) == 10


@pytest.mark.parametrize(
    ("knobs", "left"),
    [
        (Knobs(), 100 - 5),
        (Knobs(limit_counts="events"), 100 - 1),
        (Knobs(limit_outcomes=("success", "fail")), 100 - 5 - 7),
        (Knobs(limit_scope="customer"), 100 - 5 - 20 - 30),
    ],
)
async def test_what_an_allowance_counts(knobs: Knobs, left: int) -> None:
    """Units or events, which outcomes, which products: the same after a restart."""
    with closing(Store(counting=knobs.counting)) as store:
        for events in ([event(units=5), event(units=7, outcome="fail"), event(units=20, productRef="prd_X")], []):
            async with client_of(store, knobs=knobs) as client:
                if events:
                    await known(client, free_units=100)
                    await record(client, *events, {"customerRef": CUSTOMER, "units": 30})
                assert await remaining(client) == left


async def test_limit_period_of_thirty_days() -> None:
    """From the day of the purchase, over the end of the month; the days before and after count elsewhere."""
    clock = FixedClock()
    with closing(Store(counting=Knobs(limit_period="30_days").counting)) as store:
        async with client_of(store, clock=clock) as client:
            await known(client, free_units=100)
            await remaining(client)
            await record(client, event(units=1), event(units=5, timestamp="2026-03-14T23:59:59Z"))
            clock.now += 29 * 86400
            await record(client, event(units=2))
            assert await remaining(client) == 97
            (purchase,) = (await client.get("/v1/sdk/purchases")).json()["purchases"]
            assert purchase["usage"]["periodStart"] == "2026-03-15T00:00:00.000Z"
            assert purchase["usage"]["periodEnd"] == "2026-04-14T00:00:00.000Z"
        clock.now += 43200
        async with client_of(store, clock=clock) as client:
            assert await remaining(client) == 100


async def test_unlimited_remaining() -> None:
    """The figure for no bound."""
    async with client_of(knobs=Knobs(unlimited_remaining=5)) as client:
        await known(client, free_units=0)
        assert await remaining(client) == 5


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """Other sections and other variables are nobody's business here."""
    file = tmp_path / "meter.toml"
    file.write_text('[kafka]\ntopic = "x"\n[sandbox]\nstrict_names = true\nlimit_counts = "events"\n')
    environ = {"METER_SANDBOX__LIMIT_COUNTS": "units", "METER_SANDBOX__STRICT_CUSTOMER": "true", "METER_X": "1"}
    environ |= {"METER_SANDBOX__LIMIT_OUTCOMES": '["fail"]', "METER_SANDBOX__UNLIMITED_REMAINING": ""}
    knobs = read_knobs(file, environ)
    assert knobs == Knobs(strict_names=True, strict_customer=True, limit_outcomes=("fail",))
    assert knobs.counting == Counting("units", frozenset(["fail"]), "product")


def test_a_text_from_the_environment_stays_one() -> None:
    """A secret of digits is no number."""
    assert read_knobs(None, {"METER_SANDBOX__WEBHOOK_SECRET": "12345"}).webhook_secret == "12345"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[sandbox]\nstrict = true", "strict"),
        ("[sandbox]\nstrict_names = 1", "strict_names"),
        ('[sandbox]\nlimit_counts = "rows"', "limit_counts"),
        ('[sandbox]\nwebhook_url = "localhost:9000"', "webhook_url"),
        ("[sandbox]\nwebhook_duplicates = 2", "webhook_duplicates"),
        ("sandbox = 1", "section"),
        ("[sandbox", "TOML"),
    ],
)
def test_a_wrong_knob_is_named(text: str, word: str, tmp_path: Path) -> None:
    """A knob that does not exist, a value that it does not have, a file that is none."""
    file = tmp_path / "meter.toml"
    file.write_text(text)
    with pytest.raises(BadKnobsError, match=word):
        read_knobs(file, {})
    with pytest.raises(BadKnobsError, match="cannot be read"):
        read_knobs(tmp_path / "nowhere", {})
