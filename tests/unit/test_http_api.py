"""The daemon's routes, asked through the real client without a socket."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from meter.http.api import build
from meter.http.exchange import MAX_BODY_BYTES
from meter.limits import Answer, Question
from tests.builders import NOBODY_PARKS

TOKEN = "let-me-in"


class Limits:
    """Remembers what was asked and answers the same each time."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.asked: list[Question] = []
        self._answer = answer or Answer(200, {"withinLimits": True, "remaining": 3}, "fresh")

    async def answer(self, question: Question) -> Answer:
        self.asked.append(question)
        return self._answer


class Probe:
    """A daemon whose health the test chooses."""

    def __init__(self, reasons: list[str] | None = None, is_alive: bool = True) -> None:
        self._reasons = reasons or []
        self._is_alive = is_alive

    def status(self) -> Mapping[str, Any]:
        return {"events": {"consumed": 1}, "partitions": [], "billing": {"state": "ok", "reason": None}}

    def reasons(self) -> list[str]:
        return self._reasons

    def alive(self) -> bool:
        return self._is_alive


def client(limits: Limits | None = None, probe: Probe | None = None, token: str | None = None) -> httpx.AsyncClient:
    app = build(limits or Limits(), probe or Probe(), lambda: b"meter_events_held 0.0\n", token, NOBODY_PARKS)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://meter")


async def test_the_drop_in_route_takes_the_providers_request() -> None:
    """Same names; fields that nobody knows are ignored, as the provider does."""
    limits = Limits()
    question = {"customerRef": "cus_1", "productRef": "prd_1", "meterName": "requests", "planRef": "pln_1"}
    async with client(limits) as http:
        answer = await http.post("/v1/sdk/limits", json=question)
    assert answer.status_code == 200
    assert answer.json() == {"withinLimits": True, "remaining": 3}
    assert limits.asked == [Question("cus_1", "prd_1", "requests")]


async def test_a_checkout_session_is_asked_for_only_when_it_is_asked_for() -> None:
    """`includeCheckoutSession` goes through; it is off by default."""
    limits = Limits()
    question = {"customerRef": "cus_1", "productRef": "prd_1", "includeCheckoutSession": True}
    async with client(limits) as http:
        await http.post("/v1/sdk/limits", json=question)
        await http.post("/v1/sdk/limits", json=question | {"includeCheckoutSession": False})
    assert [asked.checkout_session for asked in limits.asked] == [True, False]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/limits/cus_1/prd_1", Question("cus_1", "prd_1")),
        ("/v1/limits/a%2Fb/c%20d%C3%A9", Question("a/b", "c dé")),
        ("/v1/limits/cus_1/prd_1?meterName=m&includeCheckoutSession=true", Question("cus_1", "prd_1", "m", None, True)),
    ],
)
async def test_the_short_route_names_customer_and_product_in_the_path(path: str, expected: Question) -> None:
    """References may hold any character; a slash in them is sent as %2F."""
    limits = Limits()
    async with client(limits) as http:
        assert (await http.get(path)).status_code == 200
    assert limits.asked == [expected]


@pytest.mark.parametrize("path", ["/v1/limits/cus_1", "/v1/limits/a/b/c", "/nowhere", "/v1/sdk/usages"])
async def test_a_path_that_does_not_exist_is_a_404_in_the_providers_form(path: str) -> None:
    """A client that parses the provider's errors parses ours."""
    async with client() as http:
        answer = await http.get(path)
    assert answer.status_code == 404
    assert answer.json()["statusCode"] == 404


@pytest.mark.parametrize(
    ("question", "field"),
    [
        ({"productRef": "p"}, "customerRef"),
        ({"customerRef": "", "productRef": "p"}, "customerRef"),
        ({"customerRef": "c", "productRef": 7}, "productRef"),
        ({"customerRef": "c", "productRef": "p" * 257}, "productRef"),
        ({"customerRef": "c", "productRef": "p", "meterName": []}, "meterName"),
        ({"customerRef": "c", "productRef": "p", "includeCheckoutSession": "yes"}, "includeCheckoutSession"),
    ],
)
async def test_a_wrong_question_is_refused_without_asking_anybody(question: dict[str, object], field: str) -> None:
    """400 `Validation failed`, and which field."""
    limits = Limits()
    async with client(limits) as http:
        answer = await http.post("/v1/sdk/limits", json=question)
    assert (answer.status_code, answer.json()["message"]) == (400, "Validation failed")
    assert [error["path"] for error in answer.json()["errors"]] == [[field]]
    assert limits.asked == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'{"customerRef": "\\ud800"}', b"\xff\xfe", b"[" * 60_000])
async def test_a_body_that_is_no_json_object_is_a_400(body: bytes) -> None:
    """Any bytes at all: an answer, never a crash."""
    async with client() as http:
        answer = await http.post("/v1/sdk/limits", content=body)
    assert answer.status_code == 400
    assert answer.json()["statusCode"] == 400


