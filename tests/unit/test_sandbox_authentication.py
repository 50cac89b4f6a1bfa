"""Who may call the sandbox, and which environment the key opens."""

import pytest

from tests.sandboxes import USAGES, client_of, event, rows


@pytest.mark.parametrize("header", [{"authorization": "Bearer sk_1"}, {"x-api-key": "sk_1"}])
async def test_a_key_is_taken_from_either_header(header: dict[str, str]) -> None:
    """Bearer and X-API-Key open the same door."""
    async with client_of(key="sk_1", sent_key="") as client:
        assert (await client.post(USAGES, json=event(), headers=header)).status_code == 200


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer "}, {"authorization": "Basic x"}, {"x-api-key": " "}])
async def test_no_key_is_asked_for(header: dict[str, str]) -> None:
    """Without a key the provider says "Authentication required", in its framework's form."""
    async with client_of(sent_key="") as client:
        answer = await client.post(USAGES, json=event(), headers=header)
    assert answer.status_code == 401
    assert answer.json() == {"statusCode": 401, "message": "Authentication required", "error": "Unauthorized"}


@pytest.mark.parametrize(
    ("sent", "message"),
    [("sk_other", "Invalid or expired secret key"), ("eyJh.eyJz.c2ln", "Invalid or expired provider token")],
)
async def test_a_wrong_key_is_refused_in_the_documented_words(sent: str, message: str) -> None:
    """With `key` given any other is refused, a signed token under its own name; nothing is recorded."""
    async with client_of(key="sk_1", sent_key=sent) as client:
        answer = await client.post(USAGES, json=event())
        assert (answer.status_code, answer.json()["message"]) == (401, message)
        assert await rows(client) == []


async def test_the_prefix_keeps_environments_apart() -> None:
    """A key is new in the other environment and then repeated there; each row says where it belongs."""
    async with client_of() as client:
        first = await client.post(USAGES, json=event(idempotencyKey="k"))
        live = {"authorization": "Bearer sk_live_1"}
        second = await client.post(USAGES, json=event(idempotencyKey="k"), headers=live)
        again = await client.post(USAGES, json=event(idempotencyKey="k"), headers=live)
        assert first.json()["reference"] != second.json()["reference"] == again.json()["reference"]
        assert [row["environment"] for row in await rows(client)] == ["sandbox", "live"]


async def test_customers_of_one_environment_are_unknown_in_the_other() -> None:
    """A customer created with a sandbox key does not exist for a live key."""
    async with client_of() as client:
        created = (await client.post("/v1/sdk/customers", json={"email": "a@b.example"})).json()
        path = f"/v1/sdk/customers/{created['reference']}"
        assert (await client.get(path)).status_code == 200
        assert (await client.get(path, headers={"authorization": "Bearer sk_live_1"})).status_code == 404
