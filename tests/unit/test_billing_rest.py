"""What RestFraming puts into a request, and what it makes of a connection that fails."""

import asyncio
import json

import httpx
import pytest

from meter.billing.calling import HttpBilling
from meter.billing.limits_outcome import LimitsAnswer, LimitsUnavailable
from meter.billing.rest import RestFraming
from meter.errors import BadConfiguration, NotConnected, Unavailable
from meter.pipeline.outcome import Accepted, Refusal, Refused, TryAgain
from tests.exchanges import InProcess

KEY = "sk_sandbox_4711"
ONE_ACCEPTED = {"success": True, "inserted": 1, "results": [{"reference": "usage_A"}]}


class Recorder:
    """A provider that remembers the requests and gives the same answer to all."""

    def __init__(self, answer: httpx.Response | Exception) -> None:
        self.requests: list[httpx.Request] = []
        self._answer = answer

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def billing_of(
    recorder: Recorder, base_url: str = "https://api.example.com", timeout_seconds: float = 5
) -> HttpBilling:
    """REST with that provider in place of the network."""
    return HttpBilling(
        RestFraming(base_url, KEY), timeout_seconds, connections=InProcess(httpx.MockTransport(recorder))
    )


def yes() -> bool:
    """A lease that lasts."""
    return True


async def test_a_batch_is_one_json_object_with_its_length_and_the_key() -> None:
    """The bodies go out as they are, not chunked."""
    provider = Recorder(httpx.Response(200, json={**ONE_ACCEPTED, "results": [{"reference": "a"}, {"reference": "b"}]}))
    outcome = await billing_of(provider).record_bulk([b'{"customerRef":"A"}', b'{"customerRef":"B"}'], yes)
    assert outcome == Accepted(["a", "b"])
    (request,) = provider.requests
    assert json.loads(request.content) == {"events": [{"customerRef": "A"}, {"customerRef": "B"}]}
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["user-agent"].startswith("meter/")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-length"] == str(len(request.content))
    assert "transfer-encoding" not in request.headers


@pytest.mark.parametrize(
    ("base_url", "bulk_url"),
    [
        ("https://api.example.com", "https://api.example.com/v1/sdk/usages/bulk"),
        ("https://api.example.com/", "https://api.example.com/v1/sdk/usages/bulk"),
        ("http://127.0.0.1:8484/billing/", "http://127.0.0.1:8484/billing/v1/sdk/usages/bulk"),
        ("http://[::1]:8484/v1/sdk", "http://[::1]:8484/v1/sdk/usages/bulk"),
        ("http://localhost/v1/sdk/", "http://localhost/v1/sdk/usages/bulk"),
    ],
)
async def test_the_address_may_carry_a_path(base_url: str, bulk_url: str) -> None:
    """With or without a slash, and with the provider's own prefix already in it."""
    provider = Recorder(httpx.Response(200, json=ONE_ACCEPTED))
    await billing_of(provider, base_url).record_bulk([b"{}"], yes)
    assert str(provider.requests[0].url) == bulk_url


@pytest.mark.parametrize("base_url", ["", "api.example.com", "ftp://x", "http://", "http://x/?a=b", "http://x:99999"])
def test_an_address_that_no_request_can_go_to_is_a_bad_configuration(base_url: str) -> None:
    """Found at the start, in one sentence."""
    with pytest.raises(BadConfiguration, match=r"billing\.base_url"):
        RestFraming(base_url, KEY)


@pytest.mark.parametrize("key", ["s3c\r\nX-Evil: 1", "schlüssel", " s3c", "s3c\n"])
def test_a_key_that_no_header_can_carry_is_a_bad_configuration(key: str) -> None:
    """Found at the start, and without showing the key."""
    with pytest.raises(BadConfiguration) as caught:
        RestFraming("http://x", key)
    assert "s3c" not in str(caught.value)
    assert "schl" not in str(caught.value)


async def test_a_redirect_is_not_followed() -> None:
    """The key and the events go to the configured address only."""
    provider = Recorder(httpx.Response(307, headers={"location": "https://elsewhere.example.com/"}))
    outcome = await billing_of(provider).record_bulk([b"{}"], yes)
    assert isinstance(outcome, Refused)
    assert outcome.reason is Refusal.WRONG_ADDRESS
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    ("error", "unknown"),
    [
        (NotConnected("refused"), False),
        (Unavailable("reset"), True),
    ],
)
async def test_network_trouble_is_a_value(error: Exception, unknown: bool) -> None:
    """Nothing is raised; only where no connection came about is it sure that nothing was sent."""
    provider = Recorder(error)
    assert await billing_of(provider).record_bulk([b"{}"], yes) == TryAgain(str(error), unknown)
    assert await billing_of(provider).check_limits({}) == LimitsUnavailable(str(error))


async def test_the_deadline_is_over_everything() -> None:
    """A provider that never answers is given up on."""

    class Silent(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return await asyncio.Future[httpx.Response]()

    silent = HttpBilling(RestFraming("http://x", KEY), 0.05, connections=InProcess(Silent()))
    assert await silent.record_bulk([b"{}"], yes) == TryAgain("no answer within 0.05 s", outcome_unknown=True)
    assert await silent.check_limits({}) == LimitsUnavailable("no answer within 0.05 s")


async def test_a_limits_question_is_passed_on_as_it_is() -> None:
    """Fields that meter does not know reach the provider, and its answer comes back whole."""
    answer = {"withinLimits": False, "remaining": 0, "checkoutUrl": "https://pay.example.com/1"}
    provider = Recorder(httpx.Response(200, json=answer))
    question = {"customerRef": "cus_A", "productRef": "prd_A", "includeCheckoutSession": True}
    assert await billing_of(provider).check_limits(question) == LimitsAnswer(answer)
    assert json.loads(provider.requests[0].content) == question
    assert provider.requests[0].url.path == "/v1/sdk/limits"


async def test_the_key_is_never_shown() -> None:
    """Neither by the object, nor when trouble repeats it."""
    billing = billing_of(Recorder(Unavailable(f"Bearer {KEY} is bad")))
    outcome = await billing.record_bulk([b"{}"], yes)
    framing = vars(billing)["_framing"]
    assert KEY not in f"{billing!r} {framing!r} {framing.bulk([b'{}'])!r} {outcome!r}"


async def test_no_events_need_no_request() -> None:
    """The provider refuses an empty batch."""
    provider = Recorder(httpx.Response(500))
    assert await billing_of(provider).record_bulk([], yes) == Accepted(())
    assert provider.requests == []
