"""Every kind of fault does what it says, as often as it says."""

import json
from typing import Any

import httpx
import pytest

from meter.sandbox.faults.fault_list import Faults, read_faults
from meter.sandbox.faults.striker import ConnectionCutError
from tests.sandboxes import BULK, LIMITS, USAGES, client_of, event, known, rows

TWO = {"events": [event(idempotencyKey="a"), event(idempotencyKey="b", customerRef="cus_bad")]}


async def put(client: httpx.AsyncClient, *faults: dict[str, Any]) -> httpx.Response:
    """Turn faults on, for the bulk route unless they say otherwise."""
    answer = await client.put("/sandbox/faults", json=[{"route": BULK, **fault} for fault in faults])
    assert answer.status_code == 200, answer.text
    return answer


async def kept(client: httpx.AsyncClient) -> list[str]:
    """The keys that were recorded."""
    return [row["idempotencyKey"] for row in await rows(client)]


async def test_status_answers_instead() -> None:
    """The status, its Retry-After and an error body; nothing is recorded."""
    async with client_of() as client:
        await put(client, {"kind": "status", "status": 429, "retry_after_seconds": 3})
        answer = await client.post(BULK, json=TWO)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
        assert answer.json() == {"statusCode": 429, "message": "Too many requests", "error": "Too Many Requests"}
        assert await kept(client) == []


async def test_status_may_say_something_of_its_own() -> None:
    """The words in the body are part of the contract, so a fault may choose them."""
    async with client_of() as client:
        await put(client, {"kind": "status", "status": 404, "message": "Customer not found"})
        assert (await client.post(BULK, json=TWO)).json()["message"] == "Customer not found"


async def test_status_after_commit_records_first() -> None:
    """The client sees a failure of something that has happened."""
    async with client_of() as client:
        await put(client, {"kind": "status_after_commit", "status": 500})
        assert (await client.post(BULK, json=TWO)).status_code == 500
        assert await kept(client) == ["a", "b"]


@pytest.mark.parametrize(("kind", "keys"), [("cut_before_commit", []), ("cut_after_commit", ["a", "b"])])
async def test_a_cut_gives_no_answer(kind: str, keys: list[str]) -> None:
    """Before or after the commit: the connection ends, and the rows tell which it was."""
    async with client_of() as client:
        await put(client, {"kind": kind, "count": 1})
        with pytest.raises(ConnectionCutError):
            await client.post(BULK, json=TWO)
        assert await kept(client) == keys


async def test_partial_insert_keeps_a_prefix() -> None:
    """A provider that fails halfway; the repeat with the same keys completes it."""
    async with client_of() as client:
        await put(client, {"kind": "partial_insert", "inserted": 1, "count": 1})
        assert (await client.post(BULK, json=TWO)).status_code == 500
        assert await kept(client) == ["a"]
        assert (await client.post(BULK, json=TWO)).status_code == 200
        assert await kept(client) == ["a", "b"]


async def test_reject_event_names_the_culprit() -> None:
    """A 400 with the event's place; batches without the customer pass."""
    async with client_of() as client:
        await put(client, {"kind": "reject_event", "customers": ["cus_bad"], "named": True})
        answer = await client.post(BULK, json=TWO)
        assert (answer.status_code, answer.json()["message"]) == (400, "Validation failed")
        assert [issue["path"] for issue in answer.json()["errors"]] == [["events", 1, "customerRef"]]
        assert await kept(client) == []
        assert (await client.post(BULK, json={"events": TWO["events"][:1]})).status_code == 200


async def test_reject_event_may_keep_the_culprit_to_itself() -> None:
    """Without names the client must find out by itself."""
    async with client_of() as client:
        await put(client, {"kind": "reject_event", "customers": ["cus_bad"], "named": False})
        answer = await client.post(BULK, json=TWO)
    assert (answer.status_code, "errors" in answer.json()) == (400, False)


async def test_reject_event_knows_single_calls() -> None:
    """There the path has no index."""
    async with client_of() as client:
        await put(client, {"route": USAGES, "kind": "reject_event", "customers": ["cus_bad"]})
        answer = await client.post(USAGES, json=TWO["events"][1])
    assert [issue["path"] for issue in answer.json()["errors"]] == [["customerRef"]]


async def test_body_limit_refuses_larger_bodies_only() -> None:
    """413 above the bound, in bytes of the body."""
    body = b'{"events":[{"customerRef":"c"}]}'
    async with client_of() as client:
        await put(client, {"kind": "body_limit", "bytes": len(body)})
        assert (await client.post(BULK, content=body)).status_code == 200
        assert (await client.post(BULK, content=body + b" ")).status_code == 413


async def test_wrong_results_is_one_short() -> None:
    """Everything is recorded, and one result is missing."""
    async with client_of() as client:
        await put(client, {"kind": "wrong_results"})
        assert len((await client.post(BULK, json=TWO)).json()["results"]) == 1
        assert await kept(client) == ["a", "b"]


async def test_an_answer_that_is_a_list_is_one_short_as_well() -> None:
    """The catalogue of events is the only one."""
    path = "/v1/sdk/webhooks/event-types"
    async with client_of() as client:
        whole = (await client.get(path)).json()
        await put(client, {"route": path, "kind": "wrong_results"})
        assert (await client.get(path)).json() == whole[:-1]