async def test_a_body_without_end_is_refused_after_64_kilobytes() -> None:
    """Bounded memory; the rest is never read."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100 * MAX_BODY_BYTES:
            sent += 4096
            yield b" " * 4096

    async with client() as http:
        answer = await http.post("/v1/sdk/limits", content=endless())
    assert answer.status_code == 413
    assert sent <= MAX_BODY_BYTES + 4096


@pytest.mark.parametrize("path", ["/v1/limits/cus_1/prd_1", "/status"])
@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "Authentication required"),
        ({"authorization": "Bearer wrong"}, "Invalid or expired secret key"),
        ({"x-api-key": "é"}, "Invalid or expired secret key"),
        ({"authorization": f"Basic {TOKEN}"}, "Authentication required"),
    ],
)
async def test_without_the_token_there_is_a_401_as_the_providers(
    path: str, headers: dict[str, str], message: str
) -> None:
    """The provider's own words: its clients search for them."""
    encoded = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    async with client(token=TOKEN) as http:
        answer = await http.get(path, headers=encoded)
    assert answer.status_code == 401
    assert answer.json() == {"statusCode": 401, "message": message, "error": "Unauthorized"}


@pytest.mark.parametrize("headers", [{"authorization": f"Bearer {TOKEN}"}, {"x-api-key": TOKEN}])
async def test_both_ways_of_the_provider_to_show_a_token_work(headers: dict[str, str]) -> None:
    """A service changes only the address, not how it logs in."""
    async with client(token=TOKEN) as http:
        assert (await http.get("/status", headers=headers)).status_code == 200
        assert (await http.get("/v1/limits/c/p", headers=headers)).status_code == 200


async def test_without_a_configured_token_any_is_ignored() -> None:
    """On loopback nothing is asked for, and what is shown anyway does no harm."""
    async with client() as http:
        assert (await http.get("/status", headers={"authorization": "Bearer whatever"})).status_code == 200


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics"])
async def test_probes_and_scrapers_need_no_token(path: str) -> None:
    """Kubernetes and Prometheus bring none."""
    async with client(token=TOKEN) as http:
        assert (await http.get(path)).status_code == 200


async def test_not_ready_says_why() -> None:
    """503 with the reasons; an operator reads them with curl."""
    async with client(probe=Probe(["billing_paused: unauthorized"])) as http:
        answer = await http.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"reasons": ["billing_paused: unauthorized"]})


async def test_not_alive_is_a_503() -> None:
    """Only when a restart can help."""
    async with client(probe=Probe(is_alive=False)) as http:
        assert (await http.get("/healthz")).status_code == 503


async def test_metrics_come_in_prometheus_own_format() -> None:
    """The content type names the version that scrapers ask for."""
    async with client() as http:
        answer = await http.get("/metrics")
    assert answer.text == "meter_events_held 0.0\n"
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


async def test_the_front_page_points_at_the_routes() -> None:
    """Who opens the address in a browser finds the way."""
    async with client() as http:
        assert "POST /v1/sdk/limits" in json.dumps((await http.get("/")).json())


async def test_a_wrong_method_is_a_405_in_the_providers_form() -> None:
    """And it says which methods there are."""
    async with client() as http:
        answer = await http.get("/v1/sdk/limits")
    assert (answer.status_code, answer.json()["statusCode"]) == (405, 405)
    assert "POST" in answer.headers["allow"]


async def test_a_slash_at_the_end_changes_nothing() -> None:
    """The provider takes it, too."""
    async with client() as http:
        assert (await http.post("/v1/sdk/limits/", json={"customerRef": "c", "productRef": "p"})).status_code == 200
        assert (await http.get("/healthz/")).status_code == 200


async def test_heads_can_be_asked_for_alone() -> None:
    """Load balancers probe so."""
    async with client() as http:
        assert (await http.head("/readyz")).status_code == 200


async def test_a_caller_who_goes_away_in_the_middle_of_his_question_gets_no_answer() -> None:
    """Nor is anybody asked."""
    limits, sent = Limits(), list[Any]()

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    app = build(limits, Probe(), lambda: b"", None, NOBODY_PARKS)
    scope = {"type": "http", "method": "POST", "path": "/v1/sdk/limits", "query_string": b"", "headers": []}
    await app(scope, gone, send)
    assert (sent, limits.asked) == ([], [])


async def test_a_bug_of_ours_is_a_500_that_tells_nothing() -> None:
    """No traceback and no secret leaves the process."""

    class Broken(Limits):
        async def answer(self, question: Question) -> Answer:
            raise RuntimeError("secret")

    async with client(Broken()) as http:
        answer = await http.get("/v1/limits/c/p")
    assert (answer.status_code, answer.json()["message"]) == (500, "Internal server error")


async def test_the_status_of_the_answer_is_passed_on() -> None:
    """The provider's 404 stays a 404."""
    limits = Limits(Answer(404, {"statusCode": 404, "message": "Customer not found"}, "fresh"))
    async with client(limits) as http:
        answer = await http.get("/v1/limits/c/p")
    assert (answer.status_code, answer.json()["message"]) == (404, "Customer not found")