async def test_malformed_is_no_json() -> None:
    """200 with half a body, after recording."""
    async with client_of() as client:
        await put(client, {"kind": "malformed"})
        answer = await client.post(BULK, json=TWO)
        assert answer.status_code == 200
        with pytest.raises(ValueError, match=r"delimiter|Expecting"):
            answer.json()
        assert await kept(client) == ["a", "b"]


async def test_reject_key_refuses_a_good_key() -> None:
    """401 in the documented words."""
    async with client_of() as client:
        await put(client, {"kind": "reject_key", "count": 1})
        answer = await client.post(BULK, json=TWO)
        assert (answer.status_code, answer.json()["message"]) == (401, "Invalid or expired secret key")
        assert (await client.post(BULK, json=TWO)).status_code == 200


async def test_a_delay_goes_on_to_the_next_fault() -> None:
    """Delays add up in front of whatever strikes first; what comes behind it is not asked."""
    faults = Faults(
        read_faults(
            _json(
                {"kind": "delay", "seconds": 0.25},
                {"kind": "delay", "seconds": 1},
                {"kind": "status", "status": 503},
                {"kind": "malformed"},
            )
        )
    )
    seconds, fault = faults.strike([BULK], lambda _: True)
    assert (seconds, fault and fault.kind) == (1.25, "status")
    assert [shown["struck"] for shown in faults.shown()] == [1, 1, 1, 0]


async def test_count_strikes_the_first_requests() -> None:
    """Twice 503, then no more."""
    async with client_of() as client:
        await put(client, {"kind": "status", "status": 503, "count": 2})
        assert [(await client.post(BULK, json=TWO)).status_code for _ in range(4)] == [503, 503, 200, 200]
        assert (await client.get("/sandbox/faults")).json()[0]["struck"] == 2


async def test_rate_is_the_same_every_time() -> None:
    """A rate strikes about that often, at places that depend on the seed alone."""

    def struck(**fields: Any) -> list[bool]:
        faults = Faults(read_faults(_json({"kind": "malformed", **fields})))
        return [faults.strike([BULK], lambda _: True)[1] is not None for _ in range(1000)]

    assert struck(rate=0.3) == struck(rate=0.3)
    assert struck(rate=0.3) != struck(rate=0.3, seed=7)
    assert 250 < sum(struck(rate=0.3)) < 350
    assert (sum(struck(rate=0)), sum(struck(rate=1))) == (0, 1000)


async def test_a_fault_knows_its_route() -> None:
    """Other routes are left alone; a star at the end stands for anything."""
    async with client_of() as client:
        await known(client)
        await put(client, {"kind": "status", "status": 503})
        assert (await client.post(USAGES, json=event())).status_code == 200
        await put(client, {"route": "/v1/sdk/*", "kind": "status", "status": 503})
        assert (await client.post(USAGES, json=event())).status_code == 503
        assert (await client.post(LIMITS, json={})).status_code == 503


async def test_put_replaces_and_delete_ends() -> None:
    """There is one list, and an empty one does nothing."""
    async with client_of() as client:
        await put(client, {"kind": "malformed"}, {"kind": "reject_key"})
        assert len((await put(client, {"kind": "status", "status": 500})).json()) == 1
        assert (await client.delete("/sandbox/faults")).json() == []
        assert (await client.post(BULK, json=TWO)).status_code == 200


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ({"kind": "explode"}, "explode"),
        ({"kind": "status"}, "needs status"),
        ({"kind": "status", "status": 200}, "300"),
        ({"kind": "delay"}, "needs seconds"),
        ({"kind": "delay", "seconds": -1}, "0.0"),
        ({"kind": "delay", "seconds": 1, "status": 500}, "does not take status"),
        ({"kind": "partial_insert"}, "needs inserted"),
        ({"kind": "reject_event"}, "needs customers"),
        ({"kind": "malformed", "rate": 1.5}, "1.0"),
        ({"kind": "malformed", "rate": 0.5, "count": 1}, "rate or count"),
        ({"kind": "malformed", "count": 0}, "1"),
        ({"kind": "malformed", "colour": "red"}, "colour"),
        ({"kind": "malformed", "route": "/sandbox/totals"}, "route must begin"),
        ({"route": BULK, "kind": None}, "kind"),
    ],
)
async def test_a_bad_list_changes_nothing(fault: dict[str, Any], complaint: str) -> None:
    """400 that says what is wrong with which entry; the faults that were on stay on."""
    async with client_of() as client:
        await put(client, {"kind": "reject_key"})
        bad = [{"route": BULK, "kind": "malformed"}, {"route": BULK, **fault}]
        answer = await client.put("/sandbox/faults", json=bad)
        assert answer.status_code == 400
        assert complaint in answer.json()["message"]
        assert [on["kind"] for on in (await client.get("/sandbox/faults")).json()] == ["reject_key"]


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"null", b'["status"]', b"[" * 100_000])
async def test_what_is_no_list_is_refused(body: bytes) -> None:
    """Any bytes at all get an answer that explains itself."""
    async with client_of() as client:
        answer = await client.put("/sandbox/faults", content=body)
    assert (answer.status_code, answer.json()["message"][:20]) == (400, "not a list of faults")


def _json(*faults: dict[str, Any]) -> bytes:
    return json.dumps([{"route": BULK, **fault} for fault in faults]).encode()
